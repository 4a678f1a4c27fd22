"""AUROC kernels against scikit-learn and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from genlens.importance.auroc import ItemPairs, auroc_pairs, placements, roc_auc_rows


@pytest.mark.parametrize("levels", [1, 2, 5, 1000])
@pytest.mark.parametrize("n_rows", [2, 3, 40, 501])
def test_rows_equal_scikit_learn_to_the_bit(levels, n_rows):
    rng = np.random.default_rng(n_rows)
    positive = rng.permutation(np.arange(n_rows) < max(1, n_rows // 3))
    ranks = rng.integers(0, levels, (20, n_rows))
    assert roc_auc_rows(positive, ranks).tolist() == [roc_auc_score(positive, row) for row in ranks]


def brute(positive, weights, hits, misses):
    """Weighted AUROC of the scores `hits` of positives against `misses` of negatives."""
    wins = (hits[positive][:, None] > misses[~positive]) + (hits[positive][:, None] == misses[~positive]) / 2
    pairs = weights[positive][:, None] * weights[~positive]
    return (wins * pairs).sum() / pairs.sum()


def test_pairs_of_states_equal_brute_force():
    rng = np.random.default_rng(0)
    positive, scores = rng.random(30) < 0.4, rng.integers(0, 6, (30, 3)).astype(float)
    table = auroc_pairs(positive, scores)
    expected = [[brute(positive, np.ones(30), scores[:, s], scores[:, t]) for t in range(3)] for s in range(3)]
    assert table == pytest.approx(np.array(expected))


def test_weighted_auroc_over_items_equals_repeating_the_rows():
    rng = np.random.default_rng(1)
    positive, scores = rng.random(25) < 0.5, rng.integers(0, 5, (25, 2)).astype(float)
    pairs = ItemPairs.of(positive, scores)
    counts = rng.integers(0, 3, (4, 50)).astype(float)
    found = pairs.auroc(counts[:, pairs.positive_items], counts[:, pairs.negative_items])
    labels, flat = np.repeat(positive, 2), scores.ravel()
    expected = [roc_auc_score(np.repeat(labels, row.astype(int)), np.repeat(flat, row.astype(int))) for row in counts]
    assert found == pytest.approx(expected)


def test_weighted_auroc_is_nan_without_one_class():
    pairs = ItemPairs.of(np.array([True, False]), np.array([[1.0], [0.0]]))
    assert np.isnan(pairs.auroc(np.zeros((1, 1)), np.ones((1, 1)))).all()


def test_placements_average_to_the_auroc_of_the_mixture():
    rng = np.random.default_rng(2)
    positive, scores = rng.random(40) < 0.3, rng.integers(0, 8, (40, 3)).astype(float)
    weights = np.array([0.5, 0.2, 0.3])
    placed = placements(positive, scores, weights)
    expected = weights @ auroc_pairs(positive, scores) @ weights
    assert placed[positive].mean() == pytest.approx(expected)
    assert placed[~positive].mean() == pytest.approx(expected)
    row = np.flatnonzero(positive)[0]
    wins = (scores[row][:, None, None] > scores[~positive]) + (scores[row][:, None, None] == scores[~positive]) / 2
    assert placed[row] == pytest.approx(np.einsum("snt,s,t->", wins, weights, weights) / (~positive).sum())
