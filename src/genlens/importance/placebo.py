"""The generator's noise floor: what a caption edit that must not matter does to the score, and what lies above it.

The placebo is treated as a concept: half of the rows, at random, take the edited caption. Its importance is 0 in
expectation where the edit only adds noise; its reliance is not, since a mean of absolute changes has noise in it. A
concept is told from the generator's noise by the difference of its reliance to the placebo's; both come from the same
rows, so their influences are subtracted row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from genlens.importance.exact import expected_importance, has_closed_form
from genlens.importance.inference import Interval, importance_influence, interval
from genlens.importance.reliance import row_parts
from genlens.importance.states import StateScores
from genlens.importance.swaps import benjamini_hochberg
from genlens.metrics import Scoring, predicted

UNKNOWN = Interval(float("nan"), float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, eq=False)
class NoiseFloor:
    """What the placebo does in n rows, and D concepts beside it.

    Attributes:
        importance: fall of the score when half of the rows, at random, take the edited caption; NaN for scores without
            a closed form, or where the rows have one class only.
        reliance: mean absolute change of the score.
        flipped: share of the rows whose decision changes, in [0, 1].
        importance_above: D, each concept's importance minus the placebo's.
        reliance_above: D, each concept's reliance minus the placebo's.
        p_value: (D,) one-sided, of "the reliance isn't above the placebo's".
        q_value: (D,) Benjamini-Hochberg over the concepts.
    """

    importance: Interval
    reliance: Interval
    flipped: Interval
    importance_above: tuple[Interval, ...]
    reliance_above: tuple[Interval, ...]
    p_value: np.ndarray
    q_value: np.ndarray


def noise_floor(
    y: np.ndarray,
    reference: np.ndarray,
    states: Sequence[StateScores],
    placebo: StateScores,
    rows: np.ndarray,
    scoring: Scoring,
    *,
    threshold: float = 0.0,
    confidence: float = 0.95,
    clusters: np.ndarray | None = None,
) -> NoiseFloor:
    """Measure the placebo and what of each concept lies above it.

    Args:
        y: (N,) labels.
        reference: (N, R) or (N, R, C) reference scores.
        states: scores of the D concepts' states.
        placebo: scores (n, 2, R[, C]) of the caption as it is and edited, in one stratum.
        rows: (n,) rows that have a placebo.
        scoring: any score.
        threshold: a score above it is a decision for the target class; unused with C outputs.
        confidence: level of the intervals.
        clusters: (N,) groups of dependent rows, or None.
    """
    mine = None if clusters is None else clusters[rows]
    flips = _flips(placebo.scores, threshold)
    moved, moved_influence = _reliance(placebo, confidence, mine)
    drop, drop_influence = _importance(y[rows], reference[rows], placebo, scoring, confidence, mine)
    concepts = [_reliance(state, confidence, clusters) for state in states]
    drops = [_importance(y, reference, state, scoring, confidence, clusters) for state in states]

    def above(value: Interval, influence: np.ndarray, floor: Interval, floor_influence: np.ndarray) -> Interval:
        joint = influence.copy()
        joint[rows] -= floor_influence * len(y) / len(rows)
        return interval(value.value - floor.value, joint, confidence, clusters)

    reliance_above = tuple(above(*item, moved, moved_influence) for item in concepts)
    p_values = np.array([_one_sided(difference, len(rows)) for difference in reliance_above])
    return NoiseFloor(
        drop,
        moved,
        interval(float(flips.mean()), flips - flips.mean(), confidence, mine),
        tuple(above(*item, drop, drop_influence) for item in drops),
        reliance_above,
        p_values,
        benjamini_hochberg(p_values),
    )


def _reliance(
    states: StateScores, confidence: float, clusters: np.ndarray | None
) -> tuple[Interval, np.ndarray]:
    """Absolute reliance, and the influence (N,) of each row; means over the outputs where there are several."""
    outputs = [states] if states.scores.ndim == 3 else [states.column(k) for k in range(states.scores.shape[3])]
    values, influences = [], []
    for output in outputs:
        parts = row_parts(output)
        values.append(parts.size.mean() / parts.distance.mean() if parts.distance.any() else np.nan)
        influences.append((parts.size - values[-1] * parts.distance) / max(parts.distance.mean(), 1e-300))
    influence = np.mean(influences, axis=0)
    return interval(float(np.mean(values)), influence, confidence, clusters), influence


def _importance(
    y: np.ndarray,
    reference: np.ndarray,
    states: StateScores,
    scoring: Scoring,
    confidence: float,
    clusters: np.ndarray | None,
) -> tuple[Interval, np.ndarray]:
    """Expected importance, and the influence (N,) of each row; NaN where there is none."""
    if not has_closed_form(scoring) or len(np.unique(y)) < 2:
        return UNKNOWN, np.full(len(y), np.nan)
    influence = importance_influence(y, reference, states, scoring)
    return interval(expected_importance(y, reference, states, scoring), influence, confidence, clusters), influence


def _flips(scores: np.ndarray, threshold: float) -> np.ndarray:
    """(n, 2, R[, C]) -> (n,) share of a row's draws whose decision the edit changes."""
    if scores.ndim == 4:
        flat = predicted(scores.reshape(-1, scores.shape[3])).reshape(scores.shape[:3])
    else:
        flat = (scores > threshold).astype(np.int64)
    return np.asarray((flat[:, 0] != flat[:, 1]).mean(axis=1))


def _one_sided(difference: Interval, n_rows: int) -> float:
    """p-value of "the difference isn't above 0"; 1 for one of exactly 0 in all rows."""
    if not np.isfinite(difference.value):
        return float("nan")
    if difference.se == 0:
        return 0.0 if difference.value > 0 else 1.0
    return float(stats.t.sf(difference.value / difference.se, max(n_rows - 1, 1)))
