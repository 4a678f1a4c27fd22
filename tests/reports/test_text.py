"""Numbers and sentences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from genlens.reports import text


@pytest.mark.parametrize(
    ("value", "digits", "signed", "expected"),
    [
        (0.2134, 3, False, ".213"),
        (-0.0214, 3, False, "\N{MINUS SIGN}.021"),
        (0.2134, 2, True, "+.21"),
        (-0.0001, 3, True, ".000"),
        (1.0, 3, False, "1.000"),
        (12.345, 2, False, "12.3"),
        (4321.0, 3, False, "4321"),
        (math.nan, 3, False, "\N{EN DASH}"),
        (None, 3, True, "\N{EN DASH}"),
        (-math.inf, 3, False, "\N{MINUS SIGN}∞"),
    ],
)
def test_figure(value: float | None, digits: int, signed: bool, expected: str) -> None:
    assert text.figure(value, digits, signed=signed) == expected


def test_interval_needs_both_ends() -> None:
    assert text.interval(-0.003, 0.0131) == "[\N{MINUS SIGN}.003, .013]"
    assert text.interval(0.1, math.nan) == text.MISSING
    assert text.interval(None, 0.1) == text.MISSING


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0004, "<\u2009.001"), (0.001, ".001"), (0.31, ".310"), (0.9999, "1"), (math.nan, "\N{EN DASH}")],
)
def test_p_value(value: float, expected: str) -> None:
    assert text.p_value(value) == expected


def test_plain_text_can_be_copied() -> None:
    assert text.plain(text.figure(-0.5) + text.MISSING) == "-.500-"
    assert text.plain(text.p_value(0.0)) == "<.001"


def test_score_names() -> None:
    assert text.score_name("roc_auc") == "AUROC"
    assert text.score_name("my_own_score") == "my own score"


def test_headline_names_the_top_concept_with_its_figures(invent) -> None:
    result = invent()
    said = text.headline(result, text.ranking_rows(result))
    assert said.concept == "red circle"
    assert "AUROC falls by .244 [.222, .266], from .981 to .737" in said.support
    assert "4 of 6 concepts stand out from chance (q < .05)" in said.support


def test_headline_claims_nothing_where_nothing_stands_out(invent) -> None:
    result = invent(q_value=np.ones(6))
    said = text.headline(result, text.ranking_rows(result))
    assert said.before == "No concept stands out from chance."
    assert said.concept == ""
    assert "red circle" in said.support


@pytest.mark.parametrize("field", ["importance", "ci_low", "q_value"])
def test_headline_survives_unknown_figures(invent, field: str) -> None:
    result = invent(**{field: np.full(6, np.nan)})
    said = text.headline(result, text.ranking_rows(result))
    assert "nan" not in f"{said.before}{said.concept}{said.after}{said.support}"


def test_without_q_values_the_interval_decides(invent) -> None:
    rows = text.ranking_rows(invent(q_value=np.full(6, np.nan)))
    assert [row.stands_out for row in rows] == [True, True, True, True, False, False]
    unknown = text.ranking_rows(invent(q_value=np.full(6, np.nan), ci_low=np.full(6, np.nan)))
    assert [row.stands_out for row in unknown] == [None] * 6


def test_warnings_put_failures_first(invent_checks) -> None:
    checks = invent_checks(["a", "b"], ("undecided", "failed", "passed"))
    assert [check.verdict for check in text.warnings_of(checks)] == ["failed", "undecided"]
    assert text.warning_title(checks) == "Read the ranking with care: of 3 checks, 1 failed and 1 is undecided."
    assert text.meaning(checks[0]).startswith("These rows are too few to tell whether it holds.")


def test_many_names_are_counted() -> None:
    assert text.few(["a", "b"]) == "a and b"
    assert text.few(list("abcdef")) == "a, b, c, d, e and f"
    assert text.few(list("abcdefgh"), 3) == "a, b and 6 more"
