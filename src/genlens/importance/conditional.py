"""Conditional importance: a concept is permuted given the row's other concepts; from the same images as the importance.

A permutation of all rows gives a state the weight n_b / N in every row, also where the row's other concepts make that
state impossible. Here row i has weights of its own, P(c = b | the row's other concepts) (Strobl et al. 2008; Fisher,
Rudin and Dominici 2019, section 8.2). Within a stratum of n rows with n_b in state b, row i gets b and row k gets d
with probability n_b (n_d - [b = d]) / (n (n - 1)); rows of different strata are independent. So, with V the AUROC of
independent draws from the weights, and V_g and A_gb the AUROCs inside stratum g (of independent draws, and of all its
rows in state b), the expectation over all permutations within strata is

    V + sum_g share_g (V_g - sum_b p_gb A_gb) / (n_g - 1),  share_g = pairs of a positive and a negative in g / all.
"""

from __future__ import annotations

import numpy as np

from genlens.errors import UserError
from genlens.importance.exact import has_closed_form, row_scores
from genlens.importance.given import Given
from genlens.importance.inference import Interval, class_centred, interval, scaled, score_influence
from genlens.importance.sampled import mean_score
from genlens.importance.states import StateScores
from genlens.metrics import Scoring, positives


def conditional_importance(
    y: np.ndarray,
    reference: np.ndarray,
    states: StateScores,
    given: Given,
    scoring: Scoring,
    confidence: float = 0.95,
    clusters: np.ndarray | None = None,
) -> Interval:
    """Reference score - expected conditionally permuted score, with its interval over rows.

    Args:
        y: (N,) labels.
        reference: (N, R) or (N, R, C) scores of the reference images.
        states: scores of the concept's states.
        given: probabilities of the states' strata in each row.
        scoring: of kind "auroc" or "additive".
        confidence: level.
        clusters: (N,) groups of dependent rows, or None.

    Raises:
        UserError: the score has no closed form.
    """
    refuse_open_form(scoring)
    if np.array_equal(states.scores, np.broadcast_to(reference[:, None], states.scores.shape)):
        return interval(0.0, np.zeros(len(y)), confidence, clusters)
    value, influence = permuted_score(y, states, given, scoring)
    own = score_influence(y, reference, scoring)
    return interval(mean_score(y, reference, scoring) - value, own - influence, confidence, clusters)


def permuted_score(
    y: np.ndarray, states: StateScores, given: Given, scoring: Scoring
) -> tuple[float, np.ndarray]:
    """Expected score where each row's state has the probability `given`, and the influence (N,) of each row on it.

    Args:
        y: (N,) labels.
        states: scores of the concept's states.
        given: probabilities of the states' strata in each row.
        scoring: of kind "auroc" or "additive".
    """
    weights = states.slot_weights(given.probabilities)  # (N, S)
    if scoring.kind == "auroc":
        draws = [_auroc(positives(y), states, draw, weights, given) for draw in range(states.n_draws)]
        value, slopes = float(np.mean([draw[0] for draw in draws])), np.mean([draw[1] for draw in draws], axis=0)
        positive = positives(y)
        share = np.where(positive, positive.mean(), (~positive).mean())
        direct = class_centred(positive, (slopes * weights).sum(axis=1) * share)
    else:
        slopes = row_scores(y, states.scores, scoring).mean(axis=2)  # (N, S)
        parts = (slopes * weights).sum(axis=1)
        value, direct = float(parts.mean()), scaled(y, parts, scoring)
    return value, direct + given.influence(_over_strata(states, slopes))


def refuse_open_form(scoring: Scoring) -> None:
    """Raise a UserError for a score whose expectation isn't known exactly."""
    if not has_closed_form(scoring):
        raise UserError(
            f"`scoring`={scoring.name!r} has no closed form, which conditional permutation and Shapley values need. "
            "Use e.g. 'roc_auc', 'accuracy' or 'r2'."
        )


def _over_strata(states: StateScores, slopes: np.ndarray) -> np.ndarray:
    """Means (N, B) of slopes (N, S) over the slots of each stratum."""
    sums = np.zeros((len(slopes), len(states.counts)))
    np.add.at(sums.T, states.stratum, slopes.T)
    return np.asarray(sums / np.bincount(states.stratum))


def _auroc(
    positive: np.ndarray, states: StateScores, draw: int, weights: np.ndarray, given: Given
) -> tuple[float, np.ndarray]:
    """Expected AUROC at one draw, and its slopes (N, S) in the weights, times N."""
    scores = states.scores[:, :, draw]
    beaten = _beaten(positive, scores, weights)
    value = float((beaten * weights)[positive].sum() / positive.sum())
    share = np.where(positive, positive.mean(), (~positive).mean())
    if given.cells is not None:
        value += _without_replacement(positive, scores, states.stratum, weights, given.cells)
    return value, beaten / share[:, None]


def _beaten(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the other class that each row beats in each state, (N, S); ties count a half.

    Args:
        positive: (N,) bool, with both classes.
        scores: (N, S).
        weights: (N, S) probability of each state in each row.
    """
    result = np.empty(scores.shape)
    for rows, sign in ((positive, 1.0), (~positive, -1.0)):
        ladder = (sign * scores[~rows]).ravel()
        order = np.argsort(ladder)
        mass = np.concatenate([[0.0], np.cumsum(weights[~rows].ravel()[order])])
        ladder, own = ladder[order], sign * scores[rows]
        below, upto = np.searchsorted(ladder, own, side="left"), np.searchsorted(ladder, own, side="right")
        result[rows] = (mass[below] + mass[upto]) / (2 * mass[-1])
    return result


def _without_replacement(
    positive: np.ndarray, scores: np.ndarray, stratum: np.ndarray, weights: np.ndarray, cells: np.ndarray
) -> float:
    """What two rows of a stratum add to the expectation because they don't get their states independently."""
    total, pairs = 0.0, int(positive.sum()) * int((~positive).sum())
    for rows in np.split(np.argsort(cells, kind="stable"), np.cumsum(np.bincount(cells))[:-1]):
        hits = positive[rows]
        if hits.all() or not hits.any():
            continue
        inside, chance = scores[rows], weights[rows]
        both = (_beaten(hits, inside, chance) * chance)[hits].sum() / hits.sum()
        same = 0.0
        for b in np.unique(stratum):
            slots = stratum == b
            share = float(chance[0, slots].sum())
            if share > 0:
                same += share * float(_beaten(hits, inside[:, slots], np.ones((len(rows), slots.sum())))[hits].mean())
        total += int(hits.sum()) * int((~hits).sum()) * (both - same) / (len(rows) - 1)
    return total / pairs
