"""The ranking and the checks in a terminal."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.console import Console

from genlens.reports.terminal import bar, print_checks, print_result


def printed(result, width: int = 80, encoding: str = "utf-8", colour: bool = False) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    print_result(
        result, Console(file=stream, width=width, force_terminal=colour, color_system="truecolor" if colour else None)
    )
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_ranking_fits_eighty_columns_with_all_its_figures(invent) -> None:
    result = invent()
    truth = dict(zip(result.concepts, [0.95, 0.31, 0.12, 0.62, 0.02, 0.45], strict=True))
    text = printed(invent(settings={"true_reliance": truth}))
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "The classifier relies most on red circle." in text
    (line,) = [line for line in text.splitlines() if line.startswith("2 ")]
    assert re.fullmatch(r"2  red rectangle +█+[▏▎▍▌▋▊▉]? +\.104 \[\.090, \.118\] +<\.001 +1\.88 +-1\.88 +\.62 *", line)
    assert [line.split()[0] for line in text.splitlines() if re.match(r"\d  ", line)] == list("123456")
    assert "PASSED    Effective generation" in text and "Warning" not in text


@pytest.mark.parametrize("width", [36, 50, 60, 100, 200])
def test_every_width_keeps_concepts_and_importance(invent, width: int) -> None:
    text = printed(invent(), width)
    assert max(len(line) for line in text.splitlines()) <= width
    for figures in (".244 [.222, .266]", "-.001 [-.009, .007]"):
        assert figures in text


def test_failed_checks_warn_loudly_and_hide_nothing(invent, invent_checks) -> None:
    names = ["a", "b"]
    text = printed(invent(names, checks=invent_checks(names, ("failed", "undecided", "passed"))))
    assert "FAILED    Effective generation" in text and "UNDECIDED Independent permutation" in text
    assert "of 3 checks, 1 failed and 1 is undecided." in text
    assert "What to do:" in text and "Permute the two as a group." in text
    assert text.index("1  a") < text.index("Warning")


def test_names_are_never_markup(invent) -> None:
    assert "[red]tv[/red]" in printed(invent(["[red]tv[/red]", "[/]"]))


def test_ascii_terminals(invent) -> None:
    text = printed(invent(q_value=np.full(6, np.nan)), encoding="ascii")
    assert "####" in text and "█" not in text


def test_colour_only_where_there_is_colour(invent) -> None:
    assert "\x1b[" in printed(invent(), colour=True)
    assert "\x1b[" not in printed(invent())


@pytest.mark.parametrize(
    "changes",
    [
        dict(names=["tv"]),
        dict(names=[f"concept {k}" for k in range(40)]),
        dict(names=["x" * 200]),
        dict(checks=()),
        dict(real_score=None, real_ci=None),
        dict(ci_low=np.full(6, np.nan), ci_high=np.full(6, np.nan), q_value=np.full(6, np.nan)),
        dict(importance=np.full(6, np.nan)),
    ],
)
def test_extreme_inputs(invent, changes: dict) -> None:
    result = invent(**changes)
    text = printed(result)
    for concept in result.concepts:
        assert concept in re.sub(r"[\s█]", "", text) or concept in text or "x" * 15 in text
    assert "nan" not in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_no_checks_say_so() -> None:
    console = Console(file=io.StringIO(), width=80)
    print_checks((), console)
    assert "Checks: none." in console.file.getvalue()


def test_bars() -> None:
    console = Console(file=io.StringIO(), width=80)
    assert bar(0.5, 1.0, 4, console) == "██  "
    assert bar(2.0, 1.0, 4, console) == "████"
    assert bar(-0.1, 1.0, 4, console) == bar(np.nan, 1.0, 4, console) == "    "
    assert bar(0.001, 1.0, 4, console) == "▏   "


@pytest.mark.parametrize("width", [36, 80, 200])
def test_analyses_are_lines_with_advice_below(invent, invent_analyses, width: int) -> None:
    text = printed(invent(["a", "[b]"], analyses=invent_analyses(["a", "[b]"])), width)
    assert max(len(line) for line in text.splitlines()) <= width
    flat = " ".join(text.split())
    assert "Placebo: Reversing moves the score by .021. What to do: Train longer." in flat
    assert "Dose-response: The score rises with age." in flat
    assert "50.0" not in flat  # only a few tables are worth the room
    assert "[b]" in text


def test_the_table_of_an_analysis_keeps_the_columns_that_fit(invent, invent_analyses) -> None:
    wide, narrow = (printed(invent(["a"], analyses=invent_analyses(["a"])), width) for width in (120, 40))
    head = next(line for line in wide.splitlines() if "reliance  " in line and "above" in line)
    assert head.split() == ["concept", "reliance", "above", "q", "share", "flipped", "above", "the", "floor"]
    assert "1.000 +.800 [.600, 1.000]" in " ".join(wide.split())
    assert "20.0% yes" in " ".join(wide.split())
    assert "floor" not in narrow.replace("the floor", "")
