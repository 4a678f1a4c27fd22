"""Importance on rows whose scores are moved by a concept's effect: expected over permutations, rows weighted."""

from __future__ import annotations

import numpy as np

from genlens.importance.exact import expected_importance, row_scores
from genlens.importance.states import StateScores
from genlens.metrics import Scoring, positives

_TIE = 1e-9  # share of the scores' range below which they are equal


class MovedRows:
    """N rows with their own scores, and what the score of each is with a concept taken away or given.

    Args:
        y: (N,) labels.
        real: (N,) scores.
        scoring: of kind "auroc" or "additive".
    """

    def __init__(self, y: np.ndarray, real: np.ndarray, scoring: Scoring) -> None:
        self._y, self._real, self._scoring = y, real, scoring
        self._step = float(np.ptp(real)) * _TIE or 1.0
        self._positive = positives(y) if scoring.kind == "auroc" else None
        self._scale = np.ones(len(y)) if scoring.scale is None else scoring.scale(y)

    def importance(self, own: np.ndarray, effect: np.ndarray) -> float:
        """Own score - expected score with the concept permuted, exact for these rows.

        Args:
            own: (N,) 0 or 1, whether the concept is there.
            effect: (N,) change of the score from absent to present.
        """
        scores = self._states(own, effect)[:, :, None]  # (N, 2, 1)
        states = StateScores("", scores, np.arange(2), np.bincount(own, minlength=2), own)
        return expected_importance(self._y, self._tied(self._real)[:, None], states, self._scoring)

    def weighted(self, own: np.ndarray, effect: np.ndarray, weights: np.ndarray) -> float:
        """The same with weights of rows, which stand for copies whose states are drawn apart: 1 / N off the exact one.

        Args:
            own: (N,) 0 or 1.
            effect: (N,).
            weights: (N,) >= 0.

        Returns:
            The importance; NaN where one class of labels has no weight.
        """
        share = weights @ own / weights.sum()
        states = self._states(own, effect)
        if self._positive is None:
            parts = row_scores(self._y, states[:, :, None], self._scoring)[:, :, 0]  # (N, 2)
            real = row_scores(self._y, self._real[:, None, None], self._scoring)[:, 0, 0]
            drop = weights @ (real - parts @ [1 - share, share])
            return float(drop / (weights @ (self._scale / self._scale.mean())))
        given = (weights[:, None] * [1 - share, share]).ravel()
        moved = _auroc(np.repeat(self._positive, 2), states.ravel(), given)
        return _auroc(self._positive, self._tied(self._real), weights) - moved

    def _states(self, own: np.ndarray, effect: np.ndarray) -> np.ndarray:
        """Scores (N, 2) without and with the concept."""
        absent = self._real - effect * own
        return self._tied(np.stack([absent, absent + effect], axis=1))

    def _tied(self, scores: np.ndarray) -> np.ndarray:
        """Make scores equal that differ by the rounding of sums alone, for the AUROC counts ties a half."""
        if self._positive is None:
            return scores
        return np.asarray(np.rint(scores / self._step))


def _auroc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """Weighted AUROC of items, ties counting a half; NaN where one class has no weight."""
    order = np.argsort(scores)
    ladder = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ladder[1:] != ladder[:-1]]))
    hits = np.add.reduceat((weights * positive)[order], starts)
    misses = np.add.reduceat((weights * ~positive)[order], starts)
    total = hits.sum() * misses.sum()
    return float(hits @ (np.cumsum(misses) - misses / 2) / total) if total > 0 else float("nan")
