"""The protocol on photographs, on pictures of coloured bars: its parts, and the whole way with a perfect generator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from genlens.datasets.coco_scenes import INSTANCES
from genlens.errors import UserError
from genlens.experiments.photos import reproduce_photos
from genlens.experiments.photos_agreement import agreement
from genlens.experiments.photos_baselines import best_importance
from genlens.experiments.photos_data import Photos, load_photos
from genlens.experiments.photos_depict import depict, states_of
from genlens.experiments.photos_lab import Settings
from genlens.experiments.photos_targets import MIXED, PRIMARY, Target, fit_targets, oracles
from genlens.importance.exact import expected_importance
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring
from genlens.plan import make_plan

CONCEPTS, SCENES = ("cup", "tv", "bed"), ("home", "work")
COLOURS = ((230, 40, 40), (40, 220, 60), (60, 80, 240))
SIZE = 32


def bars(counts: Sequence[int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One upright bar of a concept's colour for each that is there."""
    picture = rng.integers(0, 40, (SIZE, SIZE, 3)).astype(np.uint8)
    for j, count in enumerate(counts):
        if count:
            left = 2 + 10 * j + int(rng.integers(3))
            picture[4:28, left : left + 6] = COLOURS[j]
    return picture


class BarGenerator:
    """Draws what the caption says."""

    fingerprint = "bars"

    def check_captions(self, captions: Sequence[str]) -> None:
        """Any will do."""

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        named = [[int(concept in caption) for concept in CONCEPTS] for caption in captions]
        return np.stack([bars(counts, np.random.default_rng(int(s))) for counts, s in zip(named, seeds, strict=True)])


