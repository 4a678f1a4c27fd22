"""Verdicts from intervals, and the shapes of scores that checks accept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genlens.errors import UserError
from genlens.importance.inference import Interval
from genlens.importance.result import Verdict


def one_sided(fall: Interval, threshold: float) -> Verdict:
    """Verdict on a fall that may not exceed the threshold; "undecided" where the interval straddles it."""
    if fall.high <= threshold:
        return "passed"
    return "failed" if fall.low > threshold else "undecided"


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """The worst verdict: failed, else undecided, else passed; "not applicable" without any."""
    if not verdicts:
        return "not applicable"
    order: tuple[Verdict, ...] = ("failed", "undecided", "passed", "not applicable")
    return min(verdicts, key=order.index)


def draws(scores: np.ndarray) -> np.ndarray:
    """Scores (N,) -> (N, 1); (N, R) and (N, R, C) stay."""
    scores = np.asarray(scores, dtype=np.float64)
    return scores[:, None] if scores.ndim == 1 else scores


def concept_draws(scores: np.ndarray, n_concepts: int) -> np.ndarray:
    """Concept scores (N, D) -> (N, 1, D); (N, R, D) stays.

    Raises:
        UserError: there isn't one score a concept.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim not in (2, 3) or scores.shape[-1] != n_concepts:
        raise UserError(
            f"The concept classifier must give one score for each of the {n_concepts} concepts; "
            f"got shape {scores.shape}."
        )
    return scores[:, None] if scores.ndim == 2 else scores
