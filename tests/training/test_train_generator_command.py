"""`genlens train-generator`: options that don't go together, one-line errors, and one way from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from genlens.cli import app

COLOURS = "red circle,green circle,blue circle"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["train-generator", *(str(argument) for argument in arguments)])


def test_training_lora_and_distillation(pipeline_folder: Any, shapes_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def colours(images):\n"
        "    return np.asarray(images, dtype=float).mean(axis=(1, 2))\n"
    )
    call = [
        shapes_folder, "--base", pipeline_folder("sd"), "--out", tmp_path / "out", "--concepts", COLOURS, "--caption",
        "presence", "--steps", "2", "--batch-size", "2", "--device", "cpu", "--lora", "2", "--threads", "1",
        "--held-out", "10", "--concept-classifier", f"{tmp_path / 'mine.py'}:colours", "--render-steps", "1",
        "--max-rows", "20", "--distill", "--distill-steps", "1", "--few-steps", "2",
    ]  # fmt: skip
    done = run(*call)
    assert done.exit_code == 0, done.output
    out = tmp_path / "out"
    assert done.stdout.count("Concept AUROC on held-out rows: real images, generated at step 0 and") == 2
    assert done.stdout.count("gain in the mean: ") == 2
    assert "red circle  " in done.stdout and "mean  " in done.stdout
    for path in (out / "lora" / "pytorch_lora_weights.safetensors", out / "pipeline", out / "distill" / "pipeline"):
        assert path.exists() and str(path) in done.stdout
    assert run(*call, "--quiet").stdout == ""
    changed = run(*call, "--seed", "1")
    assert changed.exit_code == 1 and "was begun with" in changed.stderr and len(changed.stderr.splitlines()) <= 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give either --concepts or"),
        (["--concepts", "red circle", "--caption-column", "x"], "Give either --concepts or"),
        (["--caption-column", "x", "--concept-classifier", "mine.py:f"], "--concept-classifier needs"),
        (["--concepts", "red circle", "--merge"], "--merge needs --lora"),
        (["--concepts", "red circle", "--steps", "0"], "--steps 0 needs --distill"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], message: str, shapes_folder: Path) -> None:
    done = run(shapes_folder, "--base", "none", "--out", "none", *arguments)
    assert done.exit_code == 2 and message in done.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--concepts", "red sofa"], "'red sofa', which is not a column"),
        (["--caption-column", "text"], "`caption_column` is 'text', which is not a column"),
        (["--concepts", "red circle", "--times", "high"], "`--times` must be two shares, such as 0,0.7; got 'high'"),
        (["--concepts", "red circle", "--times", "1,0"], "`times` must be two shares"),
        (["--concepts", "red circle", "--held-out", "64"], "`held_out` must be less than the number of rows, 64"),
        (["--concepts", "red circle", "--held-out", "8"], "`base` must be the folder or the hub id"),
    ],
)
def test_one_line_errors(arguments: list[str], message: str, shapes_folder: Path, tmp_path: Path) -> None:
    import re

    done = run(shapes_folder, "--base", tmp_path / "none", "--out", tmp_path / "out", "--quiet", *arguments)
    assert done.exit_code == 1 and re.search(message, done.stderr), done.stderr
    assert not (tmp_path / "out").exists()
