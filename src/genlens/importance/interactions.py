"""Effects by row: whether they differ between rows, and with which other concepts they go.

The effect of a concept in a row is its score with the concept on minus off, in that row's own context. Whether rows
differ beyond the generator's noise is seen from two draws (the covariance of a row's effects over draws is the variance
of its true effect), or from one draw by whether the effects depend on the row's other concepts.

The interaction of j and k is how much larger the effect of j is in rows that have k, other concepts held fixed by least
squares; on images it is an intervention in j and an observation in k, so it is estimated both ways and averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from genlens.importance.inference import Interval, cluster_sums, interval
from genlens.importance.swaps import benjamini_hochberg

_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Interactions:
    """Interactions of D concepts, by pairs.

    Attributes:
        directed: (D, D), [j, k] how much larger the effect of switching j is in rows with k; NaN on the diagonal and
            where the other concepts determine k.
        first: (P,) the first concept of each pair.
        second: (P,) the second.
        pair: P, the mean of both directions with its interval over rows.
        p_value: (P,) two-sided.
        q_value: (P,) Benjamini-Hochberg over the pairs.
    """

    directed: np.ndarray
    first: np.ndarray
    second: np.ndarray
    pair: tuple[Interval, ...]
    p_value: np.ndarray
    q_value: np.ndarray


def interactions(
    effects: np.ndarray,
    present: np.ndarray,
    others: np.ndarray,
    *,
    confidence: float = 0.95,
    clusters: np.ndarray | None = None,
) -> Interactions:
    """Estimate the interactions of all pairs.

    Args:
        effects: (D, N) effect of switching each concept in each row.
        present: (N, D) which concepts each row has.
        others: (N, K) further covariates, K >= 0, such as numbers of the table.
        confidence: level of the intervals.
        clusters: (N,) groups of dependent rows, or None.
    """
    n_concepts, n_rows = effects.shape
    directed = np.full((n_concepts, n_concepts), np.nan)
    influence = np.full((n_concepts, n_concepts, n_rows), np.nan)
    for j in range(n_concepts):
        rest = [k for k in range(n_concepts) if k != j]
        covariates = np.concatenate([present[:, rest].astype(np.float64), others], axis=1)
        slopes, parts = _slopes(effects[j], covariates)
        directed[j, rest], influence[j, rest] = slopes[: len(rest)], parts[: len(rest)]
    first, second = np.triu_indices(n_concepts, k=1)
    values = (directed[first, second] + directed[second, first]) / 2
    both = (influence[first, second] + influence[second, first]) / 2
    pairs = tuple(interval(float(v), part, confidence, clusters) for v, part in zip(values, both, strict=True))
    n_units = n_rows if clusters is None else len(np.unique(clusters))
    p_values = np.array([_two_sided(pair, n_units) for pair in pairs])
    return Interactions(directed, first, second, pairs, p_values, benjamini_hochberg(p_values))


def spread_test(effects: np.ndarray, covariates: np.ndarray, clusters: np.ndarray | None = None) -> float:
    """p-value of "the concept's effect is the same in all rows".

    Args:
        effects: (N, R) effect in each row at each noise draw.
        covariates: (N, K) what the effect may depend on; used where there is one draw.
        clusters: (N,) groups of dependent rows, or None.

    Returns:
        With two draws or more one-sided, of the variance of the effects that draws share; with one draw of Wald's test
        that the effect depends on no covariate; 1 where all effects are equal, NaN where there is nothing to test.
    """
    if np.ptp(effects) <= _TOLERANCE * np.abs(effects).max():
        return 1.0
    if effects.shape[1] > 1:
        centred = effects - effects.mean(axis=0)
        n_draws = effects.shape[1]
        shared = (centred.sum(axis=1) ** 2 - (centred**2).sum(axis=1)) / (n_draws * (n_draws - 1))  # (N,) over pairs
        found = interval(float(shared.mean()), shared - shared.mean(), clusters=clusters)
        return float(stats.norm.sf(found.value / found.se)) if found.se > 0 else 1.0
    slopes, parts = _slopes(effects[:, 0], covariates)
    known = np.isfinite(slopes)
    if not known.any():
        return float("nan")
    sums = np.stack([cluster_sums(part, clusters) for part in parts[known]], axis=1)  # (G, K)
    covariance = sums.T @ sums / len(effects) ** 2
    statistic = float(slopes[known] @ np.linalg.pinv(covariance, hermitian=True) @ slopes[known])
    n_free, n_units = int(known.sum()), len(sums)
    if statistic == 0 or n_units <= n_free + 1:
        return 1.0 if statistic == 0 else float("nan")
    return float(stats.f.sf(statistic / n_free, n_free, n_units - n_free - 1))


def _slopes(y: np.ndarray, covariates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares with a constant: slopes (K,) and the influence (K, N) of each row, residuals as in HC3.

    NaN for a covariate that the others determine (Frisch, Waugh and Lovell).
    """
    n_rows, n_covariates = covariates.shape
    design = np.concatenate([np.ones((n_rows, 1)), covariates], axis=1)
    basis = _basis(design)
    residual = y - basis @ (basis.T @ y)
    if np.abs(residual).max() <= _TOLERANCE * max(np.abs(y).max(), 1e-300):
        residual = np.zeros(n_rows)
    inflated = residual / np.maximum(1 - (basis**2).sum(axis=1), _TOLERANCE)  # (N,)
    slopes, influence = np.full(n_covariates, np.nan), np.full((n_covariates, n_rows), np.nan)
    for k in range(n_covariates):
        rest = _basis(np.delete(design, k + 1, axis=1))
        own = covariates[:, k] - rest @ (rest.T @ covariates[:, k])
        size = float(own @ own)
        if size <= _TOLERANCE * max(float(covariates[:, k] @ covariates[:, k]), 1e-300):
            continue
        slope = float(own @ y) / size
        slopes[k] = slope if abs(slope) > _TOLERANCE * np.abs(y).max() else 0.0
        influence[k] = n_rows * own * inflated / size
    return slopes, influence


def _basis(design: np.ndarray) -> np.ndarray:
    """Orthonormal basis (N, rank) of the columns."""
    left, values, _ = np.linalg.svd(design, full_matrices=False)
    return np.asarray(left[:, values > _TOLERANCE * values.max()])


def _two_sided(found: Interval, n_units: int) -> float:
    if not np.isfinite(found.value):
        return float("nan")
    if found.se == 0:
        return 1.0 if found.value == 0 else 0.0
    return float(2 * stats.t.sf(abs(found.value) / found.se, max(n_units - 1, 1)))
