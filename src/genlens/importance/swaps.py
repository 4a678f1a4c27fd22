"""p-values: is a row's own state better than its other states swapped at random?

Under the hypothesis that the model ignores the concept, a row's scores in its states are exchangeable, so the states
may be relabelled at random within every row; the importance is computed again for each relabelling. Exact under
exchangeability, one-sided towards importance > 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from genlens.importance.auroc import ItemPairs
from genlens.importance.binary_swaps import MOST_PAIRS, BinarySwapStatistic
from genlens.importance.exact import row_scores
from genlens.importance.sampled import mean_score
from genlens.importance.states import StateScores
from genlens.metrics import Scoring, positives

_CHUNK = 300_000  # entries of a chunk of swaps x rows x items
_TOLERANCE = 1e-12


def swap_p_value(
    y: np.ndarray,
    reference: np.ndarray,
    states: StateScores,
    scoring: Scoring,
    n_swaps: int,
    rng: np.random.Generator,
    weights: np.ndarray | None = None,
) -> float:
    """One-sided p-value of "the model doesn't rely on the concept".

    The statistic is the importance (without the 1 / N term of the exact expectation); for scores without a closed form
    it is the reference score, whose relabelled values are permuted scores.

    Args:
        y: (N,) labels.
        reference: (N, R) or (N, R, C) reference scores.
        states: scores of the concept's states.
        scoring: any score.
        n_swaps: random relabellings K; the smallest p-value is 1 / (K + 1).
        rng: source of randomness.
        weights: (N, S) probability of each state in each row, where it isn't `states.weights` in all.

    Returns:
        (1 + relabellings at least as large) / (1 + K); 1 where no state changes any score.
    """
    items = _Items(reference, states, weights)
    if np.ptp(items.scores, axis=1).max() == 0:
        return 1.0
    statistic = _statistic(y, items, scoring)
    observed = float(statistic(items.identity[None])[0])
    chunk = max(1, _CHUNK // items.identity.size)
    larger = 0
    for start in range(0, n_swaps, chunk):
        swapped = statistic(items.swap(min(chunk, n_swaps - start), rng))
        larger += int((swapped >= observed - _TOLERANCE * max(1.0, abs(observed))).sum())
    return (1 + larger) / (1 + n_swaps)


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p-values (Benjamini and Hochberg 1995); NaN stays NaN and isn't counted."""
    p_values = np.asarray(p_values, dtype=np.float64)
    known = np.isfinite(p_values)
    adjusted = np.full(p_values.shape, np.nan)
    if known.any():
        adjusted[known] = stats.false_discovery_control(p_values[known])
    return adjusted


