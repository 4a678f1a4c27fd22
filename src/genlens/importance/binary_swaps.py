"""The swap test's statistic for a concept of two states, as one matrix product.

With e_i = 1 where row i keeps its two states' scores and -1 where it swaps them, "positive i in the state it has beats
negative k in the state it has" is linear in e_i, in e_k and in e_i e_k. The difference of two AUROCs is therefore
``a.e + b.e + e.C.e`` with coefficients that don't depend on the swap, for any number of noise draws.
"""

from __future__ import annotations

import numpy as np

MOST_PAIRS = 1_000_000
"""Pairs of a positive and a negative row above which sorted items are faster, and smaller."""


class BinarySwapStatistic:
    """Importance (without the 1 / N term) after swaps within rows.

    Args:
        positive: (N,) bool, with both classes.
        scores: (N, 2, R) scores of the two states.
        own: (N,) state of the reference image, 0 or 1.
        weights: (N, 2) probability of each state under a permutation.
    """

    def __init__(self, positive: np.ndarray, scores: np.ndarray, own: np.ndarray, weights: np.ndarray) -> None:
        """Compare all pairs of rows in all states, once."""
        hits, misses = scores[positive], scores[~positive]
        side, mean_side = 1.0 - 2.0 * own, weights[:, 0] - weights[:, 1]  # (N,) of the reference; under a permutation
        signs = np.zeros((2, 2, len(hits), len(misses)))
        for s, t, draw in np.ndindex(2, 2, scores.shape[2]):
            signs[s, t] += np.sign(hits[:, s, draw, None] - misses[None, :, t, draw])
        signs /= 8 * len(hits) * len(misses) * scores.shape[2]  # (2, 2, N1, N0)
        gap = side - mean_side
        self._positive = positive
        self._hits = gap[positive] * (signs[0] - signs[1]).sum(axis=(0, 2))  # (N1,)
        self._misses = gap[~positive] * (signs[:, 0] - signs[:, 1]).sum(axis=(0, 1))  # (N0,)
        both = [np.outer(value[positive], value[~positive]) for value in (side, mean_side)]
        self._pairs = (signs[0, 0] - signs[0, 1] - signs[1, 0] + signs[1, 1]) * (both[0] - both[1])  # (N1, N0)

    def __call__(self, roles: np.ndarray) -> np.ndarray:
        """(K, N, 2) role of each item -> (K,)."""
        kept = 1.0 - 2.0 * roles[:, :, 0]
        hits, misses = kept[:, self._positive], kept[:, ~self._positive]
        pairs = np.einsum("kn,kn->k", hits @ self._pairs, misses)
        return np.asarray(hits @ self._hits + misses @ self._misses + pairs)
