"""What changes of concepts in images do to the target: two-stage least squares over rows.

Changes of the target's score between the two states of a row are regressed on the changes of the concepts' levels
(`genlens.importance.first_stage`), with the caption's flips as instruments. Weights of rows make a bootstrap cheap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genlens.importance.flips import FlipScores
from genlens.importance.inference import cluster_sums

Pairs = tuple[tuple[int, int], ...]
"""Concepts (k, l), k < l, whose interaction is in the model."""

_NO_NOISE = 1e-12  # least variance of an interaction


@dataclass(frozen=True, eq=False)
class Effects:
    """Target score = ... + levels @ main + sum over pairs of interaction * level * level.

    Args:
        main: (D,), NaN for concepts that weren't used.
        interaction: (P,), one a pair.
        pairs: P pairs of concepts.
        residuals: (N, U) what is left of the target's change for each concept used.
        scores: (N, U + P) each row's part in the normal equations, of mean 0.
        bread: (U + P, U + P) the inverse of their matrix.
    """

    main: np.ndarray
    interaction: np.ndarray
    pairs: Pairs
    residuals: np.ndarray
    scores: np.ndarray
    bread: np.ndarray

    def of_rows(self, present: np.ndarray) -> np.ndarray:
        """Effect (N, D) of each concept in rows whose other concepts are as given by present (N, D)."""
        result = np.tile(self.main, (len(present), 1))
        for (j, k), value in zip(self.pairs, self.interaction, strict=True):
            result[:, j] += value * present[:, k]
            result[:, k] += value * present[:, j]
        return result

    def z_values(self, clusters: np.ndarray | None = None) -> np.ndarray:
        """Interactions over their standard errors, (P,)."""
        influence = (self.scores @ self.bread)[:, len(self.scores.T) - len(self.pairs) :]  # (N, P)
        sums = [cluster_sums(column, clusters) for column in influence.T]
        errors = np.array([np.sqrt((column**2).sum()) for column in sums])
        return np.asarray(self.interaction / np.maximum(errors, np.sqrt(_NO_NOISE)))


def two_stage(
    flips: FlipScores, levels: np.ndarray, used: np.ndarray, pairs: Pairs = (), weights: np.ndarray | None = None
) -> Effects:
    """Two-stage least squares of the target's change on the changes of levels and of products of levels.

    Instruments: the flip of concept j, and for each pair that j is in the flip times the other's presence in the row.

    Args:
        flips: scores of both states.
        levels: (N, U, 2, U) levels of the concepts used, see `genlens.importance.first_stage.Strength.levels`.
        used: (U,) their numbers.
        pairs: interactions to estimate, of concepts used.
        weights: (N,) of the rows, or None for equal ones.
    """
    n_rows, n_used = levels.shape[:2]
    weights = np.ones(n_rows) if weights is None else weights
    changes = _changes(levels, used, pairs)  # (N, U, K)
    answer = flips.target[:, used, 1] - flips.target[:, used, 0]  # (N, U)
    normal, right = np.zeros((changes.shape[-1],) * 2), np.zeros(changes.shape[-1])
    stages = []
    for u, j in enumerate(used):
        partners = [m if k == j else k for k, m in pairs if j in (k, m)]
        instruments = np.column_stack([np.ones(n_rows), flips.present[:, partners]])  # (N, 1 + partners)
        weighed = (instruments * weights[:, None]).T
        gram = weighed @ instruments
        slopes = np.linalg.pinv(gram) @ (weighed @ changes[:, u])  # (1 + partners, K)
        normal += slopes.T @ gram @ slopes
        right += slopes.T @ (weighed @ answer[:, u])
        stages.append((instruments, slopes))
    bread = np.linalg.pinv(normal)
    coefficients = bread @ right
    residuals = answer - changes @ coefficients
    scores = sum((z @ slopes) * residuals[:, [u]] for u, (z, slopes) in enumerate(stages))
    main = np.full(flips.present.shape[1], np.nan)
    main[used] = coefficients[:n_used]
    return Effects(main, coefficients[n_used:], pairs, residuals, np.asarray(scores), bread)


def _changes(levels: np.ndarray, used: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Changes (N, U, U + P) from absent to present of levels and products of levels."""
    moves = levels[:, :, 1] - levels[:, :, 0]
    if not pairs:
        return np.asarray(moves)
    first, second = np.searchsorted(used, np.array(pairs)).T
    absent, present = levels[:, :, 0], levels[:, :, 1]
    products = present[..., first] * present[..., second] - absent[..., first] * absent[..., second]
    return np.concatenate([moves, products], axis=-1)
