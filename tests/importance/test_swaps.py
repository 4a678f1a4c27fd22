"""p-values: their size under the null, their power, and Benjamini-Hochberg."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from genlens.importance.auroc import auroc_pairs
from genlens.importance.binary_swaps import BinarySwapStatistic
from genlens.importance.states import StateScores
from genlens.importance.swaps import _AurocStatistic, _Items, _statistic, benjamini_hochberg, swap_p_value
from genlens.metrics import get_scoring


def test_p_value_equals_full_enumeration_of_all_swaps(make_binary):
    rng = np.random.default_rng(0)
    own, y = np.array([0, 1, 1, 0, 1, 0, 1]), np.array([0, 1, 1, 0, 0, 1, 1])
    scores = rng.normal(size=(7, 2)) + 0.8 * own[:, None] * np.array([0, 1])
    states = make_binary("c", own, scores[:, 0], scores[:, 1])
    rows = np.arange(7)

    def statistic(table):
        weights = np.bincount(own) / 7
        mixed = weights @ auroc_pairs(y == 1, table) @ weights
        return auroc_pairs(y == 1, table[rows, own][:, None])[0, 0] - mixed

    swaps = [np.where(np.array(bits)[:, None], scores[:, ::-1], scores) for bits in product([0, 1], repeat=7)]
    exact = np.mean([statistic(table) >= statistic(scores) - 1e-12 for table in swaps])
    reference = scores[rows, own][:, None]
    found = swap_p_value(y, reference, states, get_scoring("roc_auc"), 20_000, np.random.default_rng(1))
    assert found == pytest.approx(exact, abs=0.01)


def null_states(rng, kind, n_rows):
    """States that a model which ignores the concept scores with noise alone."""
    if kind == "fresh noise":  # the reference image is none of the states
        own = rng.integers(0, 2, n_rows)
        return StateScores("c", rng.normal(size=(n_rows, 2, 1)), np.arange(2), np.bincount(own, minlength=2), own), None
    if kind == "segment":  # two donors; the reference is the absent state of absent rows
        own = (rng.random(n_rows) < 0.6).astype(int)
        scores = rng.normal(size=(n_rows, 3, 1))
        states = StateScores("c", scores, np.array([0, 1, 1]), np.bincount(own, minlength=2), own)
        return states, np.where(own == 0, scores[:, 0, 0], rng.normal(size=n_rows))[:, None]
    n_values = {"binary": 2, "category": 4}[kind]
    own = rng.permutation(np.arange(n_rows) % n_values)
    scores = rng.normal(size=(n_rows, n_values, 1))
    return StateScores("c", scores, np.arange(n_values), np.bincount(own), own), scores[np.arange(n_rows), own]


@pytest.mark.parametrize("kind", ["binary", "category", "segment", "fresh noise"])
@pytest.mark.parametrize("name", ["roc_auc", "neg_log_loss"])
def test_p_values_are_uniform_under_the_null(kind, name):
    rng = np.random.default_rng(7)
    found = []
    for _ in range(200):
        states, reference = null_states(rng, kind, 60)
        reference = rng.normal(size=(60, 1)) if reference is None else reference
        y = rng.permutation(np.arange(60) % 2)
        found.append(swap_p_value(y, reference, states, get_scoring(name), 99, rng))
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) <= 0.05) < 0.1


def test_reliance_without_use_is_not_called_importance(make_binary):
    """The model reacts to the concept but the labels are random: significant at most at the nominal rate."""
    rng, found = np.random.default_rng(3), []
    for _ in range(150):
        own, y = (rng.random(80) < 0.4).astype(int), rng.permutation(np.arange(80) % 2)
        base = rng.normal(size=80)
        states = make_binary("c", own, base, base + 1.0)
        reference = (base + own)[:, None]
        found.append(swap_p_value(y, reference, states, get_scoring("roc_auc"), 99, rng))
    assert np.mean(np.array(found) <= 0.05) < 0.1


@pytest.mark.parametrize("name", ["roc_auc", "accuracy", "average_precision"])
def test_a_concept_that_is_used_gets_the_smallest_p_value(name, make_world):
    world = make_world(n_rows=120, weights=(1.5, 0.3))
    p = swap_p_value(world.y, world.reference, world.states[0], get_scoring(name), 99, np.random.default_rng(0))
    assert p == 0.01


def test_a_concept_that_changes_no_score_gets_one(make_world):
    world = make_world()
    assert (
        swap_p_value(world.y, world.reference, world.states[2], get_scoring("roc_auc"), 9, np.random.default_rng(0))
        == 1
    )


def test_an_anti_concept_is_not_significant(make_binary):
    """One-sided: a concept that makes the score worse has p near 1."""
    rng = np.random.default_rng(0)
    own = rng.integers(0, 2, 200)
    base = rng.normal(size=200)
    y = (base - own + rng.normal(size=200) > -0.5).astype(int)
    states = make_binary("c", own, base, base + 1)
    reference = states.scores[np.arange(200), own]
    assert swap_p_value(y, reference, states, get_scoring("roc_auc"), 99, rng) > 0.9


def test_benjamini_hochberg_skips_unknown_p_values():
    assert benjamini_hochberg(np.array([0.01, 0.04, np.nan, 0.02])) == pytest.approx(
        [0.03, 0.04, np.nan, 0.03], nan_ok=True
    )
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()


@pytest.mark.parametrize("n_draws", [1, 3])
@pytest.mark.parametrize("by_row", [False, True])
def test_the_matrix_product_of_binary_concepts_equals_the_sorted_items(n_draws, by_row):
    rng = np.random.default_rng(n_draws)
    own, y = rng.integers(0, 2, 60), rng.integers(0, 2, 60)
    scores = rng.normal(size=(60, 2, n_draws)).round(1)  # with ties
    states = StateScores("c", scores, np.arange(2), np.bincount(own), own)
    share = rng.random(60)
    items = _Items(scores[np.arange(60), own], states, np.stack([share, 1 - share], axis=1) if by_row else None)
    product = _statistic(y, items, get_scoring("roc_auc"))
    assert isinstance(product, BinarySwapStatistic)
    roles = items.swap(30, rng)
    np.testing.assert_allclose(product(roles), _AurocStatistic(y, items, get_scoring("roc_auc"))(roles), atol=1e-12)
