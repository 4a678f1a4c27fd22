"""The difference (prediction-powered) estimator: all rows have a reference image, n random ones of N have their flips.

A surrogate f predicts the scores of every row's states; the truth h is known for the rows T. The permuted score is a
mean over rows (additive scores) or over pairs of rows (AUROC) of a kernel of the states' scores. With A_N and A_T for
such means over all rows and over T,

    permuted score = A_N(f) + A_T(h) - A_T(f).

**It is consistent whatever the surrogate is.** T is a simple random sample, so for any fixed f A_T(h) - A_N(h) and
A_T(f) - A_N(f) have mean 0 (for the AUROC to the order 1 / n, since each is a ratio by the numbers of positives and
negatives in T) and vanish as n grows: means and U-statistics of a bounded kernel. The estimate is then A_N(h), the full
estimator. f is fitted on T, but over a fixed number of coefficients that convergence is uniform, so it holds for the
fitted f as well; cross-fitting takes away the bias of the order 1 / n that remains when rows are predicted by
themselves. For additive scores it takes away all of it: given the other folds, a fold of T and the rows outside T that
the same regression predicts are exchangeable.
A good f only makes h - f vary less from row to row, and that is all that n has to average out.

The influence of row i is that of A_N(f), plus N / n times the difference of its influences on A_T(h) and A_T(f) if i
is in T. Their mean square over N is Var(f part) / N + Var(correction) / n + twice their covariance / N.
Sources: Cochran, Sampling Techniques (1977), 9.1 (difference estimator); Angelopoulos et al., Prediction-powered
inference, Science 382 (2023); Zrnic and Candes, Cross-prediction-powered inference, PNAS 121 (2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genlens.errors import UserError
from genlens.importance.auroc import auroc_pairs, placements
from genlens.importance.exact import expected_importance, has_closed_form, pair_probabilities, row_scores
from genlens.importance.inference import (
    Interval,
    class_centred,
    importance_influence,
    interval,
    marginal_influence,
    scaled,
    score_influence,
)
from genlens.importance.reliance import Reliance, mean_reliance, reliance, row_effects, row_parts
from genlens.importance.states import StateScores
from genlens.metrics import Scoring, positives


@dataclass(frozen=True, eq=False)
class PartialStates:
    """Scores of one concept's states: a surrogate's for all rows, true ones for some.

    Args:
        surrogate: predicted scores of all N rows, (N, S, R) or (N, S, R, C).
        rows: (n,) the rendered rows, a simple random sample; n >= 2.
        true: (n, S, R) or (n, S, R, C) their scores.

    Raises:
        UserError: the shapes don't fit together, a row comes twice or a score isn't finite.
    """

    surrogate: StateScores
    rows: np.ndarray
    true: np.ndarray

    def __post_init__(self) -> None:
        """Check that the arrays fit together."""
        wanted = (len(self.rows), *self.surrogate.scores.shape[1:])
        fault = None
        if self.true.shape != wanted:
            fault = f"true scores must be {wanted}; got {self.true.shape}"
        elif len(self.rows) < 2 or len(np.unique(self.rows)) != len(self.rows):
            fault = f"rows must be two or more different rows; got {len(np.unique(self.rows))} of {len(self.rows)}"
        elif not np.isfinite(self.true).all():
            fault = "true scores must be finite"
        if fault:
            raise UserError(f"Partial states of concept {self.concept!r}: {fault}.")

    @property
    def concept(self) -> str:
        """Name of the concept."""
        return self.surrogate.concept

    @property
    def n_rows(self) -> int:
        """N."""
        return self.surrogate.n_rows

    @property
    def filled(self) -> StateScores:
        """True scores where they are known, the surrogate's elsewhere."""
        scores = self.surrogate.scores.copy()
        scores[self.rows] = self.true
        return self._with(scores)

    @property
    def complete(self) -> bool:
        """Whether all rows are rendered; everything here then equals the full estimator."""
        return len(self.rows) == self.n_rows

    def rendered(self) -> StateScores:
        """True scores of the rendered rows alone, in increasing order, as states of a table of n rows."""
        order = np.argsort(self.rows)
        rows = self.rows[order]
        own = self.surrogate.own[rows]
        counts = np.bincount(own, minlength=len(self.surrogate.counts))
        values = None if self.surrogate.values is None else self.surrogate.values[rows]
        return StateScores(self.concept, self.true[order], self.surrogate.stratum, counts, own, values)

    def column(self, output: int) -> PartialStates:
        """Scores of one of the C outputs."""
        return PartialStates(self.surrogate.column(output), self.rows, self.true[..., output])

    def _with(self, scores: np.ndarray) -> StateScores:
        known = self.surrogate
        return StateScores(known.concept, scores, known.stratum, known.counts, known.own, known.values)