def write_split(folder: Path, n: int, seed: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 2, (n, len(CONCEPTS))) * rng.integers(1, 3, (n, len(CONCEPTS)))
    chance = 1 / (1 + np.exp(-((counts > 0) @ np.array([[4.0, 0.0], [2.0, -3.0], [0.0, 3.0]]) - [3.0, 0.5])))
    frame = pd.DataFrame(counts, columns=list(CONCEPTS))
    frame[list(SCENES)] = (rng.random(chance.shape) < chance).astype(int)
    frame.insert(0, "file_name", [f"{i}.png" for i in range(n)])
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i, row in enumerate(counts):
        Image.fromarray(bars(row, rng)).save(folder / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": SIZE, "height": SIZE})
        for j in np.flatnonzero(row):
            left = 2 + 10 * int(j)
            box = [left, 4, left + 8, 4, left + 8, 28, left, 28]
            category = int(j) + 1
            annotations.append({"id": len(annotations), "image_id": i, "category_id": category, "segmentation": [box]})
    categories = [{"id": j + 1, "name": name} for j, name in enumerate(CONCEPTS)]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (folder / INSTANCES).write_text(json.dumps(data))
    frame.to_csv(folder / "metadata.csv", index=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos")
    write_split(path / "train", 200, 0)
    write_split(path / "test", 120, 1)
    return path


@pytest.fixture(scope="module")
def photos(folder: Path) -> Photos:
    return load_photos("bars", folder, CONCEPTS, SCENES, max_rows=1000, seed=0)


def test_captions_say_counts_and_switch_on_the_count_of_another_row(photos: Photos, folder: Path) -> None:
    frame = pd.read_csv(folder / "test" / "metadata.csv")
    plan = make_plan(photos.test, 0)
    for row, counts in enumerate(frame[list(CONCEPTS)].to_numpy()):
        caption = plan.captions[plan.reference[row, 0]]
        assert caption == ", ".join(f"{c} {name}" for c, name in zip(counts, CONCEPTS, strict=True) if c)
    on = [plan.captions[image] for image in plan.states[0].index[:, 1, 0]]
    assert {caption.split(",")[0] for caption in on} == {"1 cup", "2 cup"}


def test_a_part_of_the_rows_is_drawn_by_the_seed(folder: Path) -> None:
    chosen = [load_photos("bars", folder, CONCEPTS, SCENES, max_rows=50, seed=seed).test.row_ids for seed in (0, 0, 1)]
    assert len(chosen[0]) == 50
    assert chosen[0] == chosen[1] != chosen[2]


def test_masks_are_read_beside_the_metadata(photos: Photos) -> None:
    assert photos.test.masks is not None
    masks = photos.test.masks(0)
    assert masks.any(axis=(1, 2)).tolist() == photos.test.presence()[0].tolist()


def test_missing_columns_and_absent_concepts_are_one_line(folder: Path) -> None:
    with pytest.raises(UserError, match="no column 'sofa'"):
        load_photos("bars", folder, ("cup", "sofa"), SCENES, max_rows=50, seed=0)


def perfect_logits(presence: NDArray[np.int64], seed: int = 0) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(size=presence.shape)
    return 4.0 * (2 * presence - 1) + noise


def test_primary_models_rely_on_their_concept(photos: Photos) -> None:
    targets, left_out = fit_targets(photos, perfect_logits(photos.train.presence), 0)
    assert left_out == []
    assert [(t.name, t.setting) for t in targets] == [*((c, PRIMARY) for c in CONCEPTS), *((s, MIXED) for s in SCENES)]
    truth = oracles(targets, perfect_logits(photos.test.presence().astype(np.int64), 1))
    assert truth["bottleneck"][:3].argmax(axis=1).tolist() == [0, 1, 2]
    assert truth["weights"][:3].argmax(axis=1).tolist() == [0, 1, 2]
    assert (truth["weights"] >= 0).all()
    for target in targets[:3]:  # tested where the concept and the scene coincide
        column = photos.test.presence()[target.rows, CONCEPTS.index(target.name)]
        assert (column == target.labels.astype(bool)).all()


def test_models_without_rows_are_named(photos: Photos) -> None:
    scenes = photos.test_scenes.copy()
    scenes[:, 1] = 0
    targets, left_out = fit_targets(replace(photos, test_scenes=scenes), perfect_logits(photos.train.presence), 0)
    assert "work" not in [target.name for target in targets]
    assert left_out == ["mixed work: 0 rows of a class, at least 10 are needed"]


def test_states_of_all_rows_are_the_plans(photos: Photos) -> None:
    plan = make_plan(photos.test, 0)
    scores = np.random.default_rng(0).normal(size=plan.n_images)
    every = np.arange(photos.test.n_rows)
    for states in plan.states:
        whole, part = StateScores.from_states(states, scores), states_of(states, scores, every)
        assert (whole.scores == part.scores).all()
        assert (whole.counts == part.counts).all()
        some = states_of(states, scores, every[:40])
        assert some.counts.sum() == 40
        assert (some.scores == whole.scores[:40]).all()


def test_depict_of_a_model_is_that_of_its_rows_alone(photos: Photos) -> None:
    plan, rng = make_plan(photos.test, 0), np.random.default_rng(0)
    logits = rng.normal(size=(plan.n_images, len(CONCEPTS)))
    rows = np.arange(10, 90)
    target = Target("home", MIXED, np.array([1.0, -2.0, 0.5]), 0.3, rows, rng.integers(0, 2, 80))
    found = depict([target], logits, plan, 50, 0)
    scores, scoring = logits @ target.weights, get_scoring("roc_auc")
    for j, states in enumerate(plan.states):
        part = states_of(states, scores, rows)
        expected = expected_importance(target.labels, scores[plan.reference[rows]], part, scoring)
        assert found["exact"][0, j] == pytest.approx(expected, abs=1e-12)
    assert np.abs(found["exact"] - found["sampled"]).max() < 0.03


def test_agreement_leaves_out_what_is_withheld() -> None:
    rng = np.random.default_rng(0)
    oracle = rng.random((8, 5))
    perfect = agreement(2 * oracle, oracle)
    assert perfect.r == pytest.approx(1)
    assert perfect.slope == pytest.approx(2)
    assert (perfect.top, perfect.pairs) == (1.0, 40)
    held = np.where(oracle > 0.8, np.nan, oracle)
    some = agreement(held, oracle)
    assert some.pairs == int((oracle <= 0.8).sum())
    assert some.r == pytest.approx(1)
    assert some.top < 1
    nothing = agreement(np.full_like(oracle, np.nan), oracle)
    assert nothing.pairs == 0
    assert np.isnan(nothing.r)
    assert agreement(rng.random((8, 5)), oracle).r < 0.6


def test_best_importance_counts_only_rows_of_the_model_that_have_the_concept() -> None:
    presence = np.array([[True, False], [True, True], [False, True]])
    targets = [Target("a", MIXED, np.ones(2), 0.0, np.array([0, 1]), np.array([0, 1]))]
    overlaps = np.arange(6, dtype=float).reshape(1, 3, 1, 2)  # setting, row, model, concept
    importance, number, _ = best_importance(targets, overlaps, presence, np.array([[1.0, 2.0]]), range(3))
    assert number == 0
    assert importance.tolist() == [[1.0, 3.0]]  # rows 0 and 1 of concept 0; row 1 of concept 1


def test_the_whole_way_with_a_perfect_generator(photos: Photos, tmp_path: Path) -> None:
    settings = Settings(map_rows=12, lime_rows=3, lime_samples=60, net_steps=60, size=SIZE)
    lines: list[str] = []
    result = reproduce_photos(tmp_path / "out", photos, BarGenerator(), settings, log=lines.append)
    text = result.markdown.read_text()
    assert result.report.is_file()
    for title in ("Primary models", "Mixed models", "Target models on real", "The generator, concept by concept"):
        assert f"### {title}" in text
    models = [line.split(" | ") for line in text.splitlines() if " | primary | " in line or " | mixed | " in line]
    assert len(models) == 5
    assert all(abs(float(row[5])) < 0.05 and row[6] != "failed" for row in models)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| DEPICT, adjusted")]
    rows = [row for row in rows if row[1] == "bottleneck"]
    assert len(rows) == 4  # with and without effects that differ by row, in both settings
    assert all(float(row[2].split(" [")[0]) > 0.95 for row in rows)
    first = dict(result.seconds)
    lines.clear()
    again = reproduce_photos(tmp_path / "out", photos, BarGenerator(), settings, log=lines.append)
    assert lines == []  # every stage was kept
    assert again.seconds == first
    with pytest.raises(UserError, match="seed"):
        reproduce_photos(tmp_path / "out", photos, BarGenerator(), replace(settings, seed=1), log=lines.append)
