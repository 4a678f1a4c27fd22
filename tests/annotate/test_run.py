"""`genlens annotate` on shapes, whose truth is known: labels, files that are never overwritten, resume, the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from genlens.annotate.run import annotate
from genlens.annotators.classifier import ClassifierAnnotator
from genlens.annotators.protocol import Found
from genlens.classifiers import as_classifier
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.errors import UserError

NAMES = ("red circle", "green circle", "blue circle")
HEADER = "file_name,red circle,green circle,blue circle\n"


@pytest.fixture
def images(shapes_folder: Path, tmp_path: Path) -> Path:
    """The pictures of the shapes data set, without metadata."""
    shutil.copytree(shapes_folder / "images", tmp_path / "pictures" / "images")
    return tmp_path / "pictures"


@pytest.fixture
def hand(shapes_folder: Path, images: Path) -> Path:
    """The truth of the first 40 pictures, as somebody would write it."""
    frame = pd.read_csv(shapes_folder / "metadata.csv").iloc[:40][["file_name", *NAMES]]
    path = images.parent / "hand.csv"
    frame.to_csv(path, index=False)
    return path


def channels(batch: Any) -> np.ndarray:
    """Share of strongly red, green and blue pixels: a poor but honest annotator of coloured shapes."""
    pixels = np.asarray(batch, dtype=float)
    rest = [pixels[..., [j for j in range(3) if j != i]].max(axis=-1) for i in range(3)]
    return np.stack([(pixels[..., i] > rest[i] + 60).mean(axis=(1, 2)) for i in range(3)], axis=1)


class Counter:
    """Finds as many instances of every concept as there are tens in the mean pixel; counts its calls."""

    threshold, counts, fingerprint = 0.5, True, "counter"

    def __init__(self, stop_at: int = 10**9) -> None:
        self.seen, self.stop_at = 0, stop_at

    def check(self, concepts: Sequence[str]) -> None:
        """Nothing to refuse."""

    def find(self, images: Sequence[Any], concepts: Sequence[str]) -> Found:
        self.seen += len(images)
        if self.seen > self.stop_at:
            raise RuntimeError("cut")
        rows = [np.full(int(image.mean()) // 10, 0.9, dtype=np.float32) for image in images]
        return [[row for _ in concepts] for row in rows]


def test_labels_of_a_trained_classifier_are_the_truth(images: Path, hand: Path, shapes_folder: Path) -> None:
    """Through the command line, with the shipped concept net as annotator."""
    from genlens.cli import app

    call = ["annotate", str(images), "--annotator", "bundled:shapes-concepts", "--concepts", ",".join(NAMES),
            "--labels", str(hand)]  # fmt: skip
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert "sensitivity" in done.stdout
    found = pd.read_csv(images / "annotated.csv").sort_values("file_name").reset_index(drop=True)
    truth = pd.read_csv(shapes_folder / "metadata.csv").sort_values("file_name").reset_index(drop=True)
    for name in NAMES:
        assert (found[name] == truth[name]).mean() > 0.95
        assert ((found[f"{name} score"] > found[f"{name} score"][found[name] == 0].max()) == (found[name] == 1)).all()
    table = ConceptTable.from_metadata(images / "annotated.csv", NAMES)
    assert table.annotation is not None and table.annotation.calibrated == NAMES
    assert table.annotation.errors["red circle"].sensitivity > 0.9
    assert not list(images.glob(".*"))  # parts are gone
    again = CliRunner().invoke(app, call)
    assert again.exit_code == 1 and "is there already. Pass --overwrite, or choose another name" in again.stderr
    assert CliRunner().invoke(app, [*call, "--overwrite", "--quiet"]).exit_code == 0


def test_poor_labels_are_known_to_be_poor(images: Path, hand: Path) -> None:
    poor = ClassifierAnnotator(as_classifier(channels))
    found = annotate(images, poor, NAMES, labels=hand).annotation
    assert all(0.0 < errors.slope < 0.9 for errors in found.errors.values())  # rectangles have colours as well
    assert found.n_labelled == 40
    entry = json.loads((images / "annotated.annotation.json").read_text())["errors"]["red circle"]
    assert entry["sensitivity_interval"][0] < entry["sensitivity"] < entry["sensitivity_interval"][1] <= 1


def test_a_folder_with_metadata_keeps_it(shapes_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shapes"
    shutil.copytree(shapes_folder, folder)
    before = (folder / "metadata.csv").read_bytes()
    poor = ClassifierAnnotator(as_classifier(channels))
    with pytest.raises(UserError, match="has a column 'red circle' already, and it isn't overwritten"):
        annotate(folder, poor, NAMES)
    annotate(folder, poor, ("much red", "much green", "much blue"), thresholds={"much red": 0.02})
    assert (folder / "metadata.csv").read_bytes() == before
    found = pd.read_csv(folder / "annotated.csv")
    assert {"label", "red circle slot", "much red", "much red score"} <= set(found.columns)
    assert (found["much red"] == (found["much red score"] > 0.02)).all()
    for name in ("metadata.csv", "labels.jsonl", "../x.csv"):
        with pytest.raises(UserError, match=r"is there already. Choose another name|must be the name of a .csv file"):
            annotate(folder, poor, ("a", "b", "c"), out=name, overwrite=True)


def test_counts_and_nothing_found(images: Path) -> None:
    done = annotate(images, Counter(), ["things"], counts=True, out="counted.csv")
    found = pd.read_csv(done.path)
    wanted = [int(load_image(images / name).mean()) // 10 for name in found["file_name"]]
    assert found["things"].tolist() == wanted
    plain = pd.read_csv(annotate(images, Counter(), ["things"]).path)
    assert plain["things"].tolist() == [int(count > 0) for count in wanted]
    assert set(plain["things score"][plain["things"] == 0]) <= {0.0}
    with pytest.raises(UserError, match="`counts` needs an annotator that finds instances"):
        annotate(images, ClassifierAnnotator(as_classifier(channels)), NAMES, counts=True, out="x.csv")


def test_a_stopped_run_goes_on(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genlens.annotate.run.PART", 16)
    whole = annotate(images, Counter(), ["things"], out="whole.csv").path.read_bytes()
    cut = Counter(stop_at=40)
    with pytest.raises(RuntimeError, match="cut"):
        annotate(images, cut, ["things"], batch_size=8)
    assert not (images / "annotated.csv").exists()
    rest = Counter()
    assert annotate(images, rest, ["things"], batch_size=8).path.read_bytes() == whole
    assert rest.seen == 64 - 32  # two parts of 16 were whole
    other = Counter()
    other.fingerprint = "another"
    annotate(images, other, ["things"], overwrite=True)
    assert other.seen == 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,red circle\nimages/000000.png,1\n", "'green circle', which is not a column of hand.csv"),
        (HEADER + "none.png,1,0,0\n", "'none.png', which is not among the images"),
        (HEADER + "images/000000.png,1,0,0\n" * 2, "more than once"),
        (HEADER + "images/000000.png,maybe,0,0\n", "must hold 1, 0 or nothing"),
        (HEADER + "images/000000.png,-1,0,0\n", "must hold 1, 0 or nothing; got -1"),
    ],
)
def test_hand_labels_that_do_not_fit(text: str, message: str, images: Path, hand: Path) -> None:
    hand.write_text(text)
    with pytest.raises(UserError, match=message):
        annotate(images, ClassifierAnnotator(as_classifier(channels)), NAMES, labels=hand)


def test_refusals(images: Path, tmp_path: Path) -> None:
    poor = ClassifierAnnotator(as_classifier(channels))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty has no images \(.png"):
        annotate(tmp_path / "empty", poor, NAMES)
    with pytest.raises(UserError, match="`thresholds` names 'cat', which is not in `concepts`"):
        annotate(images, poor, NAMES, thresholds={"cat": 1.0})
    with pytest.raises(UserError, match="must have one output for each of the 2 concepts; got 3"):
        annotate(images, poor, NAMES[:2])
    (images / "images" / "broken.png").write_text("no image")
    with pytest.raises(UserError, match=r"broken\.png can't be read"):
        annotate(images, poor, NAMES)


def test_the_error_is_in_the_result_of_a_ranking(shapes_folder: Path, tmp_path: Path, hand: Path) -> None:
    """Labels of the concepts are taken away and found again, by a good annotator and by one that errs on purpose."""
    from genlens.classifiers.bundled import load_demo_target, load_shapes_concepts
    from genlens.depict import permutation_importance
    from genlens.generators.drawer import DrawerGenerator

    folder = tmp_path / "shapes"
    shutil.copytree(shapes_folder, folder)
    frame = pd.read_csv(folder / "metadata.csv").drop(columns=list(NAMES))
    frame.to_csv(folder / "metadata.csv", index=False)
    net = load_shapes_concepts(device="cpu")
    left = {}
    for name, annotator in (("good", net), ("poor", as_classifier(channels))):
        annotate(folder, ClassifierAnnotator(annotator), NAMES, labels=hand, out=f"{name}.csv", name=name)
        table = ConceptTable.from_metadata(folder / f"{name}.csv", NAMES, "label")
        result = permutation_importance(
            load_demo_target(device="cpu"), table, DrawerGenerator(), n_repeats=5, placebo_rows=0
        )
        (found,) = [analysis for analysis in result.analyses if analysis.code == "annotation"]
        assert f"given by {name}" in found.message
        left[name] = min(record["left"] for record in found.table)
        if name == "poor":
            assert "expected to come out too small" in found.advice
    assert left["good"] > 0.95 > left["poor"]