def difference_importance(y: np.ndarray, reference: np.ndarray, partial: PartialStates, scoring: Scoring) -> float:
    """Reference score - permuted score by the difference estimator.

    Args:
        y: (N,) labels.
        reference: (N, R) or (N, R, C) scores of the reference images.
        partial: the concept's states.
        scoring: of kind "auroc" or "additive".

    Returns:
        The importance; to the bit that of `genlens.importance.exact` where all rows are rendered.

    Raises:
        UserError: the score has no closed form, or the rendered rows have one class only.
    """
    refuse_without_closed_form(scoring)
    filled, rows = partial.filled, partial.rows
    if partial.complete:
        return expected_importance(y, reference, filled, scoring)
    if scoring.kind == "additive":
        own = row_scores(y, reference[:, None], scoring)  # (N, 1, R)
        true = (own - row_scores(y, filled.scores, scoring))[rows]  # (n, S, R)
        guess = own - row_scores(y, partial.surrogate.scores, scoring)  # (N, S, R)
        drops = true.mean(axis=(0, 2)) + guess.mean(axis=(0, 2)) - guess[rows].mean(axis=(0, 2))
        return float(drops @ filled.weights)
    positive = _classes(y, rows)
    whole, part = _pairs(positive, reference[:, None]), _pairs(positive[rows], reference[rows][:, None])  # (1, 1)
    guess = partial.surrogate.scores
    drops = whole - _pairs(positive, guess)  # (S, S)
    drops += (part - _pairs(positive[rows], filled.scores[rows])) - (part - _pairs(positive[rows], guess[rows]))
    return float((pair_probabilities(filled) * drops).sum())


def difference_influence(y: np.ndarray, reference: np.ndarray, partial: PartialStates, scoring: Scoring) -> np.ndarray:
    """Influence of each row on `difference_importance`: the sum of its `influence_parts`.

    Args:
        y: (N,) labels.
        reference: (N, R) or (N, R, C) scores of the reference images.
        partial: the concept's states.
        scoring: of kind "auroc" or "additive".

    Returns:
        (N,), of mean 0; the variance of the estimate is their mean square over N.

    Raises:
        UserError: as `difference_importance`.
    """
    surrogate, correction = influence_parts(y, reference, partial, scoring)
    return np.asarray(surrogate + correction)


