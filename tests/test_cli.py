"""The command line: help, documentation, exit codes, one-line errors, speed, and each command end to end."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner, Result

from genlens.cli import app
from genlens.cli.grammar import split_names, split_pairs
from genlens.errors import UserError
from genlens.importance.result import ImportanceResult

DOCS = (Path(__file__).parents[1] / "docs" / "cli.md").read_text(encoding="utf-8")
CONCEPTS = "red circle,green circle,blue circle,red rectangle,green rectangle,blue rectangle"
REDNESS = """
import numpy as np

def redness(images):
    return np.stack([(image[..., 0] > image[..., 1] + 60.0).mean() for image in np.asarray(images, dtype=float)])

def broken(images):
    return np.full(len(images), np.nan)
"""


def commands(command: Any = None, path: str = "genlens") -> Iterator[tuple[str, Any]]:
    command = command or get_command(app)
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, f"{path} {name}")


ALL = dict(commands())
LEAVES = {path: command for path, command in ALL.items() if not hasattr(command, "commands")}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def one_line(result: Result) -> str:
    """The only line on stderr."""
    (line,) = result.stderr.splitlines()
    assert "Traceback" not in result.output
    return line


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(REDNESS)
    return f"{tmp_path / 'mine.py'}:redness"


def rank(folder: Path, mine: str, out: Path, *more: str) -> Result:
    return run(
        "rank", folder, "--concepts", CONCEPTS, "--label-from-classifier", "--classifier", mine,
        "--generator", "drawer", "--out", out, "--n-repeats", "5", *more,
    )  # fmt: skip


def test_the_commands_are_the_documented_ones() -> None:
    headings = set(re.findall(r"^## (genlens [a-z -]+?)(?: [A-Z]+)?$", DOCS, re.M))
    assert set(LEAVES) == headings


@pytest.mark.parametrize("path", ALL)
def test_every_command_and_option_has_help(path: str) -> None:
    assert ALL[path].help
    assert [parameter.name for parameter in ALL[path].params if not getattr(parameter, "help", None)] == []


@pytest.mark.parametrize("path", LEAVES)
def test_every_option_is_documented(path: str) -> None:
    section = DOCS.split(f"\n## {path}")[1].split("\n## ")[0]
    if path == "genlens plan":
        section += DOCS.split("\n## genlens rank")[1].split("\n## ")[0]
    options = {name for parameter in LEAVES[path].params for name in parameter.opts if name.startswith("--")}
    assert {name for name in options - {"--help"} if f"`{name}`" not in section} == set()


@pytest.mark.parametrize("path", ALL)
def test_help_exits_with_zero(path: str) -> None:
    assert run(*path.split()[1:], "--help").exit_code == 0


def test_version() -> None:
    import genlens

    assert run("--version").stdout == f"genlens {genlens.__version__}\n"


def test_help_is_quick() -> None:
    def seconds() -> float:
        """Processor time, so that a busy machine makes no difference."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "genlens", "--help"], check=True, capture_output=True, timeout=60)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.8


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["rank"],
        ["rank", "data", "--concepts", "a", "--classifier", "c", "--generator", "g", "--out", "o"],  # no label
        ["rank", "data", "--concepts", "a", "--classifier", "c", "--generator", "g", "--out", "o", "--label", "y",
         "--label-from-classifier"],
        ["rank", "data", "--concepts", "a", "--classifier", "c", "--generator", "g", "--out", "o", "--label", "y",
         "--n-repeats", "0"],
        ["plan", "data", "--concepts", "a", "--measure"],
        ["plan", "data", "--concepts", "a", "--generator", "drawer", "--measure", "--images-per-second", "3"],
        ["plan", "data", "--concepts", "a", "--noise", "loud"],
        ["data", "shapes", "out", "--n", "0"],
        ["data", "scenes", "out", "--n", "0"],
        ["data", "scenes", "out", "--split", "dev"],
    ],
)  # fmt: skip
def test_a_wrong_command_line_exits_with_two(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_usage_error_says_what_is_missing() -> None:
    result = run("rank", "data", "--concepts", "a", "--classifier", "c", "--generator", "g", "--out", "o")
    assert "Give either --label or --label-from-classifier." in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("`n` must be 1;\ngot 2."), 1, "`n` must be 1; got 2."),
        (PermissionError(13, "Permission denied", "/x"), 1, "Permission denied: /x"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (KeyboardInterrupt(), 130, "Stopped."),
        (KeyboardInterrupt("Stopped after 3 images; repeat the command to go on."), 130,
         "Stopped after 3 images; repeat the command to go on."),
    ],
)  # fmt: skip
def test_errors_are_one_line(error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("genlens.importance.result.ImportanceResult.load", fail)
    result = run("check", "run")
    assert result.exit_code == code
    assert one_line(result) == line


def test_a_bug_is_not_dressed_up_as_a_mistake_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("genlens.importance.result.ImportanceResult.load", fail)
    result = run("check", "run")
    assert isinstance(result.exception, RuntimeError)


def test_the_process_exits_with_one_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "genlens", "check", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path / 'none'} holds no result.json; it isn't the folder of a finished run.\n"


