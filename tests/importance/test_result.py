"""The frozen result: ranking, tidy frame, folder round trip, damage."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from genlens.errors import RunFolderError
from genlens.importance.compute import importance_from_scores
from genlens.importance.result import RANKING_COLUMNS, Analysis, CheckResult, ImportanceResult, Picture
from genlens.store import encode_png

CHECK = CheckResult(
    "independent-permutation", "Independent permutation", "failed", 0.2, 0.05, "It moves.", "Group them.",
    table=[{"concept": "c0", "own_change": -0.2, "flips_shown": None}],
    matrix=[[-0.2, 0.0], [float("nan"), 0.01]],
    labels=["c0", "c1"],
)  # fmt: skip
ANALYSIS = Analysis(
    "variance", "Variance", "Most of it comes from rows.", "Add rows.",
    table=[{"concept": "c0", "share": 0.9, "share_low": 0.8, "share_high": None}],
    matrix=[[float("nan"), 0.5], [0.5, 1.0]],
    labels=["c0", "c1"],
)  # fmt: skip
PNG = encode_png(np.zeros((2, 3, 3), np.uint8))
PICTURE = Picture("c1", "row 7.png", "on", "1 dog, 2 ünïcode", 1.25, PNG)


@pytest.fixture
def result(make_world):
    world = make_world(n_rows=60, weights=(0.2, 1.0))
    found = importance_from_scores(
        world.y, world.reference, world.states, n_repeats=7, n_swaps=19, real=world.reference, n_images=180,
        settings={"seed": 0, "steps": [1, 2], "generator": "./sd"},
    )  # fmt: skip
    effects = found.effects.copy()
    effects[0] = np.nan
    return dataclasses.replace(found, checks=(CHECK,), analyses=(ANALYSIS,), gallery=(PICTURE,), effects=effects)


def test_ranking_has_the_agreed_columns_in_order_of_importance(result):
    ranking = result.ranking()
    assert tuple(ranking.columns) == RANKING_COLUMNS
    assert ranking["concept"].tolist() == ["c1", "c0"] and ranking["rank"].tolist() == [1, 2]
    assert result.rank.tolist() == [2, 1]
    assert ranking["importance"].is_monotonic_decreasing


def test_frame_is_tidy(result):
    frame = result.frame()
    assert frame.columns.tolist() == ["concept", "repeat", "importance"] and len(frame) == 14
    assert frame.query("concept == 'c1'")["importance"].tolist() == result.repeats[1].tolist()


def test_results_are_frozen(result):
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.importance = np.zeros(2)


def assert_same(one, other):
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, CheckResult | Analysis):
        assert dataclasses.replace(one, matrix=None) == dataclasses.replace(other, matrix=None)
        np.testing.assert_array_equal(np.array(one.matrix), np.array(other.matrix))
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == other


def test_saving_and_loading_keeps_every_field_to_the_bit(result, tmp_path):
    folder = result.save(tmp_path / "new" / "run")
    loaded = ImportanceResult.load(folder)
    for field in dataclasses.fields(ImportanceResult):
        assert_same(getattr(result, field.name), getattr(loaded, field.name))
    names = {"ranking.csv", "result.json", "checks.json", "analyses.json"}
    names |= {"repeats.parquet", "effects.parquet", "gallery.parquet"}
    assert {path.name for path in folder.iterdir()} == names
    pd.testing.assert_frame_equal(pd.read_csv(folder / "ranking.csv"), result.ranking(), check_dtype=False)
    assert json.loads((folder / "checks.json").read_text())[0]["matrix"][1][0] is None


def test_a_result_without_extras_makes_the_round_trip(result, tmp_path):
    bare = dataclasses.replace(result, checks=(), gallery=(), real_score=None, real_ci=None)
    loaded = ImportanceResult.load(bare.save(tmp_path))
    assert loaded.checks == () and loaded.gallery == () and loaded.real_score is None and loaded.real_ci is None


def test_numpy_numbers_in_settings_and_checks_are_written(result, tmp_path):
    settings = {"rate": np.float32(0.5), "sizes": (np.int64(3),), "gap": float("nan")}
    loaded = ImportanceResult.load(dataclasses.replace(result, settings=settings).save(tmp_path))
    assert loaded.settings == {"rate": 0.5, "sizes": [3], "gap": None}


def test_saving_again_replaces(result, tmp_path):
    result.save(tmp_path)
    dataclasses.replace(result, importance=result.importance + 1).save(tmp_path)
    assert ImportanceResult.load(tmp_path).importance.tolist() == (result.importance + 1).tolist()


def test_a_folder_without_a_result_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match=r"holds no result.json; it isn't the folder of a finished run"):
        ImportanceResult.load(tmp_path)


@pytest.mark.parametrize(
    "name", ["result.json", "checks.json", "analyses.json", "repeats.parquet", "effects.parquet", "gallery.parquet"]
)
def test_a_damaged_file_is_one_clear_line(name, result, tmp_path):
    result.save(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:20])
    with pytest.raises(RunFolderError, match=r"is damaged .*; repeat the command that wrote it") as error:
        ImportanceResult.load(tmp_path)
    assert "\n" not in str(error.value)


def test_nothing_is_pickled(result, tmp_path):
    result.save(tmp_path)
    assert not any(b"pickle" in path.read_bytes() for path in tmp_path.iterdir())


def test_effects_by_row_are_named_by_row_concept_and_state(result):
    ids, own = tuple(f"im {k}.png" for k in range(60)), np.array([["on", "off"] * 30, ["off", "on"] * 30], dtype=object)
    frame = dataclasses.replace(result, row_ids=ids, own=own).row_effects()
    assert list(frame.columns) == ["row_id", "concept", "own", "effect"] and len(frame) == 120
    assert frame.iloc[61].to_dict() == {
        "row_id": "im 1.png", "concept": "c1", "own": "on", "effect": result.effects[1, 1]
    }  # fmt: skip
    assert result.row_effects()["row_id"][:2].tolist() == ["0", "1"]
