"""Importance of concepts permuted together, beside what its members lose when each is permuted alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genlens.importance.compute import importance_from_scores
from genlens.importance.exact import has_closed_form
from genlens.importance.inference import Interval, importance_influence, interval
from genlens.importance.states import StateScores
from genlens.metrics import Scoring

_UNKNOWN = Interval(float("nan"), float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class GroupImportance:
    """What a group of concepts is worth.

    Args:
        importance: reference score - expected score with the members permuted together.
        p_value: of "the model relies on no member", by swapping joint patterns within rows.
        alone: sum of the members' own importances.
        excess: importance - alone, with an interval from the same rows (NaN ends where the score has no closed form).
        reliance: mean absolute change of the target score between two different patterns of a row.
    """

    importance: Interval
    p_value: float
    alone: float
    excess: Interval
    reliance: Interval


def group_importance(
    y: np.ndarray,
    reference: np.ndarray,
    group: StateScores,
    patterns: np.ndarray,
    members: Sequence[StateScores],
    scoring: Scoring,
    *,
    n_repeats: int = 500,
    seed: int = 0,
    confidence: float = 0.95,
    clusters: np.ndarray | None = None,
) -> GroupImportance:
    """Importance of a group; exact over all joint permutations where the score has a closed form.

    Args:
        y: (N,) labels.
        reference: (N, R) or (N, R, C) scores of the reference images.
        group: scores of the group's states.
        patterns: (N, S) joint pattern of each state.
        members: scores of each member's states.
        scoring: any score.
        n_repeats: sampled permutations where there is no closed form.
        seed: of permutations and swaps.
        confidence: level.
        clusters: (N,) groups of dependent rows, or None.
    """
    found = importance_from_scores(
        y, reference, [group, *members], scoring, n_repeats, seed, clusters=clusters, confidence=confidence
    )
    ends = zip(found.importance, found.ci_low, found.ci_high, found.se, strict=True)
    joint, *single = (Interval(*(float(end) for end in item)) for item in ends)
    alone = float(sum(item.value for item in single))
    excess = Interval(joint.value - alone, float("nan"), float("nan"), float("nan"))
    if has_closed_form(scoring):
        codes = scoring.codes(y, reference[:, 0])
        whole, *parts = (importance_influence(codes, reference, state, scoring) for state in (group, *members))
        excess = interval(excess.value, whole - np.sum(parts, axis=0), confidence, clusters)
    reliance = joint_reliance(group, patterns, confidence, clusters)
    return GroupImportance(joint, float(found.p_value[0]), alone, excess, reliance)


def joint_reliance(
    group: StateScores, patterns: np.ndarray, confidence: float = 0.95, clusters: np.ndarray | None = None
) -> Interval:
    """Mean absolute change of the target score between two different patterns of a row.

    Args:
        group: scores of the group's states, (N, S, R) or (N, S, R, C).
        patterns: (N, S) pattern of each state; pairs of equal ones don't count.
        confidence: level.
        clusters: (N,) groups of dependent rows, or None.

    Returns:
        Pairs weigh as much as a permutation gives them; NaN where no row has two patterns.
    """
    scores = group.scores.mean(axis=2)  # (N, S) or (N, S, C)
    first, second = np.triu_indices(scores.shape[1], k=1)
    changes = np.abs(scores[:, first] - scores[:, second])
    changes = changes.mean(axis=2) if changes.ndim == 3 else changes  # (N, pairs)
    different = np.asarray(patterns[:, first] != patterns[:, second], dtype=bool)
    weights = different * (group.weights[first] * group.weights[second])
    top, bottom = (changes * weights).sum(axis=1), weights.sum(axis=1)
    if not bottom.any():
        return _UNKNOWN
    value = float(top.mean() / bottom.mean())
    return interval(value, (top - value * bottom) / bottom.mean(), confidence, clusters)