def test_plan_counts_images_before_anything_is_spent(shapes_folder: Path) -> None:
    asked = ["plan", shapes_folder, "--concepts", CONCEPTS, "--n-repeats", "500", "--images-per-second", "64"]
    result = run(*asked, "--placebo-rows", "0")
    assert result.exit_code == 0, result.output
    assert "448 images to render, instead of 192,064" in result.stdout  # 64 (1 + 6) and 64 (1 + 6 * 500)
    assert "Time: about 0:07 at 64 images/s" in result.stdout


def test_plan_counts_the_images_that_rank_renders(shapes_folder: Path, run_folder: Path, mine: str) -> None:
    planned = run("plan", shapes_folder, "--concepts", CONCEPTS)
    assert "placebo, 2 states in 57 rows: 57 more images" in planned.stdout, planned.stdout
    rank(shapes_folder, mine, run_folder, "--quiet")
    assert ImportanceResult.load(run_folder).n_images == 64 * 7 + 57
    assert "505 images to render" in planned.stdout


def test_plan_counts_doses(tmp_path: Path) -> None:
    lines = ["file_name,age,hat", *(f"{k}.png,{20 + k},{k % 2}" for k in range(40))]
    (tmp_path / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")
    for k in range(40):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{k}.png")
    asked = ["plan", tmp_path, "--concepts", "age,hat", "--kinds", "age=number", "--placebo-rows", "0"]
    plain, dosed = (run(*asked, *more).stdout for more in ([], ["--dose", "age=25,30,35", "--dose-rows", "10"]))
    assert "160 images" in plain and "doses" not in plain
    assert "doses: age, 3 states in 10 rows:" in dosed
    wrong = run(*asked, "--dose", "age=5,30")
    assert wrong.exit_code == 1
    assert wrong.stderr == "`doses` of 'age' must lie within what the table has, 20 to 59; got 5.\n"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--doses", "5", "--dose", "age=1,2"], "Give either `--doses` (for all numbers and counts) or `--dose`"),
        (["--dose", "age=young,old"], "`--dose` must list numbers, such as age=20,40,60; got age=young,old."),
        (["--dose", "age"], "`--dose` must have the form name=value; got 'age'."),
        (["--doses", "5"], "`doses` needs a concept that is a number or a count; this table has none."),
        (["--dose-rows", "5"], "`dose_rows`=5 has no effect without `doses`."),
    ],
)
def test_doses_that_make_no_sense_are_refused(shapes_folder: Path, more: list[str], message: str) -> None:
    result = run("plan", shapes_folder, "--concepts", CONCEPTS, *more)
    assert (result.exit_code, result.stderr.startswith(message)) == (1, True), result.stderr


def test_plan_measures_a_generator(shapes_folder: Path) -> None:
    result = run("plan", shapes_folder, "--concepts", CONCEPTS, "--generator", "drawer", "--measure")
    assert result.exit_code == 0, result.output
    assert re.search(r"Time: about \d+:\d\d at [\d,]+ images/s", result.stdout)


def test_plan_without_a_rate_says_that_the_time_is_unknown(shapes_folder: Path) -> None:
    result = run("plan", shapes_folder, "--concepts", "red circle,blue circle", "--max-rows", "20")
    assert "20 rows, 2 concepts" in result.stdout
    assert "Time: unknown" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--concepts", "red circle,sofa"], "'sofa'"),
        (["--concepts", "red circle", "--label", "sofa"], "'sofa'"),
        (["--concepts", "red circle", "--kinds", "red circle"], "`--kinds` must have the form name=value"),
        (["--concepts", "red circle", "--caption", "poem"], "`caption` must be list"),
        (["--concepts", "red circle", "--coco", "a.json", "--context", "x"], "`--context` needs a metadata file"),
        (["--concepts", "red circle", "--generator", "drawer", "--steps", "3"], "it takes no `num_inference_steps`"),
    ],
)
def test_mistakes_in_the_data_options(shapes_folder: Path, arguments: list[str], message: str) -> None:
    result = run("plan", shapes_folder, *arguments)
    assert result.exit_code == 1
    assert message in one_line(result)


