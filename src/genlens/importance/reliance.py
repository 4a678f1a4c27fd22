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


def reliance(states: StateScores, confidence: float = 0.95, clusters: np.ndarray | None = None) -> Reliance:
    """Measure how much the target score changes with the concept.

    Args:
        states: scores of the concept's states, (N, S, R) or (N, S, R, C).
        confidence: level of the intervals.
        clusters: (N,) groups of dependent rows, or None.
    """
    scores = states.scores.mean(axis=2)  # (N, S) or (N, S, C)
    if scores.ndim == 3:
        outputs = [reliance(states.column(output), confidence, clusters) for output in range(scores.shape[2])]
        values = [output.absolute for output in outputs]
        mean = Interval(*np.mean([(v.value, v.low, v.high, v.se) for v in values], axis=0).tolist())
        return Reliance(mean, _UNKNOWN, np.full(len(scores), np.nan))
    if states.values is not None:
        return _per_deviation(states, states.values, scores, confidence, clusters)
    if len(states.counts) == 2:
        absent, present = scores[:, states.stratum == 0], scores[:, states.stratum == 1]
        change = present.mean(axis=1) - absent.mean(axis=1)
        size = np.abs(present[:, :, None] - absent[:, None, :]).mean(axis=(1, 2))
        return Reliance(_mean(size, confidence, clusters), _mean(change, confidence, clusters), change)
    first, second, weights = _slot_pairs(states)
    size = np.abs(scores[:, first] - scores[:, second]) @ weights / weights.sum()
    return Reliance(_mean(size, confidence, clusters), _UNKNOWN, np.full(len(scores), np.nan))


def _per_deviation(
    states: StateScores, values: np.ndarray, scores: np.ndarray, confidence: float, clusters: np.ndarray | None
) -> Reliance:
    first, second, weights = _slot_pairs(states)
    moves, changes = values[:, first] - values[:, second], scores[:, first] - scores[:, second]  # (N, pairs)
    mean = float((values @ states.weights).mean())
    deviation = float(np.sqrt((((values - mean) ** 2) @ states.weights).mean()))
    if not moves.any():
        return Reliance(_UNKNOWN, _UNKNOWN, np.full(len(scores), np.nan))
    squared, distance = moves**2 @ weights, np.abs(moves) @ weights
    slope = (moves * changes) @ weights * deviation
    signed = _ratio(slope, squared, confidence, clusters)
    absolute = _ratio(np.abs(changes) @ weights * deviation, distance, confidence, clusters)
    return Reliance(absolute, signed, slope / squared.mean())


def _slot_pairs(states: StateScores) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of slots with different values: first slots, second slots, weights.

    Two slots of one stratum count as different only where their values are numbers; else they are one value.
    """
    first, second = np.triu_indices(len(states.stratum), k=1)
    weights = states.weights[first] * states.weights[second]
    if states.values is None and len(states.counts) > 1:
        weights = weights * (states.stratum[first] != states.stratum[second])
    return first, second, weights


def _mean(values: np.ndarray, confidence: float, clusters: np.ndarray | None) -> Interval:
    return interval(float(values.mean()), values - values.mean(), confidence, clusters)


def _ratio(top: np.ndarray, bottom: np.ndarray, confidence: float, clusters: np.ndarray | None) -> Interval:
    """Ratio of means, with the influence of both."""
    value = float(top.mean() / bottom.mean())
    return interval(value, (top - value * bottom) / bottom.mean(), confidence, clusters)
