"""A run's plan on disk: what comes back is what was written, and damage is one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genlens.concepts import Concept, ConceptTable
from genlens.errors import RunFolderError
from genlens.plan import make_plan
from genlens.plan_file import ABOUT_FILE, IMAGES_FILE, ROWS_FILE, FinishedPlan


@pytest.fixture
def finished() -> FinishedPlan:
    rng = np.random.default_rng(0)
    concepts = (
        Concept("a dog", "binary", rng.permutation(np.arange(12) % 2)),
        Concept("age", "number", rng.normal(50, 9, 12)),
        Concept("view", "category", np.array(["left", "right", "<b>"], dtype=object)[np.arange(12) % 3]),
    )
    table = ConceptTable(tuple(f"row {i}" for i in range(12)), concepts, np.arange(12) % 2)
    plan = make_plan(table, 3, n_draws=2)
    held = {"scoring": "roc_auc", "target_class": None, "confidence": 0.9}
    return FinishedPlan(plan, np.asarray(table.labels), table.row_ids, np.arange(12) // 2, "generator x", held)


def test_a_plan_comes_back_as_it_was(finished: FinishedPlan, tmp_path: Path) -> None:
    finished.save(tmp_path)
    loaded = FinishedPlan.load(tmp_path)
    assert loaded.plan.captions == finished.plan.captions
    np.testing.assert_array_equal(loaded.plan.seeds, finished.plan.seeds)
    np.testing.assert_array_equal(loaded.plan.reference, finished.plan.reference)
    for one, other in zip(loaded.plan.states, finished.plan.states, strict=True):
        for name in ("index", "stratum", "counts", "own"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert (one.concept, one.strata) == (other.concept, other.strata)
    np.testing.assert_array_equal(loaded.plan.states[1].states, finished.plan.states[1].states.astype(float))
    assert (loaded.generator, loaded.settings, loaded.row_ids) == ("generator x", finished.settings, finished.row_ids)
    np.testing.assert_array_equal(loaded.y, finished.y)
    assert [int(cluster) for cluster in loaded.clusters] == finished.clusters.tolist()


def test_without_clusters_there_are_none(finished: FinishedPlan, tmp_path: Path) -> None:
    replace(finished, clusters=None).save(tmp_path)
    assert FinishedPlan.load(tmp_path).clusters is None


@pytest.mark.parametrize("name", [IMAGES_FILE, ROWS_FILE, ABOUT_FILE])
@pytest.mark.parametrize("harm", ["cut", "flip", "other"])
def test_damage_is_one_clear_line(finished: FinishedPlan, tmp_path: Path, name: str, harm: str) -> None:
    finished.save(tmp_path)
    data = (tmp_path / name).read_bytes()
    flipped = bytearray(data)
    flipped[data.index(b"stratum") + 2 if name == ABOUT_FILE else len(data) // 3] ^= 1
    other = tmp_path / (IMAGES_FILE if name == ROWS_FILE else ROWS_FILE)
    changed = {"cut": data[:-20], "flip": bytes(flipped), "other": other.read_bytes()}
    (tmp_path / name).write_bytes(changed[harm])
    with pytest.raises(RunFolderError, match=r"is damaged .*; repeat the command that wrote it") as error:
        FinishedPlan.load(tmp_path)
    assert "\n" not in str(error.value)


def test_rows_that_name_absent_images_are_damage(finished: FinishedPlan, tmp_path: Path) -> None:
    plan = finished.plan
    replace(finished, plan=replace(plan, captions=plan.captions[:5], seeds=plan.seeds[:5])).save(tmp_path)
    with pytest.raises(RunFolderError, match="name images that it doesn't have"):
        FinishedPlan.load(tmp_path)


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="Finish the run with the command that began it"):
        FinishedPlan.load(tmp_path)
