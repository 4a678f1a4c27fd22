"""Oracles: importance read from inside a concept bottleneck, the truth a ranking method is judged against.

A concept bottleneck's target score is a head on its concept predictions c_hat (N, D). Two oracles of the DEPICT paper
(arXiv 2407.14509, section 4.1 and supplementary 8) follow from it without any generated image:

* standardised weights, w_j * sd(c_hat_j);
* permutation at the bottleneck: the drop of the score when column j of c_hat is permuted over the real images.

A third stands beside score reliance: the change of the target score between present and absent values of c_hat_j.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from genlens.errors import UserError, check_integer
from genlens.metrics import Scoring, get_scoring

Floats = NDArray[np.float64]
Head = Callable[[Floats], Floats]
"""Concept predictions (K, D) to target scores (K,)."""

_MAX_EXACT_ROWS = 5000


@dataclass(frozen=True, eq=False)
class BottleneckPermutation:
    """Scores of M heads with each of D columns of c_hat permuted.

    Attributes:
        reference: (M,) score of each head on the unpermuted concept predictions.
        permuted: (M, D) expected (or mean sampled) score with column j permuted.
    """

    reference: Floats
    permuted: Floats

    @property
    def importance(self) -> Floats:
        """Signed drop (M, D): reference minus permuted."""
        return self.reference[:, None] - self.permuted


@dataclass(frozen=True, eq=False)
class BottleneckReliance:
    """Change of the target score of M heads between present and absent values of each of D concept predictions.

    Attributes:
        signed: (M, D) mean of score(present) - score(absent).
        absolute: (M, D) mean of abs(score(present) - score(absent)).
    """

    signed: Floats
    absolute: Floats


def standardised_weights(weights: ArrayLike, concept_predictions: ArrayLike) -> Floats:
    """Standardised regression weights w_j * sd(c_hat_j) (Bring 1994; DEPICT section 4.1).

    Args:
        weights: (D,) of one linear head or (M, D) of several.
        concept_predictions: (N, D) c_hat on the real images.

    Returns:
        Array of the shape of `weights`; the standard deviation divides by N.

    Raises:
        UserError: shapes that don't fit, or values that aren't finite.
    """
    predictions = _predictions(concept_predictions)
    result: Floats = _weights(weights, predictions.shape[1]) * predictions.std(axis=0)
    return result


def bottleneck_permutation(
    y: ArrayLike,
    concept_predictions: ArrayLike,
    heads: ArrayLike | Sequence[Head],
    *,
    bias: ArrayLike = 0.0,
    scoring: str | Callable[..., float] = "roc_auc",
    n_repeats: int | None = None,
    seed: int = 0,
) -> BottleneckPermutation:
    """Permutation importance of the columns of c_hat, for many heads on the same bottleneck.

    With ``n_repeats=None`` the expectation over all N! permutations in closed form: two rows i and k receive the values
    of two different rows (p, q), every ordered pair equally often, so that the expected AUROC is the mean over
    positives i, negatives k and ordered pairs p != q of [s_i(c_pj) > s_k(c_qj)], ties counting half; an additive score
    is the mean over rows i and donors p. Quadratic in N: .01 to .02 s a head and concept at N = 1,000 for linear heads,
    .06 s for callables.

    Args:
        y: (N,) labels, or (M, N) where every head has its own.
        concept_predictions: (N, D) c_hat on the real images.
        heads: weights (D,) or (M, D) of linear heads, or M callables from (K, D) to (K,).
        bias: scalar or (M,), added to linear heads.
        scoring: a scikit-learn scorer name or ``(y_true, y_score) -> float``, higher is better.
        n_repeats: None for the expectation (AUROC and additive scores), or the number of permutations to average.
        seed: of the permutations, which all heads and concepts share.

    Raises:
        UserError: shapes that don't fit, labels of one class, a scoring without a closed form where `n_repeats` is
            None, or too many rows for it.
    """
    predictions = _predictions(concept_predictions)
    n, d = predictions.shape
    functions = _heads(heads, bias, d)
    labels = _labels(y, len(functions), n)
    score = get_scoring(scoring)
    _check_scoring(score, n_repeats, labels)
    reference, permuted = np.empty(len(functions)), np.empty((len(functions), d))
    orders = None if n_repeats is None else _orders(n, n_repeats, seed)
    differences = _sorted_differences(predictions) if orders is None and score.kind == "auroc" else None
    for m, head in enumerate(functions):
        reference[m] = score(labels[m], _scores(head, predictions))
        for j in range(d):
            if orders is not None:
                permuted[m, j] = _sampled(labels[m], predictions, j, head, score, orders)
            elif differences is not None and isinstance(head, _Linear):
                permuted[m, j] = _linear_auroc(labels[m], predictions, j, head, differences[j])
            else:
                permuted[m, j] = _expected(labels[m], _donor_scores(head, predictions, j), score)
    return BottleneckPermutation(reference, permuted)


def bottleneck_reliance(weights: ArrayLike, concept_predictions: ArrayLike, presence: ArrayLike) -> BottleneckReliance:
    """Score reliance at the bottleneck of linear heads: value of a present row against value of an absent row.

    The mean runs over all pairs of a row in which concept j is present and a row in which it isn't, so the signed
    reliance is w_j * (mean of c_hat_j where present - mean where absent) and the absolute one is
    abs(w_j) * mean abs(c_pj - c_qj).

    Args:
        weights: (D,) of one linear head or (M, D) of several.
        concept_predictions: (N, D) c_hat on the real images.
        presence: (N, D) true presence of the concepts.

    Raises:
        UserError: shapes that don't fit, or a concept that is present in all rows or in none.
    """
    predictions = _predictions(concept_predictions)
    present = np.asarray(presence).astype(bool)
    if present.shape != predictions.shape:
        raise UserError(
            f"`presence` must have the shape {predictions.shape} of `concept_predictions`; got {present.shape}."
        )
    w = np.atleast_2d(_weights(weights, predictions.shape[1]))
    signed, absolute = np.empty(predictions.shape[1]), np.empty(predictions.shape[1])
    for j, column in enumerate(predictions.T):
        on, off = column[present[:, j]], column[~present[:, j]]
        if not len(on) or not len(off):
            where = "all rows" if len(on) else "no row"
            raise UserError(f"`presence` of concept {j} is 1 in {where}; both states are needed. Drop it or add rows.")
        signed[j] = on.mean() - off.mean()
        absolute[j] = np.abs(on[:, None] - off[None, :]).mean()
    return BottleneckReliance(w * signed, np.abs(w) * absolute)


@dataclass(frozen=True, eq=False)
class _Linear:
    weights: Floats
    bias: float

    def __call__(self, concept_predictions: Floats) -> Floats:
        result: Floats = concept_predictions @ self.weights + self.bias
        return result


def _predictions(value: ArrayLike) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != 2 or len(array) < 2:
        raise UserError(f"`concept_predictions` must have the shape (N, D) with N >= 2; got {array.shape}.")
    if not np.isfinite(array).all():
        raise UserError("`concept_predictions` must be finite; got NaN or infinity.")
    return array


def _weights(value: Any, d: int) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim not in (1, 2) or array.shape[-1] != d:
        raise UserError(f"`weights` must have the shape ({d},) or (M, {d}), one weight a concept; got {array.shape}.")
    if not np.isfinite(array).all():
        raise UserError("`weights` must be finite; got NaN or infinity.")
    return array


def _heads(heads: Any, bias: ArrayLike, d: int) -> list[Head]:
    if not isinstance(heads, np.ndarray) and isinstance(heads, Sequence) and any(callable(head) for head in heads):
        return list(heads)
    weights = np.atleast_2d(_weights(heads, d))
    try:
        biases = np.broadcast_to(np.asarray(bias, dtype=np.float64), len(weights))
    except ValueError:
        shape = np.shape(bias)
        raise UserError(f"`bias` must be a number or have the shape ({len(weights)},); got {shape}.") from None
    return [_Linear(w, float(b)) for w, b in zip(weights, biases, strict=True)]


def _labels(y: ArrayLike, m: int, n: int) -> NDArray[Any]:
    array = np.asarray(y)
    if array.shape not in ((n,), (m, n)):
        raise UserError(f"`y` must have the shape ({n},) or ({m}, {n}), a label a row; got {array.shape}.")
    return np.broadcast_to(array, (m, n))


def _check_scoring(score: Scoring, n_repeats: int | None, labels: NDArray[Any]) -> None:
    if score.kind == "auroc" and any(len(np.unique(row)) != 2 for row in labels):
        raise UserError("`y` must hold two classes for the AUROC of every head. Use rows of both classes.")
    if n_repeats is not None:
        check_integer("n_repeats", n_repeats, 1)
    elif score.kind == "other":
        raise UserError(f"`scoring` {score.name!r} has no closed form; pass `n_repeats`, for example 500.")
    elif labels.shape[1] > _MAX_EXACT_ROWS:
        rows = labels.shape[1]
        raise UserError(f"The closed form takes at most {_MAX_EXACT_ROWS} rows; got {rows}. Pass `n_repeats`=500.")


def _orders(n: int, n_repeats: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    return rng.permuted(np.tile(np.arange(n), (n_repeats, 1)), axis=1)  # (P, N)


def _scores(head: Head, rows: Floats) -> Floats:
    scores = np.asarray(head(rows), dtype=np.float64)
    if scores.shape != (len(rows),):
        raise UserError(f"A head must return one score a row, shape ({len(rows)},); got {scores.shape}.")
    return scores


def _donor_scores(head: Head, predictions: Floats, j: int) -> Floats:
    """Score (N, N) of row i with the value of column j taken from row p."""
    n, d = predictions.shape
    if isinstance(head, _Linear):
        own = head.weights[j] * predictions[:, j]
        linear: Floats = (head(predictions) - own)[:, None] + own[None, :]
        return linear
    rows = np.repeat(predictions[:, None], n, axis=1)  # (N, N, D)
    rows[:, :, j] = predictions[None, :, j]
    return _scores(head, rows.reshape(n * n, d)).reshape(n, n)


def _expected(y: NDArray[Any], scores: Floats, score: Scoring) -> float:
    """Expectation over all permutations from the donor scores (N, N)."""
    n = len(y)
    if score.per_row is not None:
        total = float(np.mean([score.per_row(y, scores[:, p]).mean() for p in range(n)]))
        return total if score.scale is None else total / float(score.scale(y).mean())
    positive = np.asarray(y) == np.unique(y)[-1]
    with_all = _auroc(scores[positive].ravel(), scores[~positive].ravel())
    with_same = np.mean([_auroc(scores[positive, p], scores[~positive, p]) for p in range(n)])
    return float((n * with_all - with_same) / (n - 1))  # ordered pairs p != q


def _linear_auroc(y: NDArray[Any], predictions: Floats, j: int, head: _Linear, differences: Floats) -> float:
    """Expected AUROC of a linear head: [a_i - a_k > w_j (c_q - c_p)], a the score without concept j."""
    n, w = len(y), head.weights[j]
    rest = head(predictions) - w * predictions[:, j]
    positive = np.asarray(y) == np.unique(y)[-1]
    margins = np.sort((rest[positive][:, None] - rest[~positive][None, :]).ravel())  # (n1 * n0,)
    if w == 0:
        return _share_above(margins, np.zeros(1))
    with_all = _share_above(margins / abs(w), differences)  # the differences are symmetric: the sign of w is free
    with_same = _share_above(margins, np.zeros(1))
    return (n * with_all - with_same) / (n - 1)


def _sorted_differences(predictions: Floats) -> list[Floats]:
    """All N * N differences of each column's values, sorted."""
    return [np.sort((column[:, None] - column[None, :]).ravel()) for column in predictions.T]


def _auroc(positives: Floats, negatives: Floats) -> float:
    return _share_above(np.sort(positives), np.sort(negatives))


def _share_above(high: Floats, low: Floats) -> float:
    """Share of pairs with high > low, ties counting half; both sorted."""
    left, right = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")
    return float((left.sum() + right.sum()) / (2 * high.size * low.size))


def _sampled(
    y: NDArray[Any], predictions: Floats, j: int, head: Head, score: Scoring, orders: NDArray[np.int64]
) -> float:
    permuted = np.stack([_permuted_scores(head, predictions, j, order) for order in orders])  # (P, N)
    if score.kind != "auroc":
        return float(np.mean([score(y, scores) for scores in permuted]))
    positive = np.asarray(y) == np.unique(y)[-1]
    n1 = int(positive.sum())
    wins = rankdata(permuted, axis=1)[:, positive].sum(axis=1) - n1 * (n1 + 1) / 2  # Mann-Whitney U
    return float(wins.mean() / (n1 * (len(y) - n1)))


def _permuted_scores(head: Head, predictions: Floats, j: int, order: NDArray[np.int64]) -> Floats:
    rows = predictions.copy()
    rows[:, j] = predictions[order, j]
    return _scores(head, rows)
