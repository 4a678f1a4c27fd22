"""Dose-response: how the target score follows the value of a number, each row compared with itself.

Every row is shown at every value of a grid, so the curve is of means over the same rows and its changes are paired. The
slope and the curvature are means of within-row least squares; whether the curve is a straight line at all is tested by
Hotelling's T^2 of what lines leave of the rows' curves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit

from genlens.importance.inference import Interval, cluster_sums, interval


@dataclass(frozen=True, eq=False)
class DoseCurve:
    """The score over S values of a concept, in n rows.

    Attributes:
        values: (S,) ascending.
        score: (S,) mean score at each value.
        change: S, mean score minus that of the rows as they are, with the interval of the paired change.
        probability: (S,) mean of the scores' logistic function.
        slope: mean change of the score for one standard deviation of the value.
        curvature: mean coefficient of the squared value in standard deviations, > 0 for a U; NaN for two values.
        line_p_value: of "the mean curve is a straight line"; NaN for two values.
    """

    values: np.ndarray
    score: np.ndarray
    change: tuple[Interval, ...]
    probability: np.ndarray
    slope: Interval
    curvature: Interval
    line_p_value: float


def dose_curve(
    values: np.ndarray,
    scores: np.ndarray,
    reference: np.ndarray,
    deviation: float,
    *,
    confidence: float = 0.95,
    clusters: np.ndarray | None = None,
) -> DoseCurve:
    """Fit the curve of one concept.

    Args:
        values: (S,) the grid, ascending and distinct, S >= 2.
        scores: (n, S, R) target scores at each value.
        reference: (n, R) target scores of the rows as they are.
        deviation: standard deviation of the concept's values in the table, > 0.
        confidence: level of the intervals.
        clusters: (n,) groups of dependent rows, or None.
    """
    means = scores.mean(axis=2)  # (n, S)
    changes = means - reference.mean(axis=1, keepdims=True)
    standard = (values - values.mean()) / deviation
    slopes = means @ standard / (standard @ standard)  # (n,)
    curved = len(values) > 2
    quadratic = np.linalg.pinv(np.vander(standard, 3))[0] if curved else np.full(len(values), np.nan)  # (S,)

    def mean(parts: np.ndarray) -> Interval:
        return interval(float(parts.mean()), parts - parts.mean(), confidence, clusters)

    return DoseCurve(
        values,
        means.mean(axis=0),
        tuple(mean(column) for column in changes.T),
        expit(scores).mean(axis=(0, 2)),
        mean(slopes),
        mean(means @ quadratic),
        _line_p_value(means, standard, clusters) if curved else float("nan"),
    )


def _line_p_value(scores: np.ndarray, standard: np.ndarray, clusters: np.ndarray | None) -> float:
    """Hotelling's T^2 of the S - 2 directions that lines leave free; 1 where no row departs from a line."""
    line = np.stack([np.ones_like(standard), standard], axis=1)
    free = np.linalg.svd(line, full_matrices=True)[0][:, 2:]  # (S, S - 2), orthonormal
    parts = scores @ free
    sums = np.stack([cluster_sums(column, clusters) for column in parts.T], axis=1)  # (G, S - 2)
    spread = np.abs(scores - scores.mean()).max()
    kept = np.abs(sums).max(axis=0) > 1e-9 * max(spread, 1e-300)
    n_units, n_free = len(sums), int(kept.sum())
    if not n_free:
        return 1.0
    if n_units <= n_free + 1:
        return float("nan")
    mean, covariance = sums[:, kept].mean(axis=0), np.atleast_2d(np.cov(sums[:, kept], rowvar=False))
    squared = n_units * float(mean @ np.linalg.pinv(covariance, hermitian=True) @ mean)
    if squared == 0 and mean.any():
        return 0.0  # every row departs from a line in the same way
    return float(stats.f.sf(squared * (n_units - n_free) / (n_free * (n_units - 1)), n_free, n_units - n_free))
