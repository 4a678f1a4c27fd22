"""Effects by row and interactions: closed forms, levels of the tests, what can't be told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from genlens.importance.interactions import interactions, spread_test

NONE = np.empty((400, 0))


def present(n: int = 400, d: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, d)) < 0.5


def effects_of(score, rows: np.ndarray) -> np.ndarray:
    """(D, N) exact effects of a score of presence (N, D)."""
    changed = []
    for j in range(rows.shape[1]):
        on, off = rows.astype(float).copy(), rows.astype(float).copy()
        on[:, j], off[:, j] = 1, 0
        changed.append(score(on) - score(off))
    return np.array(changed)


def test_a_product_is_an_interaction_of_its_factors_alone() -> None:
    rows = present()
    found = interactions(effects_of(lambda x: x @ [1, 2, 3] - 0.7 * x[:, 0] * x[:, 2], rows), rows, NONE)
    expected = np.array([[np.nan, 0, -0.7], [0, np.nan, 0], [-0.7, 0, np.nan]])
    np.testing.assert_allclose(found.directed, expected, atol=1e-12)
    assert (found.pair[0].value, found.pair[0].se) == (0.0, 0.0)
    assert list(zip(found.first, found.second, strict=True)) == [(0, 1), (0, 2), (1, 2)]
    assert found.q_value.tolist() == [1.0, 0.0, 1.0]


def test_other_concepts_are_held_fixed() -> None:
    rng = np.random.default_rng(1)
    rows = present(seed=1)
    rows[:, 1] = np.where(rng.random(400) < 0.9, rows[:, 2], ~rows[:, 2])  # 1 goes with 2, only 2 matters
    found = interactions(effects_of(lambda x: x[:, 0] * x[:, 2], rows), rows, NONE)
    assert found.directed[0, 1] == pytest.approx(0, abs=1e-9) and found.directed[0, 2] == pytest.approx(1)
    number = rng.normal(0, 1, (400, 1))
    moved = effects_of(lambda x: x @ [1.0, 1, 1], rows)
    moved[0] += number[:, 0] + 0.0
    rows[:, 1] = number[:, 0] > 0
    assert abs(interactions(moved, rows, NONE).directed[0, 1]) > 1
    assert interactions(moved, rows, number).directed[0, 1] == pytest.approx(0, abs=1e-9)


def test_what_the_others_determine_is_not_estimated() -> None:
    rows = present()
    rows[:, 2] = rows[:, 1]
    found = interactions(effects_of(lambda x: x[:, 0] * x[:, 1], rows), rows, NONE)
    assert np.isnan(found.directed[0, 1]) and np.isnan(found.directed[0, 2])
    assert np.isnan(found.p_value[0]) and np.isfinite(found.p_value[2])


def test_p_values_without_interaction_are_uniform_and_intervals_cover() -> None:
    p_values, covered = [], 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        rows = present(120, 2, seed)
        noise = rng.normal(0, 1, (2, 120)) * (1 + 2 * rows.T)  # noisier where the concept is on
        found = interactions(1 + noise, rows, np.empty((120, 0)))
        p_values.append(found.p_value[0])
        covered += found.pair[0].low <= 0 <= found.pair[0].high
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    assert 0.92 <= covered / 300 <= 0.98


def test_clusters_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    clusters = np.arange(400) // 10
    rows = np.repeat(rng.random((40, 2)) < 0.5, 10, axis=0)
    moved = np.repeat(rng.normal(0, 1, (2, 40)), 10, axis=1)
    plain, grouped = (interactions(moved, rows, NONE, clusters=c) for c in (None, clusters))
    assert grouped.pair[0].se > 2.5 * plain.pair[0].se


def test_the_spread_of_equal_effects_is_nothing() -> None:
    assert spread_test(np.full((50, 2), 0.3), np.empty((50, 0))) == 1.0
    assert spread_test(np.full((50, 1), 0.3), np.ones((50, 1))) == 1.0


def test_two_draws_tell_rows_from_noise() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (300, 2))
    assert spread_test(rng.normal(0, 0.5, (300, 1)) + noise, np.empty((300, 0))) < 1e-3
    p_values = [spread_test(np.random.default_rng(s).normal(0, 1, (150, 2)), np.empty((150, 0))) for s in range(300)]
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.09


def test_one_draw_asks_whether_the_effect_goes_with_other_concepts() -> None:
    rng = np.random.default_rng(0)
    rows = present(300, 3).astype(float)
    noise = rng.normal(0, 1, (300, 1))
    assert spread_test(rows[:, :1] + noise, rows) < 1e-6
    p_values = [spread_test(np.random.default_rng(s).normal(0, 1, (300, 1)), rows) for s in range(300)]
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    assert np.isnan(spread_test(noise, np.empty((300, 0))))