class _Items:
    """The Q scores of a row that may change places: its S states and, where it is none of them, its reference.

    Args:
        reference: (N, R[, C]) reference scores.
        states: scores of the concept's states.
        weights: (N, S) probability of each state in each row; None: `states.weights` in all.
    """

    def __init__(self, reference: np.ndarray, states: StateScores, weights: np.ndarray | None = None) -> None:
        n_rows, n_slots = states.scores.shape[:2]
        own_slot = np.full(n_rows, -1)  # the slot that holds the reference image, where there is one
        for stratum in range(len(states.counts)):
            slots, rows = np.flatnonzero(states.stratum == stratum), states.own == stratum
            if len(slots) == 1 and np.array_equal(states.scores[rows, slots[0]], reference[rows]):
                own_slot[rows] = slots[0]
        self.tied = own_slot >= 0
        extra = not self.tied.all()
        self.scores = np.concatenate([states.scores, reference[:, None]], axis=1) if extra else states.scores
        self._weights = states.weights if weights is None else weights  # (S,) or (N, S) by role
        if extra:
            self._weights = np.concatenate([self._weights, np.zeros_like(self._weights[..., :1])], axis=-1)
        self.reference_role = np.where(self.tied, own_slot, n_slots)  # (N,)
        self.identity = np.tile(np.arange(self.scores.shape[1]), (n_rows, 1))  # (N, Q) role of each item

    def swap(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Random roles of the items within each row, (K, N, Q)."""
        n_rows, n_items = self.identity.shape
        if n_items == 2 and self.tied.all():
            first = rng.integers(0, 2, (size, n_rows))
            return np.stack([first, 1 - first], axis=2)
        keys = rng.random((size, n_rows, n_items))
        if not self.tied.all():
            keys[:, self.tied, -1] = 2.0  # that row's reference is one of its states: the last item keeps its role
        return np.argsort(keys, axis=2)

    def mixed(self, roles: np.ndarray) -> np.ndarray:
        """(K, N, Q) probability of each item's role."""
        if self._weights.ndim == 1:
            return np.asarray(self._weights[roles])
        n_rows, n_items = self.identity.shape
        return np.asarray(self._weights.ravel()[roles + n_items * np.arange(n_rows)[:, None]])

    def is_reference(self, roles: np.ndarray) -> np.ndarray:
        """(K, N, Q) whether an item plays its row's reference."""
        return np.asarray(roles == self.reference_role[:, None])


class _AurocStatistic:
    def __init__(self, y: np.ndarray, items: _Items, scoring: Scoring) -> None:
        self._items = items
        draws = range(items.scores.shape[2])
        self._pairs = [ItemPairs.of(positives(y), items.scores[:, :, draw]) for draw in draws]

    def __call__(self, roles: np.ndarray) -> np.ndarray:
        flat = (len(roles), -1)
        own = self._items.is_reference(roles).reshape(flat)
        mixed = self._items.mixed(roles).reshape(flat)
        return np.asarray(
            np.mean([self._auroc(pairs, own) - self._auroc(pairs, mixed) for pairs in self._pairs], axis=0)
        )

    @staticmethod
    def _auroc(pairs: ItemPairs, weights: np.ndarray) -> np.ndarray:
        weights = weights.astype(np.float64)
        return pairs.auroc(weights[:, pairs.positive_items], weights[:, pairs.negative_items])


class _MeanStatistic:
    def __init__(self, y: np.ndarray, items: _Items, scoring: Scoring) -> None:
        self._items = items
        self._parts = row_scores(y, items.scores, scoring).mean(axis=2)  # (N, Q)

    def __call__(self, roles: np.ndarray) -> np.ndarray:
        contrast = self._items.is_reference(roles) - self._items.mixed(roles)
        return np.asarray(np.einsum("knq,nq->k", contrast, self._parts) / len(self._parts))


class _ScoreStatistic:
    def __init__(self, y: np.ndarray, items: _Items, scoring: Scoring) -> None:
        self._y, self._items, self._scoring = y, items, scoring
        self._rows = np.arange(len(y))

    def __call__(self, roles: np.ndarray) -> np.ndarray:
        shown = self._items.is_reference(roles).argmax(axis=2)  # (K, N) item in the reference's place
        scores = self._items.scores
        return np.array([mean_score(self._y, scores[self._rows, chosen], self._scoring) for chosen in shown])


def _statistic(y: np.ndarray, items: _Items, scoring: Scoring) -> Callable[[np.ndarray], np.ndarray]:
    """What turns roles (K, N, Q) into the statistic (K,)."""
    if scoring.kind == "auroc" and items.identity.shape[1] == 2 and items.tied.all():
        positive = positives(y)
        if int(positive.sum()) * int((~positive).sum()) <= MOST_PAIRS:
            weights = items.mixed(items.identity[None])[0]
            return BinarySwapStatistic(positive, items.scores, items.reference_role, weights)
    return _STATISTICS[scoring.kind](y, items, scoring)


_STATISTICS: dict[str, Callable[[np.ndarray, _Items, Scoring], Callable[[np.ndarray], np.ndarray]]] = {
    "auroc": _AurocStatistic,
    "additive": _MeanStatistic,
    "other": _ScoreStatistic,
}
