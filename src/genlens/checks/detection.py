"""What a concept classifier sees of a permutation: changes of its AUROC, and the share of flips that show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genlens.importance.auroc import placements
from genlens.importance.exact import expected_importance
from genlens.importance.inference import Interval, importance_influence, interval, score_influence
from genlens.importance.sampled import mean_score
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring

SEES = 0.6
"""A concept classifier whose AUROC may be lower than this can't vouch for a concept."""


def auroc_interval(
    labels: np.ndarray, scores: np.ndarray, confidence: float, clusters: np.ndarray | None = None
) -> Interval:
    """AUROC of scores (N, R) against labels (N,), draws averaged; no narrower than so few rows allow."""
    scoring = get_scoring("roc_auc")
    value = mean_score(labels, scores, scoring)
    return widen(
        interval(value, score_influence(labels, scores, scoring), confidence, clusters), labels, confidence, clusters
    )


def widen(found: Interval, labels: np.ndarray, confidence: float, clusters: np.ndarray | None = None) -> Interval:
    """Make an interval at least as wide as the "rule of three" asks.

    Where nothing differs among the m rows of the smaller class the standard error is 0, yet a share of up to
    1 - (1 - confidence)^(1/m), about 3 / m, may differ in the population.

    Args:
        found: an interval of an AUROC or of a change of one.
        labels: (N,) of two values.
        confidence: level.
        clusters: (N,) dependent rows: the m are then clusters.
    """
    smaller = min(_n_units(labels == value, clusters) for value in np.unique(labels))
    least = 1 - (1 - confidence) ** (1 / smaller)
    return Interval(found.value, min(found.low, found.value - least), max(found.high, found.value + least), found.se)


def _n_units(rows: np.ndarray, clusters: np.ndarray | None) -> int:
    return int(rows.sum()) if clusters is None else len(np.unique(clusters[rows]))


def change_of_other(
    present: np.ndarray,
    reference: np.ndarray,
    states: StateScores,
    confidence: float,
    clusters: np.ndarray | None = None,
) -> Interval:
    """Expected change of concept k's AUROC when another concept is permuted, against k's own labels.

    Args:
        present: (N,) bool, presence of concept k.
        reference: (N, R) scores for k on the reference images.
        states: scores for k, (N, S, R), in the states of the permuted concept.
        confidence: level.
        clusters: (N,) or None.

    Returns:
        permuted - reference; below 0 where the permutation disturbs k.
    """
    scoring = get_scoring("roc_auc")
    fall = expected_importance(present, reference, states, scoring)
    influence = importance_influence(present, reference, states, scoring)
    return widen(interval(-fall, -influence, confidence, clusters), present, confidence, clusters)


def change_of_own(
    present: np.ndarray,
    reference: np.ndarray,
    states: StateScores,
    confidence: float,
    clusters: np.ndarray | None = None,
) -> Interval:
    """Expected change of the permuted concept's own AUROC, reference against *permuted* labels.

    Under all permutations every ordered pair of different rows is equally often (present, absent), so the permuted
    AUROC is that of all rows' present states against all other rows' absent states.

    Args:
        present: (N,) bool, presence of the concept.
        reference: (N, R) scores for it on the reference images.
        states: scores for it, (N, S, R), in its own states.
        confidence: level.
        clusters: (N,) or None.

    Returns:
        permuted - reference; below 0 where flips don't show as well as the reference's presence does.
    """
    n_rows = len(present)
    on, weights = present_slots(present, states)
    total, own_pairs, influence = 0.0, 0.0, np.zeros(n_rows)
    both = np.repeat([True, False], n_rows)
    for s in np.flatnonzero(on):
        for t in np.flatnonzero(~on):
            share = weights[s] * weights[t] / states.n_draws
            for draw in range(states.n_draws):
                high, low = states.scores[:, s, draw], states.scores[:, t, draw]
                placed = placements(both, np.concatenate([high, low])[:, None], np.ones(1))
                total += share * float(placed[:n_rows].mean())
                own_pairs += share * float((high > low).mean() + (high >= low).mean()) / 2
                influence += share * (placed[:n_rows] + placed[n_rows:])
    permuted = (n_rows * total - own_pairs) / (n_rows - 1)  # a row can't be in both of its states
    scoring = get_scoring("roc_auc")
    value = permuted - mean_score(present, reference, scoring)
    influence = influence - influence.mean() - score_influence(present, reference, scoring)
    return widen(interval(value, influence, confidence, clusters), present, confidence, clusters)


def present_slots(present: np.ndarray, states: StateScores) -> tuple[np.ndarray, np.ndarray]:
    """Which slots show the concept, (S,) bool, and their weights, which sum to 1 over those that do and don't."""
    strata = np.array([present[states.own == stratum].any() for stratum in range(len(states.counts))])
    on = strata[states.stratum]
    weights = states.weights.copy()
    weights[on] /= weights[on].sum()
    weights[~on] /= weights[~on].sum()
    return on, weights


def detection_threshold(present: np.ndarray, scores: np.ndarray) -> float:
    """Score above which a concept counts as detected: the one of largest balanced accuracy.

    Args:
        present: (N,) bool.
        scores: (N,).

    Returns:
        The middle between the two neighbouring scores that it divides.
    """
    order = np.argsort(scores, kind="stable")
    ladder, hits = scores[order], present[order]
    missed = np.cumsum(hits) / hits.sum()  # positives at or below each score
    rejected = np.cumsum(~hits) / (~hits).sum()
    balanced = np.where(np.append(ladder[1:] > ladder[:-1], True), rejected - missed, -np.inf)
    best = int(balanced.argmax())
    return float(ladder[best] if best + 1 == len(ladder) else (ladder[best] + ladder[best + 1]) / 2)


@dataclass(frozen=True)
class Flips:
    """Shares over the images in which one concept was flipped.

    Args:
        shown: of flips that the concept classifier detects.
        expected: of flips it would detect if they showed as well as the concepts of the reference images do.
        others_stayed: of other concepts' detections that are those of the reference image.
    """

    shown: float
    expected: float
    others_stayed: float


def flip_shares(
    concept: int, presence: np.ndarray, reference: np.ndarray, states: StateScores, thresholds: np.ndarray
) -> Flips:
    """Count which flips of a concept show, and which other concepts stay.

    Args:
        concept: its number.
        presence: (N, D) bool.
        reference: (N, R, D) scores of the reference images.
        states: (N, S, R, D) scores in the concept's states.
        thresholds: (D,) of detection.
    """
    present = presence[:, concept]
    on, weights = present_slots(present, states)
    flipped = on != present[:, None]  # (N, S)
    share = (flipped * weights)[:, :, None]  # weight of each flipped image, (N, S, 1)
    before, after = reference > thresholds, states.scores > thresholds  # (N, R, D), (N, S, R, D)
    right = (before[..., concept] == present[:, None]).mean(axis=1)  # (N,)
    rate = {state: float(right[present == state].mean()) for state in (True, False)}
    total = float(share.sum())
    shown = after[..., concept] == on[:, None]  # (N, S, R)
    stays = np.delete(after == before[:, None], concept, axis=-1)  # (N, S, R, D - 1)
    others = float((share * stays.mean(axis=(2, 3))[..., None]).sum()) / total if stays.size else float("nan")
    return Flips(
        shown=float((share[..., 0] * shown.mean(axis=2)).sum()) / total,
        expected=float((~present).mean()) * rate[True] + float(present.mean()) * rate[False],
        others_stayed=others,
    )
