"""`genlens plan --power`: what it prints, from defaults and from a pilot run, and one line for each mistake."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from genlens.cli import app
from genlens.importance.compute import importance_from_scores
from genlens.importance.states import StateScores

CONCEPTS = "red circle,green circle,blue circle,red rectangle,green rectangle,blue rectangle"


def plan(folder: Path, *more: str | Path) -> Result:
    arguments = ["plan", folder, "--concepts", CONCEPTS, *more]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def pilot(tmp_path) -> Path:
    """A finished run of three concepts, 200 rows."""
    rng = np.random.default_rng(0)
    present = (rng.random((200, 3)) < 0.5).astype(np.int64)
    weights = np.array([1.0, 0.4, 0.0])
    score = present @ weights + rng.normal(0, 0.3, 200)
    y = (score + rng.normal(0, 0.3, 200) > 0.7).astype(np.int64)
    states = []
    for j, weight in enumerate(weights):
        own = present[:, j]
        other = score + weight * (1 - 2 * own) + rng.normal(0, 0.1, 200)
        scores = np.where(own[:, None] == np.arange(2), score[:, None], other[:, None])[:, :, None]  # (N, 2, 1)
        states.append(StateScores(f"c{j}", scores, np.arange(2), np.bincount(own), own))
    made = importance_from_scores(y, score, states, n_repeats=2, n_swaps=9, settings={"n_draws": 1})
    return made.save(tmp_path / "pilot")


def test_rows_draws_images_and_time(shapes_folder):
    result = plan(shapes_folder, "--power", "0.02", "--images-per-second", "50")
    assert result.exit_code == 0, result.output
    assert "To find an importance of 0.02 (one-sided, alpha 0.05) with a chance of 80%:" in result.stdout
    assert "To tell importances of 0.05 and 0.07 apart (two-sided, alpha 0.05) with a chance of 80%:" in result.stdout
    lines = re.findall(r"  (\d) draws?: ([\d,]+) rows, ([\d,]+) images, about [\d:]+", result.stdout)
    assert [int(draws) for draws, _, _ in lines] == [1, 2, 4, 1, 2, 4]
    counts = [(int(draws), int(rows.replace(",", "")), int(images.replace(",", ""))) for draws, rows, images in lines]
    assert all(images == rows * draws * 7 for draws, rows, images in counts)  # the row as it is and six flips
    assert [rows for _, rows, _ in counts[:3]] == sorted((rows for _, rows, _ in counts[:3]), reverse=True)
    assert "rows are too few:" in result.stdout
    assert "Spread: defaults for AUROC drops at prevalence" in result.stdout


def test_level_and_chance(shapes_folder):
    result = plan(shapes_folder, "--power", "0.4", "--alpha", "0.1", "--target-power", "0.9")
    assert "alpha 0.1) with a chance of 90%" in result.stdout
    assert "These 64 rows are enough with 1 draw." in result.stdout


def test_a_pilot_run_says_how_rows_spread(shapes_folder, pilot):
    result = plan(shapes_folder, "--power", "0.02", "--pilot", pilot)
    assert result.exit_code == 0, result.output
    assert "Spread: a pilot run of 200 rows, 1 draw, 3 concepts." in result.stdout
    assert "To tell importances of 0.05 " not in result.stdout  # the pilot's own median


def test_without_power_nothing_is_said_of_it(shapes_folder):
    assert "To find" not in plan(shapes_folder).stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--power", "0"], "`--power` must be an importance > 0, such as 0.02; got 0.0."),
        (["--power", "0.02", "--alpha", "5"], "`--alpha` must lie between 0 and 0.5, such as 0.05; got 5.0."),
        (["--power", "0.02", "--target-power", "80"],
         "`--target-power` must lie between alpha (0.05) and 1, such as 0.8; got 80.0."),
        (["--power", "0.02", "--pilot", "none"], "none holds no result.json; it isn't the folder of a finished run."),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(shapes_folder, arguments, line):
    result = plan(shapes_folder, *arguments)
    assert result.exit_code == 1
    assert result.stderr == line + "\n"


@pytest.mark.parametrize("arguments", [["--alpha", "0.1"], ["--target-power", "0.9"], ["--pilot", "run"]])
def test_options_that_need_power(shapes_folder, arguments):
    result = plan(shapes_folder, *arguments)
    assert result.exit_code == 2
    assert f"{arguments[0]} needs --power." in " ".join(result.stderr.replace("│", " ").split())
