"""`genlens study` end to end on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from genlens.cli import app
from genlens.study.design import CHECK_WORDS


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for item in ("zebra", "fox"):
        for k, method in enumerate(("mine", "theirs")):
            folder = tmp_path / "images" / item / method
            folder.mkdir(parents=True)
            Image.new("RGB", (16, 16), (90 * k, 90, 90)).save(folder / "0.png")
    return tmp_path / "images"


def test_build_answer_analyze(images: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    built = run("study", "build", images, "--ours", "mine", "--against", "theirs", "--out", study, "--images", "1",
                "--people", "4")  # fmt: skip
    assert built.exit_code == 0, built.output
    assert "3 questions a person" in built.stdout
    key = json.loads((study / "key.json").read_text())
    for number, steps in enumerate(key["schedules"], start=1):
        choices = [CHECK_WORDS[s["item"]] if s["kind"] == "check" else
                   next(name for name in s["sets"] if key["sets"][name][1] == "mine") for s in steps]  # fmt: skip
        told = {"format": "genlens-study-answers", "version": 1, "design": key["design"], "person": number,
                "session": str(number), "consent": True,
                "answers": [{"step": k, "choice": c, "ms": 9} for k, c in enumerate(choices)]}  # fmt: skip
        (tmp_path / f"answers-{number}.json").write_text(json.dumps(told))
    found = run("study", "analyze", *sorted(tmp_path.glob("answers-*.json")), "--key", study / "key.json")
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("mine against theirs: 100.0%")
    assert {path.name for path in (study / "analysis").iterdir()} == {"report.html", "results.md", "answers.csv"}


def test_power_prints_the_number_of_people() -> None:
    found = run("study", "power", "--preference", "0.75", "--trials", "12")
    assert found.exit_code == 0
    assert "people who pass the checks of attention" in found.stdout and "Normal approximation" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["power", "--preference", "0.5", "--trials", "9"], "must differ from 0.5"),
        (["analyze", "x.json", "--key", "none.json"], "none.json isn't there."),
        (["build", "none", "--ours", "a", "--against", "b", "--out", "o"], "none is not a folder"),
    ],
)
def test_errors_are_one_line(arguments: list[str], line: str) -> None:
    result = run("study", *arguments)
    assert result.exit_code == 1
    (said,) = result.stderr.splitlines()
    assert line in said