def test_an_unknown_scorer_is_found_before_the_classifier_is_loaded(shapes_folder: Path, run_folder: Path) -> None:
    result = rank(shapes_folder, "missing.py:load", run_folder, "--scoring", "roc")
    assert result.exit_code == 1
    assert "roc" in one_line(result)
    assert "missing.py" not in result.stderr
    assert not run_folder.exists()


def test_rank_check_and_report(shapes_folder: Path, run_folder: Path, mine: str, tmp_path: Path) -> None:
    result = rank(shapes_folder, mine, run_folder)
    assert result.exit_code == 0, result.output
    header, first, *_ = (run_folder / "ranking.csv").read_text().splitlines()
    assert header == "concept,importance,std,ci_low,ci_high,p_value,q_value,reliance,reliance_signed,rank"
    assert first.startswith(("red circle,", "red rectangle,"))
    assert {"ranking.csv", "result.json", "checks.json", "report.html"} <= {path.name for path in run_folder.iterdir()}
    assert f"Report: {run_folder / 'report.html'}" in result.stdout.replace("\n", "")

    assert run("check", run_folder).exit_code == 0
    again = run("report", run_folder, "--out", tmp_path / "again.html")
    assert again.exit_code == 0
    assert (tmp_path / "again.html").read_text().startswith("<!")


def test_rank_quiet_prints_nothing(shapes_folder: Path, run_folder: Path, mine: str) -> None:
    result = rank(shapes_folder, mine, run_folder, "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_rank_refuses_a_folder_of_other_settings(shapes_folder: Path, run_folder: Path, mine: str) -> None:
    assert rank(shapes_folder, mine, run_folder).exit_code == 0
    other = rank(shapes_folder, mine, run_folder, "--seed", "1", "--quiet")
    assert other.exit_code == 1
    assert re.search(r"seed.*--overwrite", one_line(other))
    assert rank(shapes_folder, mine, run_folder, "--seed", "1", "--overwrite").exit_code == 0


def test_rank_with_a_classifier_that_returns_nan(shapes_folder: Path, run_folder: Path, mine: str) -> None:
    result = rank(shapes_folder, mine.replace(":redness", ":broken"), run_folder, "--quiet")
    assert result.exit_code == 1
    assert "NaN" in one_line(result)


def test_data_shapes_is_reproducible(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run("data", "shapes", tmp_path / name, "--n", "8", "--seed", "3").exit_code == 0
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) >= 9
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


def test_data_scenes_is_reproducible_and_says_what_is_missing(tmp_path: Path, fashion_folder: Path) -> None:
    for name in ("a", "b"):
        options = ("--n", "6", "--seed", "3", "--split", "val", "--photos", fashion_folder)
        result = run("data", "scenes", tmp_path / name, *options)
        assert result.exit_code == 0
        assert "Wrote 6 images, their metadata and instances_val.json" in result.stdout
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 6 + 3
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    again = run("data", "scenes", tmp_path / "a", "--photos", fashion_folder)
    assert again.exit_code == 1
    assert "`out` must not hold a data set yet" in one_line(again)
    elsewhere = run("data", "scenes", tmp_path / "c", "--photos", tmp_path)
    assert elsewhere.exit_code == 1
    assert "lacks Fashion-MNIST's IDX files" in one_line(elsewhere)
    assert not (tmp_path / "c").exists()


def test_names_and_pairs() -> None:
    assert split_names(" person, tv ,,") == ["person", "tv"]
    assert split_pairs("--text", ["a = b", "c=d=e"]) == {"a": "b", "c": "d=e"}
    with pytest.raises(UserError, match="`--text` names 'a' twice"):
        split_pairs("--text", ["a=1", "a=2"])


def test_every_command_is_a_plain_function() -> None:
    assert all(isinstance(command.callback, type(run)) for command in LEAVES.values())
    assert isinstance(app, typer.Typer)
