"""How strongly two columns hang together, with intervals over rows.

- Two lists of values: Cramer's V, corrected for its bias (Bergsma 2013).
- A list and a number: correlation ratio, corrected for its bias (the square root of epsilon squared, Kelley 1935).
- Two numbers: absolute Pearson correlation.

All lie in [0, 1] and are functions of weighted sums over rows, so that a bootstrap over rows is a matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from genlens.importance.bootstrap import percentile_interval, resample_weights
from genlens.importance.inference import Interval

CRAMER, RATIO, PEARSON = "Cramer's V", "correlation ratio", "correlation"


@dataclass(frozen=True, eq=False)
class Column:
    """Values of one column.

    Args:
        name: what it is called.
        values: (N,) strata numbered from 0 without gaps, or numbers.
        listed: whether they are strata.
    """

    name: str
    values: np.ndarray
    listed: bool


@dataclass(frozen=True)
class Association:
    """How strongly two columns hang together.

    Args:
        first: name of one.
        second: name of the other.
        measure: "Cramer's V", "correlation ratio" or "correlation".
        strength: in [0, 1], with its interval over rows.
    """

    first: str
    second: str
    measure: str
    strength: Interval


def associations(
    columns: list[Column],
    n_resamples: int = 300,
    seed: int = 0,
    confidence: float = 0.95,
    clusters: np.ndarray | None = None,
) -> list[Association]:
    """Association of every pair of columns, strongest first.

    Args:
        columns: two or more, of N rows.
        n_resamples: bootstrap samples of the rows, the same for all pairs.
        seed: of the resamples.
        confidence: level of the percentile intervals.
        clusters: (N,) groups of rows drawn as a whole, or None.
    """
    n_rows = len(columns[0].values)
    drawn = next(resample_weights(n_rows, n_resamples, np.random.default_rng(seed), clusters, n_resamples))
    weights = np.concatenate([np.ones((1, n_rows)), drawn])  # (1 + K, N), the sample itself first
    found = []
    for k, first in enumerate(columns):
        for second in columns[k + 1 :]:
            measure, values = strength(first, second, weights)
            low, high = percentile_interval(values[1:], confidence)
            error = float(np.nanstd(values[1:], ddof=1))
            found.append(Association(first.name, second.name, measure, Interval(float(values[0]), low, high, error)))
    return sorted(found, key=lambda item: -item.strength.value)


def strength(first: Column, second: Column, weights: np.ndarray) -> tuple[str, np.ndarray]:
    """Name of the measure and its value (K,) for each of K weightings (K, N) of the rows."""
    if first.listed and second.listed:
        return CRAMER, cramers_v(first.values, second.values, weights)
    if first.listed or second.listed:
        groups, numbers = (first, second) if first.listed else (second, first)
        return RATIO, correlation_ratio(groups.values, numbers.values, weights)
    return PEARSON, np.abs(pearson(first.values, second.values, weights))


def cramers_v(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Bias-corrected Cramer's V (Bergsma 2013), (K,): 0 independent, 1 one decides the other; 0 where one is constant.

    Args:
        first: (N,) strata from 0.
        second: (N,) strata from 0.
        weights: (K, N) how often each row counts.
    """
    n_first, n_second = int(first.max()) + 1, int(second.max()) + 1
    n_rows, cells = len(first), first * n_second + second
    member = sparse.csr_array((np.ones(n_rows), (cells, np.arange(n_rows))), shape=(n_first * n_second, n_rows))
    table = (member @ weights.T).T.reshape(-1, n_first, n_second)
    total = table.sum(axis=(1, 2))
    rows, columns = table.sum(axis=2), table.sum(axis=1)  # (K, r), (K, c)
    expected = rows[:, :, None] * columns[:, None, :] / total[:, None, None]
    squares = np.divide((table - expected) ** 2, expected, out=np.zeros_like(table), where=expected > 0)
    phi = squares.sum(axis=(1, 2)) / total
    r, c = (rows > 0).sum(axis=1), (columns > 0).sum(axis=1)
    phi = np.maximum(phi - (r - 1) * (c - 1) / (total - 1), 0)
    least = np.minimum(r - (r - 1) ** 2 / (total - 1), c - (c - 1) ** 2 / (total - 1)) - 1
    return np.asarray(np.sqrt(np.minimum(np.divide(phi, least, out=np.zeros_like(phi), where=least > 0), 1)))


def correlation_ratio(groups: np.ndarray, numbers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Bias-corrected correlation ratio (K,): the root of the share of the numbers' variance that lies between groups.

    Args:
        groups: (N,) strata from 0.
        numbers: (N,).
        weights: (K, N) how often each row counts.
    """
    numbers = numbers - numbers.mean()
    members = np.eye(int(groups.max()) + 1)[groups]  # (N, G)
    counts, sums = weights @ members, weights @ (members * numbers[:, None])
    total, squares = weights.sum(axis=1), weights @ numbers**2
    mean = sums.sum(axis=1) / total
    between = np.divide(sums**2, counts, out=np.zeros_like(sums), where=counts > 0).sum(axis=1) - total * mean**2
    variation, n_groups = squares - total * mean**2, (counts > 0).sum(axis=1)
    within = (variation - between) / np.maximum(total - n_groups, 1)
    share = 1 - np.divide(within * (total - 1), variation, out=np.ones_like(within), where=variation > 0)
    return np.asarray(np.sqrt(np.clip(share, 0, 1)))


def pearson(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Correlation (K,) of two columns (N,) of numbers for each weighting (K, N); 0 where one is constant."""
    first, second = first - first.mean(), second - second.mean()
    total = weights.sum(axis=1)
    mean_first, mean_second = weights @ first / total, weights @ second / total
    joint = weights @ (first * second) / total - mean_first * mean_second
    spread = (weights @ first**2 / total - mean_first**2) * (weights @ second**2 / total - mean_second**2)
    return np.asarray(np.divide(joint, np.sqrt(spread), out=np.zeros_like(joint), where=spread > 0))
