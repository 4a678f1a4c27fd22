"""Expected score over all N! permutations of a concept, in closed form (AUROC and additive scores).

A permutation gives row i stratum b and row k != i stratum d with probability n_b (n_d - [b = d]) / (N (N - 1)). For
the AUROC the expectation is therefore a weighted mean of the AUROCs of positives in one state against negatives in
another; for an additive score it is a mean over the states weighted by n_b / N.
"""

from __future__ import annotations

import numpy as np

from genlens.errors import UserError
from genlens.importance.auroc import auroc_pairs
from genlens.importance.states import StateScores
from genlens.metrics import Scoring, positives


def has_closed_form(scoring: Scoring) -> bool:
    """Whether the expectation over permutations is known exactly."""
    return scoring.kind != "other"


def expected_score(y: np.ndarray, states: StateScores, scoring: Scoring) -> float:
    """Mean score over all permutations of the concept (and over donors and noise draws).

    Args:
        y: (N,) labels.
        states: scores of the concept's states.
        scoring: of kind "auroc" or "additive".

    Raises:
        UserError: the score has no closed form.
    """
    weights, values = _weighted_scores(y, states, scoring)
    return float((weights * values).sum())


def expected_importance(y: np.ndarray, reference: np.ndarray, states: StateScores, scoring: Scoring) -> float:
    """Reference score - expected permuted score, exactly 0 where the states' scores equal the reference's.

    Args:
        y: (N,) labels.
        reference: (N, R) or (N, R, C) scores of the reference images.
        states: scores of the concept's states.
        scoring: of kind "auroc" or "additive".

    Raises:
        UserError: the score has no closed form.
    """
    if scoring.kind == "additive":
        own = row_scores(y, reference[:, None], scoring)  # (N, 1, R)
        drops = (own - row_scores(y, states.scores, scoring)).mean(axis=(0, 2))
        return float(drops @ states.weights)
    weights, values = _weighted_scores(y, states, scoring)
    return float((weights * (_draw_scores(y, reference[:, None], scoring) - values)).sum())


def pair_probabilities(states: StateScores) -> np.ndarray:
    """(S, S) probability that two different rows get these two slots; its sum is 1."""
    n_rows, counts = states.n_rows, states.counts.astype(np.float64)
    pairs = (np.outer(counts, counts) - np.diag(counts)) / (n_rows * (n_rows - 1))  # (B, B)
    slots = np.bincount(states.stratum)
    return np.asarray((pairs / np.outer(slots, slots))[np.ix_(states.stratum, states.stratum)])


def row_scores(y: np.ndarray, scores: np.ndarray, scoring: Scoring) -> np.ndarray:
    """Additive score's part of each row in each state and draw: (N, S, R[, C]) -> (N, S, R), over its mean scale."""
    if scoring.per_row is None:
        raise UserError(f"`scoring`={scoring.name!r} is not a mean over rows.")
    scale = 1.0 if scoring.scale is None else float(scoring.scale(y).mean())
    result = np.empty(scores.shape[:3])
    for slot, draw in np.ndindex(scores.shape[1:3]):
        result[:, slot, draw] = scoring.per_row(y, np.ascontiguousarray(scores[:, slot, draw])) / scale
    return result


def _draw_scores(y: np.ndarray, scores: np.ndarray, scoring: Scoring) -> np.ndarray:
    """Score of every draw in every (pair of) state(s): (R, S, S) for the AUROC, (R, S) for additive scores."""
    if scoring.kind == "auroc":
        positive = positives(y)
        return np.stack([auroc_pairs(positive, scores[:, :, draw]) for draw in range(scores.shape[2])])
    if scoring.kind == "additive":
        return np.asarray(row_scores(y, scores, scoring).mean(axis=0).T)
    raise UserError(
        f"`scoring`={scoring.name!r} has no closed-form expectation; use sampled permutations (`n_repeats`)."
    )


def _weighted_scores(y: np.ndarray, states: StateScores, scoring: Scoring) -> tuple[np.ndarray, np.ndarray]:
    """Weights that sum to 1 and the scores they weigh, draws first."""
    values = _draw_scores(y, states.scores, scoring)
    weights = pair_probabilities(states) if scoring.kind == "auroc" else states.weights
    return np.broadcast_to(weights / len(values), values.shape), values
