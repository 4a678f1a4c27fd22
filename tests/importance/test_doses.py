"""Dose-response curves of scores whose shape is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from genlens.importance.doses import dose_curve

GRID = np.array([20.0, 30, 40, 50, 60, 70, 80])
SHAPES = {
    "line": lambda v: 0.05 * v,
    "threshold": lambda v: 1.5 * (v > 55),
    "U": lambda v: ((v - 50) / 20) ** 2,
    "none": lambda v: 0 * v,
}
DEVIATION = 16.0


def rows(shape: str, n: int = 120, noise: float = 0.5, seed: int = 0, n_draws: int = 2):
    """Scores (n, S, R) over the grid and (n, R) as the rows are: the row's own level, the shape, noise."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0, 2, (n, 1, 1))
    own = rng.choice(GRID, n)
    scores = level + SHAPES[shape](GRID)[:, None] + rng.normal(0, noise, (n, len(GRID), n_draws))
    reference = level[:, 0] + SHAPES[shape](own)[:, None] + rng.normal(0, noise, (n, n_draws))
    return scores, reference, own


def test_a_line_without_noise_is_found_exactly() -> None:
    scores, reference, own = rows("line", noise=0.0)
    curve = dose_curve(GRID, scores, reference, DEVIATION)
    assert curve.slope.value == pytest.approx(0.05 * DEVIATION) and curve.slope.se == pytest.approx(0, abs=1e-12)
    assert curve.curvature.value == pytest.approx(0, abs=1e-12)
    assert curve.line_p_value == 1.0
    np.testing.assert_allclose([c.value for c in curve.change], 0.05 * (GRID - own.mean()), atol=1e-12)
    np.testing.assert_allclose(curve.score, scores.mean(axis=(0, 2)))
    np.testing.assert_allclose(curve.probability, (1 / (1 + np.exp(-scores))).mean(axis=(0, 2)))


def test_a_u_has_curvature_and_no_slope() -> None:
    scores, reference, _ = rows("U", noise=0.0)
    curve = dose_curve(GRID, scores, reference, DEVIATION)
    assert curve.slope.value == pytest.approx(0, abs=1e-9)
    assert curve.curvature.value == pytest.approx((DEVIATION / 20) ** 2)
    assert curve.line_p_value < 1e-6


@pytest.mark.parametrize(("shape", "is_line", "slopes"), [
    ("line", True, True), ("threshold", False, True), ("U", False, False), ("none", True, False)
])  # fmt: skip
def test_shapes_are_told_apart_under_noise(shape: str, is_line: bool, slopes: bool) -> None:
    scores, reference, _ = rows(shape)
    curve = dose_curve(GRID, scores, reference, DEVIATION)
    assert (curve.line_p_value > 0.01) is is_line
    assert (not curve.slope.low <= 0 <= curve.slope.high) is slopes


def test_the_test_of_a_line_holds_its_level_and_intervals_cover() -> None:
    p_values, covered = [], 0
    for seed in range(400):
        scores, reference, _ = rows("line", 40, 1.0, seed)
        curve = dose_curve(GRID, scores, reference, DEVIATION)
        p_values.append(curve.line_p_value)
        covered += curve.slope.low <= 0.05 * DEVIATION <= curve.slope.high
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    assert 0.92 <= covered / 400 <= 0.98


def test_pairing_takes_the_rows_levels_out_of_the_interval() -> None:
    scores, reference, _ = rows("line", 120, 0.1)
    curve = dose_curve(GRID, scores, reference, DEVIATION)
    assert curve.change[3].se < 0.7 * scores.mean(axis=2)[:, 3].std() / np.sqrt(120)


def test_two_values_have_a_slope_and_no_shape() -> None:
    scores, reference, _ = rows("line", noise=0.0)
    curve = dose_curve(GRID[[0, -1]], scores[:, [0, -1]], reference, DEVIATION)
    assert curve.slope.value == pytest.approx(0.05 * DEVIATION)
    assert np.isnan(curve.curvature.value) and np.isnan(curve.line_p_value)


def test_clusters_widen_intervals() -> None:
    scores, reference, _ = rows("line", 120, 0.0)
    steep = np.repeat(np.random.default_rng(1).normal(0, 1, 12), 10)  # rows of a cluster share their slope
    scores = scores + (steep[:, None] * (GRID - 50) / 20)[:, :, None]
    plain, grouped = (
        dose_curve(GRID, scores, reference, DEVIATION, clusters=c) for c in (None, np.arange(120) // 10)
    )
    assert grouped.slope.se > 2 * plain.slope.se
