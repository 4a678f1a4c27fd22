"""Standard errors and intervals over rows from influence functions.

The influence of a row on an importance has three parts: on the reference score, on the scores of the states, and on the
marginal of the concept (n_b), since another sample of rows would have been permuted with other weights. For the AUROC
the first two are placements (DeLong, DeLong and Clarke-Pearson 1988), taken over the mixture of states. Reference and
permuted scores come from the same rows, so their influences are subtracted row by row before anything is squared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from genlens.errors import UserError
from genlens.importance.auroc import auroc_pairs, placements
from genlens.importance.exact import row_scores
from genlens.importance.states import StateScores
from genlens.metrics import Scoring, positives


@dataclass(frozen=True)
class Interval:
    """A number with its standard error and confidence interval over rows."""

    value: float
    low: float
    high: float
    se: float


def score_influence(y: np.ndarray, scores: np.ndarray, scoring: Scoring) -> np.ndarray:
    """Influence of each row on a score.

    Args:
        y: (N,) labels.
        scores: (N, R) or (N, R, C) scores; draws are averaged.
        scoring: of kind "auroc" or "additive".

    Returns:
        (N,), of mean 0; the score's variance is their mean square over N.
    """
    if scoring.kind == "auroc":
        positive, certain = positives(y), np.ones(1)
        draws = [placements(positive, scores[:, [draw]], certain) for draw in range(scores.shape[1])]
        return class_centred(positive, np.mean(draws, axis=0))
    parts = row_scores(y, scores[:, None], scoring)[:, 0].mean(axis=1)  # (N,)
    return scaled(y, parts, scoring)


def importance_influence(y: np.ndarray, reference: np.ndarray, states: StateScores, scoring: Scoring) -> np.ndarray:
    """Influence of each row on an expected importance.

    Args:
        y: (N,) labels.
        reference: (N, R) or (N, R, C) reference scores.
        states: scores of the concept's states.
        scoring: of kind "auroc" or "additive".

    Returns:
        (N,), of mean 0; exactly 0 where no state changes any score.
    """
    if np.array_equal(states.scores, np.broadcast_to(reference[:, None], states.scores.shape)):
        return np.zeros(len(y))
    if scoring.kind == "auroc":
        return np.asarray(score_influence(y, reference, scoring) - _permuted_auroc_influence(positives(y), states))
    parts = row_scores(y, states.scores, scoring).mean(axis=2)  # (N, S)
    own = row_scores(y, reference[:, None], scoring)[:, 0].mean(axis=1)
    return np.asarray(scaled(y, own - parts @ states.weights, scoring) - marginal_influence(states, parts.mean(axis=0)))


def _permuted_auroc_influence(positive: np.ndarray, states: StateScores) -> np.ndarray:
    weights, draws = states.weights, range(states.n_draws)
    placed = np.mean([placements(positive, states.scores[:, :, draw], weights) for draw in draws], axis=0)
    pairs = np.mean([auroc_pairs(positive, states.scores[:, :, draw]) for draw in draws], axis=0)  # (S, S)
    return np.asarray(class_centred(positive, placed) + marginal_influence(states, (pairs + pairs.T) @ weights))


def class_centred(positive: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """Placements -> influences: centred and divided by the share of the class."""
    result = np.empty(len(placed))
    for rows in (positive, ~positive):
        result[rows] = (placed[rows] - placed[rows].mean()) / rows.mean()
    return result


def scaled(y: np.ndarray, parts: np.ndarray, scoring: Scoring) -> np.ndarray:
    """Influence on mean(parts); where the score divides by a mean over the labels, that mean's own part with it."""
    centred = parts - parts.mean()
    if scoring.scale is None:
        return np.asarray(centred)
    scale = scoring.scale(y)
    return np.asarray(centred - parts.mean() * (scale / scale.mean() - 1))


def marginal_influence(states: StateScores, slopes: np.ndarray) -> np.ndarray:
    """Influence through n_b, given the slope (S,) of the permuted score in each slot's probability."""
    per_stratum = np.bincount(states.stratum, weights=slopes) / np.bincount(states.stratum)  # (B,)
    return np.asarray(per_stratum[states.own] - per_stratum @ states.counts / states.n_rows)


def standard_error(influence: np.ndarray, clusters: np.ndarray | None = None) -> float:
    """Standard error of the estimate that has these influences.

    Args:
        influence: (N,), of mean 0.
        clusters: (N,) groups of rows that may depend on each other (the images of a patient), or None.

    Returns:
        sqrt(G / (G - 1) sum of squared group sums) / N, with G groups; NaN for one group.
    """
    sums = cluster_sums(influence, clusters)
    if len(sums) < 2:
        return float("nan")
    return float(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / len(influence))


def cluster_sums(values: np.ndarray, clusters: np.ndarray | None) -> np.ndarray:
    """Sums over the rows of each cluster, (N,) -> (G,); the values themselves without clusters."""
    if clusters is None:
        return values
    return np.bincount(np.unique(clusters, return_inverse=True)[1].ravel(), weights=values)


def degrees_of_freedom(influence: np.ndarray, clusters: np.ndarray | None = None) -> float:
    """Degrees of freedom of the standard error, by Satterthwaite's rule (Pan and Wall 2002 for sandwich estimators).

    Args:
        influence: (N,), of mean 0.
        clusters: (N,) or None.

    Returns:
        2 G / (kurtosis - 1) of the G group sums, in [1, G - 1]: where a few rows (those with a rare concept) carry the
        variance, it is known no better than from a few rows.
    """
    squares = cluster_sums(influence, clusters) ** 2
    most = max(len(squares) - 1, 1)
    if not squares.any():
        return float(most)
    excess = float((squares**2).mean() / squares.mean() ** 2) - 1
    return float(np.clip(2 * len(squares) / max(excess, 1e-9), 1, most))


def interval(
    value: float, influence: np.ndarray, confidence: float = 0.95, clusters: np.ndarray | None = None
) -> Interval:
    """Interval value +- t * se, with Student's t for `degrees_of_freedom`.

    Its coverage is measured by `benchmarks/coverage.py`.

    Args:
        value: the estimate.
        influence: (N,) influence of each row.
        confidence: level in (0, 1).
        clusters: (N,) or None.
    """
    error = standard_error(influence, clusters)
    half = float(stats.t.ppf((1 + confidence) / 2, degrees_of_freedom(influence, clusters))) * error
    return Interval(value, value - half, value + half, error)


def check_confidence(confidence: float) -> float:
    """Return the level; a UserError unless it lies between 0 and 1."""
    if not 0 < confidence < 1:
        raise UserError(f"`confidence` must lie between 0 and 1, such as 0.95; got {confidence!r}.")
    return float(confidence)
