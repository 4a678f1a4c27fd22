"""`genlens bias` and `genlens agreement` from the command line, their files and their errors."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from genlens.cli.app import app
from genlens.datasets.salient_imagenet import FILE

MODEL = '''
import numpy as np


def redness(images):
    pixels = np.stack(list(images)).astype(float)
    return (pixels[..., 0] - pixels[..., 2]).mean(axis=(1, 2))


def colour(images):
    pixels = np.stack(list(images)).astype(int)
    strong = pixels.max(axis=3) - pixels.min(axis=3) > 60
    return np.stack([(strong & (pixels.argmax(axis=3) == k)).mean(axis=(1, 2)) - 0.01 for k in range(3)], axis=1)
'''
CAPTIONS = [f"{colour} {kind}" for kind in ("circle", "rectangle") for colour in ("red", "green", "blue")]


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    return done.exit_code, done.output


def direct(folder: Path, *more: object) -> tuple[int, str]:
    model = folder / "model.py"
    model.write_text(MODEL)
    return run(
        "bias", 0, "--direct", "--classifier", f"{model}:redness", "--generator", "drawer", "--out", folder / "run",
        "--attribute", f"colour={model}:colour", "--values", "colour=red,green,blue", "--neutral-images", 60, "--quiet",
        *(part for caption in CAPTIONS for part in ("--neutral", caption)), *more,
    )  # fmt: skip


def test_a_direct_search_finds_what_the_classifier_looks_at(tmp_path: Path) -> None:
    code, output = direct(tmp_path, "--class-caption", "red circle")
    assert code == 0, output
    found = json.loads((tmp_path / "run" / "bias.json").read_text())
    (colour,) = found["findings"]
    assert (colour["verdict"], colour["favoured"]) == ("biased", "red")
    assert colour["p_neutral"] is None and colour["p_class_name"] < 0.001
    with (tmp_path / "run" / "pictures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found["pictures"]["neutral"] + found["pictures"]["class name"] == 120
    assert {row["colour"] for row in rows if row["pictures"] == "class name"} == {"red"}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Attribute: colour" in page and page.count("data:image/png") == 2
    again, output = direct(tmp_path, "--class-caption", "red circle")
    assert again == 0, output
    code, output = direct(tmp_path, "--neutral-images", 40)
    assert code == 1 and "was written with" in output


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--values", "side=a,b"), "`--values` names 'side', which no --attribute does"),
        (("--values", "colour=a,b"), "`--values` names 'colour' twice"),
        (("--attribute", "colour"), "must have the form name=value; got 'colour'"),
        (("--attribute", "side=model.py"), "`classifier` must be"),
        (("--alpha", "2"), "`alpha` must be a number in (0, 1); got 2.0"),
    ],
)
def test_bad_options_are_one_line(tmp_path: Path, more: tuple[str, ...], message: str) -> None:
    code, output = direct(tmp_path, *more)
    assert code == 1 and message in output and len(output.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_classifier_without_gradients_needs_direct(tmp_path: Path) -> None:
    model = tmp_path / "model.py"
    model.write_text(MODEL)
    code, output = run(
        "bias", 0, "--classifier", f"{model}:redness", "--generator", "drawer", "--out", tmp_path / "run", "--quiet",
        "--attribute", f"colour={model}:colour", "--values", "colour=red,green,blue", "--neutral", "red circle",
    )  # fmt: skip
    assert code == 1 and "radient" in output and len(output.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def annotation(folder: Path) -> Path:
    lines = ["WorkerId,Input.wordnet_id,Input.class_index,Input.feature_index,Input.feature_rank,Answer.main"]
    for pair, answers in {(0, 3): "mmmmm", (0, 5): "mmssb", (4, 1): "mmmsb", (4, 2): "bbbbb"}.items():
        names = {"m": "main_object", "s": "separate_object", "b": "background"}
        lines += [f"{w},n{pair[0]},{pair[0]},{pair[1]},1,{names[a]}" for w, a in enumerate(answers)]
    (folder / FILE).write_text("\n".join(lines) + "\n")
    return folder / FILE


def test_agreement_with_annotation(tmp_path: Path) -> None:
    file = annotation(tmp_path)
    code, output = run("agreement", "--annotation", file)
    assert code == 0 and "4 class-feature pairs, 2 spurious, 2 classes with at least one" in output
    assert "always core: agreement 0.500" in output and "balanced accuracy 0.500" in output
    verdicts = tmp_path / "verdicts.csv"
    verdicts.write_text("class,feature,verdict\n0,3,core\n0,5,spurious\n4,1,undecided\n4,2,spurious\n")
    code, output = run("agreement", verdicts, "--annotation", tmp_path)
    assert code == 0 and "verdicts: agreement 0.750" in output and "undecided 1" in output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,feature\n0,3\n", "has no column verdict"),
        ("class,feature,verdict\nx,3,core\n", "line 2: class and feature must be numbers"),
        ("class,feature,verdict\n0,3,core\n0,3,core\n", "feature 3 of class 0 comes twice"),
        ("class,feature,verdict\n0,4,core\n", "Feature 4 of class 0 was not judged; its features are 3, 5"),
        ("class,feature,verdict\n0,3,core\n0,5,yes\n", "Verdicts must be core, spurious, undecided; got 'yes'"),
        ("class,feature,verdict\n", "has no verdicts"),
    ],
)
def test_bad_verdicts_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = annotation(tmp_path)
    (tmp_path / "verdicts.csv").write_text(text)
    code, output = run("agreement", tmp_path / "verdicts.csv", "--annotation", file)
    assert code == 1 and message in output


def test_no_annotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENLENS_SALIENT_IMAGENET", raising=False)
    code, output = run("agreement")
    assert code == 1 and "pass the path" in output
    code, output = run("agreement", "--annotation", tmp_path / "none.csv")
    assert code == 1 and "There is no file" in output