def influence_parts(
    y: np.ndarray, reference: np.ndarray, partial: PartialStates, scoring: Scoring
) -> tuple[np.ndarray, np.ndarray]:
    """Influence of each row through the surrogate (N,) and through the correction (N,), 0 in rows not rendered.

    With more rows rendered the second part shrinks: its share of the variance is (1 / n - 1 / N) s^2, with s^2 the mean
    square of correction * n / N over the n rendered rows. Arguments and errors are those of `difference_influence`.
    """
    refuse_without_closed_form(scoring)
    filled, rows, states = partial.filled, partial.rows, partial.surrogate
    unchanged = np.broadcast_to(reference[:, None], filled.scores.shape)
    if partial.complete or (np.array_equal(states.scores, unchanged) and np.array_equal(filled.scores, unchanged)):
        return importance_influence(y, reference, filled, scoring), np.zeros(partial.n_rows)
    correction = np.zeros(partial.n_rows)
    share = len(rows) / partial.n_rows
    if scoring.kind == "additive":
        own = row_scores(y, reference[:, None], scoring)[:, 0].mean(axis=1)  # (N,)
        guess = row_scores(y, states.scores, scoring).mean(axis=2)  # (N, S)
        gap = row_scores(y, filled.scores, scoring).mean(axis=2)[rows] - guess[rows]  # (n, S)
        miss = gap @ filled.weights
        correction[rows] = (miss - miss.mean()) / share
        whole = scaled(y, own - guess @ filled.weights - miss.mean(), scoring)
        return whole - marginal_influence(filled, guess.mean(axis=0) + gap.mean(axis=0)), -correction
    positive, weights = _classes(y, rows), filled.weights
    guessed, true = states.scores, filled.scores[rows]
    difference = _placements(positive[rows], true, weights) - _placements(positive[rows], guessed[rows], weights)
    correction[rows] = class_centred(positive[rows], difference) / share
    pairs = _pairs(positive, guessed) + _pairs(positive[rows], true) - _pairs(positive[rows], guessed[rows])
    permuted = class_centred(positive, _placements(positive, guessed, weights))
    permuted = permuted + marginal_influence(filled, (pairs + pairs.T) @ weights)
    return score_influence(y, reference, scoring) - permuted, -correction


def difference_reliance(
    partial: PartialStates, confidence: float = 0.95, clusters: np.ndarray | None = None
) -> Reliance:
    """Score reliance by the difference estimator; see `genlens.importance.reliance`.

    Args:
        partial: the concept's states.
        confidence: level of the intervals.
        clusters: (N,) groups of dependent rows, or None.

    Returns:
        Absolute and signed reliance over all rows; effects (N,), NaN in rows that weren't rendered.
    """
    if partial.complete:
        return reliance(partial.filled, confidence, clusters)
    if partial.true.ndim == 4:
        outputs = range(partial.true.shape[3])
        return mean_reliance([difference_reliance(partial.column(c), confidence, clusters) for c in outputs])
    true, guess = row_parts(partial.filled), row_parts(partial.surrogate)
    effects = np.full(partial.n_rows, np.nan)
    effects[partial.rows] = row_effects(true)[partial.rows]
    return Reliance(
        _ratio(true.size, guess.size, true.distance, partial.rows, confidence, clusters),
        _ratio(true.change, guess.change, true.square, partial.rows, confidence, clusters),
        effects,
    )


def _ratio(
    true: np.ndarray,
    guess: np.ndarray,
    bottom: np.ndarray,
    rows: np.ndarray,
    confidence: float,
    clusters: np.ndarray | None,
) -> Interval:
    """Difference estimate of mean(true) over mean(bottom); all (N,), true ones valid in `rows`."""
    scale = float(bottom.mean())
    if scale == 0 or np.isnan(true).any():
        return Interval(*[float("nan")] * 4)
    mean = true[rows].mean() + (guess.mean() - guess[rows].mean())
    gap = true - guess
    influence = guess - guess.mean()
    influence[rows] += (gap[rows] - gap[rows].mean()) * (len(true) / len(rows))
    value = float(mean / scale)
    return interval(value, (influence - value * (bottom - scale)) / scale, confidence, clusters)


def refuse_without_closed_form(scoring: Scoring) -> None:
    """Raise a UserError for scores that are neither the AUROC nor a mean over rows."""
    if not has_closed_form(scoring):
        raise UserError(
            f"Rendering the flips of some rows needs a score with a closed form; got `scoring`={scoring.name!r}. "
            "Choose roc_auc or a mean over rows such as neg_log_loss, or render all rows."
        )


def _classes(y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    positive = positives(y)
    if len(np.unique(positive[rows])) < 2:
        raise UserError(f"The {len(rows)} rows whose flips are rendered have one class only; render more rows.")
    return positive


def _pairs(positive: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(S, S) AUROC of positives in one state against negatives in another, the mean over draws."""
    draws = range(scores.shape[2])
    return np.asarray(np.mean([auroc_pairs(positive, scores[:, :, draw]) for draw in draws], axis=0))


def _placements(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    draws = range(scores.shape[2])
    return np.asarray(np.mean([placements(positive, scores[:, :, draw], weights) for draw in draws], axis=0))
