"""`genlens spurious` from the command line: its files, going on, its errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genlens.cli.app import app

MODEL = '''
import numpy as np
import torch


class Colours(torch.nn.Module):
    """Class 0 rests on red and on blue, class 1 on green."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))

    def forward(self, images):
        others = (images.sum(dim=1, keepdim=True) - images) / 2
        return self.head(10 * torch.relu(images - others - 0.15).mean(dim=(2, 3)))


def load():
    return Colours()


def marks(images, text):
    channel = ["red", "green", "blue"].index(text.split()[0])
    others = np.delete(images.astype(int), channel, axis=3).max(axis=3)
    return (images[..., channel] - others > 60).astype(np.float32)


def dark(images):
    return images.mean(axis=(1, 2, 3))
'''


def run(folder: Path, *more: object, classifier: str = "load", target: object = 0) -> tuple[int, str]:
    model = folder / "model.py"
    model.write_text(MODEL)
    arguments = (
        "spurious", target, "--classifier", f"{model}:{classifier}", "--segmenter", f"{model}:marks", "--generator",
        "shapes", "--out", folder / "run", "--name", "red circle", "--others", "green circle; blue circle", "--words",
        "red circle,blue rectangle", "--images", 4, "--calibration", 4, "--restarts", 2, "--iterations", 1, "--batch",
        1, "--class-weight", 0, "--top-k", 2, *more,
    )  # fmt: skip
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    return done.exit_code, done.output


def test_verdicts_candidates_and_report(tmp_path: Path) -> None:
    code, output = run(tmp_path)
    assert code == 0, output
    assert "core" in output and "spurious" in output and "Report:" in output
    found = json.loads((tmp_path / "run" / "spurious.json").read_text())
    assert {one["feature"]["index"]: one["verdict"] for one in found["findings"]} == {0: "core", 2: "spurious"}
    listed = json.loads((tmp_path / "run" / "candidates.json").read_text())["concepts"]
    assert [one["name"] for one in listed] == ["blue rectangle"]
    before = (tmp_path / "run" / "spurious.json").read_text()
    assert run(tmp_path, "--quiet") == (0, "")
    assert (tmp_path / "run" / "spurious.json").read_text() == before


@pytest.mark.parametrize(
    ("more", "options", "message"),
    [
        ((), {"target": 5}, "The class must be in 0..1; got 5"),
        ((), {"classifier": "dark"}, "has no gradients"),
        (("--words", " , "), {}, "has no words"),
        (("--threshold", 1), {}, "`threshold` must be a share between 0 and 1; got 1.0"),
        (("--min-share", 0), {}, "`min_share` must be a share in (0, 1]"),
        (("--generator", "drawer"), {}, "DrawerGenerator has no text encoder"),
        (("--segmenter", "none.py:marks"), {}, "There is no file 'none.py'"),
        (("--pictures", "none"), {}, "`pictures` must be a folder with images"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, more: tuple[object, ...], options: dict[str, object], message: str
) -> None:
    code, output = run(tmp_path, *more, **options)  # type: ignore[arg-type]
    assert code == 1 and message in output and len(output.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
