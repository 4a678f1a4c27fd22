"""Oracles against full enumeration and hand computation."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from genlens.errors import UserError
from genlens.oracles import bottleneck_permutation, bottleneck_reliance, standardised_weights

Y = np.array([0, 1, 1, 0, 1, 0])


def predictions(kind: str) -> np.ndarray:
    """Six rows of three concept predictions."""
    rng = np.random.default_rng(3)
    if kind == "binary":  # perfect concepts: scores tie
        return (rng.random((6, 3)) < 0.5).astype(float)
    return np.round(rng.normal(size=(6, 3)), 2)


def auroc(y: np.ndarray, score: np.ndarray) -> float:
    """Share of pairs in the right order, ties counting half."""
    difference = score[y == 1][:, None] - score[y == 0][None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def enumerated(y: np.ndarray, c: np.ndarray, j: int, head, score) -> float:
    """Mean score over all 720 permutations of column j."""
    total = []
    for order in permutations(range(len(c))):
        rows = c.copy()
        rows[:, j] = c[list(order), j]
        total.append(score(y, head(rows)))
    return float(np.mean(total))


def negative_squared_error(y: np.ndarray, score: np.ndarray) -> float:
    return float(-((y - score) ** 2).mean())


def interacting(rows: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(rows[:, 0] * rows[:, 1] + 0.5 * rows[:, 2])))


@pytest.mark.parametrize("kind", ["continuous", "binary"])
@pytest.mark.parametrize("weights", [[0.5, 0.25, 1.0], [-0.75, 0.0, 0.5]])
def test_expected_auroc_of_a_linear_head_equals_full_enumeration(kind: str, weights: list[float]) -> None:
    c, w = predictions(kind), np.array(weights)
    found = bottleneck_permutation(Y, c, w)
    expected = [enumerated(Y, c, j, lambda rows: rows @ w, auroc) for j in range(3)]
    assert found.permuted[0] == pytest.approx(expected, abs=1e-12)
    assert found.reference[0] == pytest.approx(roc_auc_score(Y, c @ w))
    assert found.importance[0] == pytest.approx(found.reference[0] - np.array(expected))


def test_expected_auroc_of_any_head_equals_full_enumeration() -> None:
    c = predictions("continuous")
    found = bottleneck_permutation(Y, c, [interacting, lambda rows: rows @ np.array([0.5, 0.25, 1.0])])
    expected = [enumerated(Y, c, j, interacting, auroc) for j in range(3)]
    assert found.permuted[0] == pytest.approx(expected, abs=1e-12)
    linear = bottleneck_permutation(Y, c, [0.5, 0.25, 1.0])
    assert found.permuted[1] == pytest.approx(linear.permuted[0], abs=1e-12)


def variance_explained(y: np.ndarray, score: np.ndarray) -> float:
    return float(1 - ((y - score) ** 2).sum() / ((y - y.mean()) ** 2).sum())


@pytest.mark.parametrize(
    ("scoring", "by_hand"), [("neg_mean_squared_error", negative_squared_error), ("r2", variance_explained)]
)
def test_expected_additive_score_equals_full_enumeration(scoring: str, by_hand) -> None:
    c, w = predictions("continuous"), np.array([0.5, -0.25, 1.0])
    found = bottleneck_permutation(Y, c, w, bias=0.3, scoring=scoring)
    expected = [enumerated(Y, c, j, lambda rows: rows @ w + 0.3, by_hand) for j in range(3)]
    assert found.permuted[0] == pytest.approx(expected, abs=1e-12)


def test_squared_error_of_a_perfect_binary_bottleneck_is_2_w2_p_1_p() -> None:
    c = np.tile([[0.0], [1.0]], (100, 2))
    c[:100, 1] = 0
    w = np.array([0.7, 0.0])
    found = bottleneck_permutation(c @ w, c, w, scoring="neg_mean_squared_error")
    assert found.importance[0] == pytest.approx([2 * 0.7**2 * 0.25, 0.0], abs=1e-12)


def test_a_head_that_is_the_concept_falls_to_one_half() -> None:
    rng = np.random.default_rng(0)
    c = rng.normal(size=(400, 2))
    y = (c[:, 0] > 0).astype(int)
    found = bottleneck_permutation(y, c, [[1.0, 0.0]])
    assert found.permuted[0, 0] == pytest.approx(0.5, abs=0.003)  # p != q: not exactly .5
    assert found.importance[0, 1] == pytest.approx(0.0, abs=1e-12)


def test_sampled_permutations_approach_the_expectation_and_share_their_seed() -> None:
    rng = np.random.default_rng(1)
    c = rng.normal(size=(60, 3))
    heads = np.array([[1.0, 0.5, 0.2], [0.1, 0.0, -1.0]])
    y = (c @ heads.T > 0).T.astype(int)  # labels of each model's own
    exact = bottleneck_permutation(y, c, heads)
    sampled = bottleneck_permutation(y, c, heads, n_repeats=400, seed=5)
    assert sampled.permuted == pytest.approx(exact.permuted, abs=0.02)
    assert not np.array_equal(sampled.permuted, exact.permuted)
    functions = [lambda rows, w=w: rows @ w for w in heads]
    assert bottleneck_permutation(y, c, functions, n_repeats=400, seed=5).permuted == pytest.approx(sampled.permuted)
    alone = bottleneck_permutation(y[1], c, heads[1], n_repeats=400, seed=5)
    assert alone.permuted[0] == pytest.approx(sampled.permuted[1])


def test_sampled_auroc_counts_ties_as_scikit_learn_does() -> None:
    c = predictions("binary")
    order = np.random.default_rng(2).permuted(np.arange(6)[None], axis=1)[0]
    rows = c.copy()
    rows[:, 0] = c[order, 0]
    found = bottleneck_permutation(Y, c, [0.5, 0.5, 0.25], n_repeats=1, seed=2)
    assert found.permuted[0, 0] == pytest.approx(roc_auc_score(Y, rows @ [0.5, 0.5, 0.25]))


def test_scorers_without_a_closed_form_are_sampled() -> None:
    c = predictions("continuous")
    found = bottleneck_permutation(Y, c, [1.0, 0.5, 0.2], scoring="average_precision", n_repeats=5)
    assert found.permuted.shape == (1, 3)
    with pytest.raises(UserError, match=r"`scoring` 'average_precision' has no closed form; pass `n_repeats`"):
        bottleneck_permutation(Y, c, [1.0, 0.5, 0.2], scoring="average_precision")


def test_standardised_weights_by_hand() -> None:
    c = np.array([[0.0, 1.0], [1.0, 3.0], [0.0, 1.0], [1.0, 3.0]])  # sd .5 and 1
    assert standardised_weights([2.0, -3.0], c) == pytest.approx([1.0, -3.0])
    assert standardised_weights([[2.0, -3.0], [0.0, 1.0]], c) == pytest.approx(np.array([[1.0, -3.0], [0.0, 1.0]]))


def test_reliance_at_the_bottleneck_by_hand() -> None:
    c = np.array([[0.9, 2.0], [0.1, -2.0], [0.7, -1.0], [0.3, 1.0]])
    presence = np.array([[1, 1], [0, 0], [1, 0], [0, 1]])
    found = bottleneck_reliance([[2.0, -0.5]], c, presence)
    # concept 0: on {.9, .7}, off {.1, .3}; concept 1: on {2, 1}, off {-2, -1}
    assert found.signed == pytest.approx(np.array([[2 * 0.6, -0.5 * 3.0]]))
    assert found.absolute == pytest.approx(np.array([[2 * 0.6, 0.5 * 3.0]]))
    overlapping = bottleneck_reliance([1.0], [[0.0], [2.0], [1.0], [1.0]], [[1], [1], [0], [0]])
    assert (overlapping.signed[0, 0], overlapping.absolute[0, 0]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concept_predictions": [1.0, 2.0]}, r"`concept_predictions` must have the shape \(N, D\) with N >= 2; got"),
        ({"concept_predictions": [[np.nan], [0.0]]}, "`concept_predictions` must be finite; got NaN"),
        ({"heads": [1.0, 2.0]}, r"`weights` must have the shape \(3,\) or \(M, 3\), one weight a concept; got \(2,\)"),
        ({"heads": [1.0, 2.0, np.inf]}, "`weights` must be finite"),
        ({"bias": [1.0, 2.0]}, r"`bias` must be a number or have the shape \(1,\); got \(2,\)"),
        ({"y": [0, 1]}, r"`y` must have the shape \(6,\) or \(1, 6\), a label a row; got \(2,\)"),
        ({"y": [1, 1, 1, 1, 1, 1]}, "`y` must hold two classes for the AUROC of every head"),
        ({"n_repeats": 0}, r"`n_repeats` must be an integer >= 1; got 0\."),
        ({"heads": [lambda rows: rows]}, r"A head must return one score a row, shape \(6,\); got \(6, 3\)"),
    ],
)
def test_bad_input_of_the_permutation_oracle(options: dict, message: str) -> None:
    given = {"y": Y, "concept_predictions": predictions("continuous"), "heads": [1.0, 0.5, 0.2], **options}
    with pytest.raises(UserError, match=message):
        bottleneck_permutation(**given)


def test_too_many_rows_for_the_closed_form() -> None:
    c = np.zeros((5001, 1))
    c[:5, 0] = 1
    with pytest.raises(UserError, match=r"The closed form takes at most 5000 rows; got 5001\. Pass `n_repeats`=500\."):
        bottleneck_permutation(c[:, 0], c, [1.0])


def test_bad_input_of_the_reliance_oracle() -> None:
    c = predictions("continuous")
    with pytest.raises(UserError, match=r"`presence` must have the shape \(6, 3\) of `conc.*`; got \(6,\)"):
        bottleneck_reliance([1.0, 1.0, 1.0], c, Y)
    with pytest.raises(UserError, match=r"`presence` of concept 1 is 1 in all rows; both states are needed"):
        bottleneck_reliance([1.0, 1.0, 1.0], c, np.stack([Y, np.ones(6), Y], axis=1))
