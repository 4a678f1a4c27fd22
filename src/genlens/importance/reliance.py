"""Score reliance: how much the target score changes when the concept does, from the same images as the importance.

An AUROC drop is bounded and quadratic for small effects; the change of the score is neither. Per kind of concept:

- two strata (binary, segment, count by absence): present minus absent, donors averaged;
- numbers and counts of few values: within-row regression of the score on the value over pairs of the row's states, per
  standard deviation of the value; absolute = mean absolute score difference over mean absolute value difference;
- categories: mean absolute difference between two different values drawn from the marginal; no sign.

Noise draws are averaged before absolute values are taken, so that more draws mean less noise in them. With (N, R, C)
outputs the absolute changes are averaged over the outputs and there is no sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genlens.importance.inference import Interval, interval
from genlens.importance.states import StateScores

_UNKNOWN = Interval(float("nan"), float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, eq=False)
class Reliance:
    """Score reliance on one concept.

    Args:
        absolute: mean absolute change, with its interval over rows.
        signed: mean change from absent to present (or per standard deviation upwards); NaN for categories.
        effects: (N,) each row's part; their mean is `signed`. NaN where there is no sign.
    """

    absolute: Interval
    signed: Interval
    effects: np.ndarray


@dataclass(frozen=True, eq=False)
class RowParts:
    """What each row adds to the reliance: absolute = mean(size) / mean(distance), signed = mean(change) / mean(square).

    Args:
        size: (N,) absolute changes of the score.
        distance: (N,) what they are divided by.
        change: (N,) changes of the score; NaN where there is no sign.
        square: (N,) what they are divided by.
    """

    size: np.ndarray
    distance: np.ndarray
    change: np.ndarray
    square: np.ndarray


def reliance(states: StateScores, confidence: float = 0.95, clusters: np.ndarray | None = None) -> Reliance:
    """Measure how much the target score changes with the concept.

    Args:
        states: scores of the concept's states, (N, S, R) or (N, S, R, C).
        confidence: level of the intervals.
        clusters: (N,) groups of dependent rows, or None.
    """
    if states.scores.ndim == 4:
        outputs = range(states.scores.shape[3])
        return mean_reliance([reliance(states.column(output), confidence, clusters) for output in outputs])
    parts = row_parts(states)
    absolute = _ratio(parts.size, parts.distance, confidence, clusters)
    signed = _ratio(parts.change, parts.square, confidence, clusters)
    return Reliance(absolute, signed, row_effects(parts))


def mean_reliance(outputs: Sequence[Reliance]) -> Reliance:
    """Mean over the outputs of a classifier; it has no sign."""
    values = [output.absolute for output in outputs]
    mean = Interval(*np.mean([(v.value, v.low, v.high, v.se) for v in values], axis=0).tolist())
    return Reliance(mean, _UNKNOWN, np.full(len(outputs[0].effects), np.nan))


def row_effects(parts: RowParts) -> np.ndarray:
    """(N,) each row's part of the signed reliance; NaN where there is no sign, or no row's value ever moves."""
    scale = parts.square.mean()
    return np.asarray(parts.change / (scale if scale > 0 else np.nan))


def row_parts(states: StateScores) -> RowParts:
    """Each row's part of the reliance, from scores (N, S, R) of its states."""
    scores = states.scores.mean(axis=2)  # (N, S)
    ones = np.ones(len(scores))
    if states.values is not None:
        return _per_deviation(states, states.values, scores)
    if len(states.counts) == 2:
        absent, present = scores[:, states.stratum == 0], scores[:, states.stratum == 1]
        change = present.mean(axis=1) - absent.mean(axis=1)
        size = np.abs(present[:, :, None] - absent[:, None, :]).mean(axis=(1, 2))
        return RowParts(size, ones, change, ones)
    first, second, weights = _slot_pairs(states)
    size = np.abs(scores[:, first] - scores[:, second]) @ weights / weights.sum()
    return RowParts(size, ones, np.full(len(scores), np.nan), ones)


def _per_deviation(states: StateScores, values: np.ndarray, scores: np.ndarray) -> RowParts:
    first, second, weights = _slot_pairs(states)
    moves, changes = values[:, first] - values[:, second], scores[:, first] - scores[:, second]  # (N, pairs)
    mean = float((values @ states.weights).mean())
    deviation = float(np.sqrt((((values - mean) ** 2) @ states.weights).mean()))
    return RowParts(
        size=np.abs(changes) @ weights * deviation,
        distance=np.abs(moves) @ weights,
        change=(moves * changes) @ weights * deviation,
        square=moves**2 @ weights,
    )


def _slot_pairs(states: StateScores) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of slots with different values: first slots, second slots, weights.

    Two slots of one stratum count as different only where their values are numbers; else they are one value.
    """
    first, second = np.triu_indices(len(states.stratum), k=1)
    weights = states.weights[first] * states.weights[second]
    if states.values is None and len(states.counts) > 1:
        weights = weights * (states.stratum[first] != states.stratum[second])
    return first, second, weights


def _ratio(top: np.ndarray, bottom: np.ndarray, confidence: float, clusters: np.ndarray | None) -> Interval:
    """Ratio of means, with the influence of both; unknown without a sign, or where no row's value ever moves."""
    scale = float(bottom.mean())
    if scale == 0 or np.isnan(top).any():
        return _UNKNOWN
    value = float(top.mean() / scale)
    return interval(value, (top - value * bottom) / scale, confidence, clusters)
