"""AUROC kernels: many at once, weighted, by pairs of states, and as placements; never an N x N matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


def roc_auc_rows(positive: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """AUROC of each row of ranks, with the arithmetic of `sklearn.metrics.roc_auc_score`, hence equal to the bit.

    Args:
        positive: (N,) bool, with both classes.
        ranks: (P, N) integers >= 0 in the order of the scores; equal scores have equal ranks.

    Returns:
        (P,) float64.
    """
    n_rows = positive.size
    top = int(ranks.max(initial=0))
    dtype: Any = np.int32 if top < 2**30 else np.int64
    keys = 2 * (top - ranks).astype(dtype)  # descending scores
    keys += positive
    keys.sort(axis=1)
    ends = np.ones(keys.shape, dtype=bool)  # last entry of each group of ties
    np.not_equal(keys[:, 1:] >> 1, keys[:, :-1] >> 1, out=ends[:, :-1])
    hits = np.cumsum(keys & 1, axis=1, dtype=np.int32)
    tps = hits[ends]  # (K,) points of all curves, end to end
    fps = (np.arange(1, n_rows + 1, dtype=np.int32) - hits)[ends]
    last = np.cumsum(ends.sum(axis=1)) - 1  # (P,) where each curve ends
    kept = _corners(tps, last) | _corners(fps, last)
    last = np.cumsum(kept)[last] - 1
    strips = _strips(fps[kept] / float(n_rows - positive.sum()), tps[kept] / float(positive.sum()), last)
    first = np.concatenate([[0], last[:-1] + 1])
    return np.array([strips[start : stop + 1].sum() for start, stop in zip(first, last, strict=True)])


def _corners(counts: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Where curves bend, and their ends; scikit-learn drops other points, which changes the rounding."""
    bends = np.ones(len(counts), dtype=bool)
    np.not_equal(np.diff(counts, 2), 0, out=bends[1:-1])
    bends[last] = True
    bends[last[:-1] + 1] = True
    return bends


def _strips(x: np.ndarray, y: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Areas between neighbours on each curve, which starts at (0, 0); the arithmetic of `numpy.trapezoid`."""
    before_x, before_y = np.concatenate([[0.0], x[:-1]]), np.concatenate([[0.0], y[:-1]])
    before_x[last[:-1] + 1] = before_y[last[:-1] + 1] = 0.0
    return np.asarray((x - before_x) * (y + before_y) / 2.0)


def auroc_pairs(positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """AUROC of positives in state s against negatives in state t, ties counting a half.

    Args:
        positive: (N,) bool, with both classes.
        scores: (N, S).

    Returns:
        (S, S), entry [s, t]; integer counts divided once, so equal scores give equal bits.
    """
    hits = np.sort(scores[positive], axis=0).T  # (S, N1)
    misses = np.sort(scores[~positive], axis=0).T  # (S, N0)
    twice = np.array([[(_below(t, s, "left") + _below(t, s, "right")).sum() for t in misses] for s in hits])
    return np.asarray(twice / (2 * hits.shape[1] * misses.shape[1]))


def _below(sorted_scores: np.ndarray, scores: np.ndarray, side: str) -> np.ndarray:
    return np.searchsorted(sorted_scores, scores, side=side)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True, eq=False)
class ItemPairs:
    """The order of Q scores a row, prepared for weighted AUROCs of positives against negatives.

    Args:
        positive_items: (N1 Q,) flat index row * Q + item of the positives' items, ascending in score.
        negative_items: (N0 Q,) the same for negatives.
        low: (N1 Q,) number of negative items below each positive item.
        high: (N1 Q,) number of negative items below or equal.
    """

    positive_items: np.ndarray
    negative_items: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, positive: np.ndarray, scores: np.ndarray) -> ItemPairs:
        """Sort the items.

        Args:
            positive: (N,) bool.
            scores: (N, Q).
        """
        flat = scores.ravel()
        order = np.argsort(flat, kind="stable")
        is_positive = np.repeat(positive, scores.shape[1])[order]
        hits, misses = order[is_positive], order[~is_positive]
        low = _below(flat[misses], flat[hits], "left")
        return cls(hits, misses, low, _below(flat[misses], flat[hits], "right"))

    def auroc(self, hit_weights: np.ndarray, miss_weights: np.ndarray) -> np.ndarray:
        """Weighted AUROC.

        Args:
            hit_weights: (K, N1 Q) weights >= 0 of `positive_items`.
            miss_weights: (K, N0 Q) weights of `negative_items`.

        Returns:
            (K,), NaN where one class has no weight.
        """
        below = np.zeros((len(miss_weights), miss_weights.shape[1] + 1))
        np.cumsum(miss_weights, axis=1, out=below[:, 1:])
        wins = np.einsum("km,km->k", hit_weights, np.take(below, self.low, axis=1))
        wins = wins + np.einsum("km,km->k", hit_weights, np.take(below, self.high, axis=1))
        total = hit_weights.sum(axis=1) * below[:, -1]
        return np.asarray(np.divide(wins, 2 * total, out=np.full(len(wins), np.nan), where=total > 0))


def placements(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Placement of each row: the share of the other class that it beats, over both rows' states.

    Args:
        positive: (N,) bool, with both classes.
        scores: (N, S).
        weights: (S,) probability of each state; its sum is 1.

    Returns:
        (N,): for a positive the probability that it scores above a random negative, for a negative that a random
        positive scores above it; ties count a half. Either class's mean is the AUROC.
    """
    result = np.empty(len(positive))
    for rows, sign in ((positive, 1.0), (~positive, -1.0)):
        other = np.argsort(sign * scores[~rows], axis=None)
        ladder = (sign * scores[~rows]).ravel()[other]
        mass = np.concatenate([[0.0], np.cumsum(np.tile(weights, int((~rows).sum()))[other])])
        own = sign * scores[rows]
        beaten = (mass[_below(ladder, own, "left")] + mass[_below(ladder, own, "right")]) / 2
        result[rows] = beaten @ weights / mass[-1]
    return result
