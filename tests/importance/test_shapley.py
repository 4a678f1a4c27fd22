"""Shapley values against enumeration of orders and of permutations, and closed forms of additive scores."""

from __future__ import annotations

from itertools import permutations
from math import factorial

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from genlens.errors import UserError
from genlens.importance.shapley import shapley, shapley_interactions, shapley_values
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring


def lattice_of(presence, score, n_draws=1):
    """Scores of all combinations; `score` maps bits (S, D) to (N, S)."""
    n_concepts = presence.shape[1]
    bits = np.arange(2**n_concepts)[:, None] >> np.arange(n_concepts) & 1
    scores = np.repeat(score(bits)[:, :, None], n_draws, axis=2)
    own = presence @ (1 << np.arange(n_concepts))
    return StateScores("lattice", scores, np.arange(len(bits)), np.bincount(own, minlength=len(bits)), own)


def test_values_of_a_game_are_the_means_over_all_orders():
    sets = np.random.default_rng(0).normal(size=16)
    expected = np.zeros(4)
    for order in permutations(range(4)):
        held = 0
        for player in order:
            expected[player] += sets[held | 1 << player] - sets[held]
            held |= 1 << player
    np.testing.assert_allclose(shapley_values(sets), expected / factorial(4), atol=1e-14)
    assert shapley_values(sets).sum() == pytest.approx(sets[-1] - sets[0], abs=1e-12)


def test_the_interaction_of_a_product_of_two_is_its_factor():
    bits = np.arange(8)[:, None] >> np.arange(3) & 1
    sets = 2.0 * bits[:, 0] - bits[:, 2] + 0.7 * bits[:, 0] * bits[:, 1]
    found = shapley_interactions(sets)
    np.testing.assert_allclose(found[np.triu_indices(3, 1)], [0.7, 0, 0], atol=1e-14)
    np.testing.assert_allclose(shapley_values(sets), [2.35, 0.35, -1], atol=1e-14)
    assert np.isnan(np.diag(found)).all()


@pytest.mark.parametrize("name", ["roc_auc", "neg_mean_squared_error"])
def test_set_values_are_means_over_all_joint_permutations(name):
    presence = np.array([[0, 1, 1], [1, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 0]])
    table = np.random.default_rng(1).normal(size=(5, 8)).round(0)
    y, scoring = np.array([1, 0, 0, 1, 1]), get_scoring(name)
    lattice = lattice_of(presence, lambda bits: table)
    found = shapley(y, lattice, scoring)
    for kept in range(8):
        total = []
        for order in permutations(range(5)):
            slots = (lattice.own & kept) | (lattice.own[list(order)] & (7 - kept))
            total.append(scoring(y, table[np.arange(5), slots]))
        assert found.sets[kept] == pytest.approx(np.mean(total), abs=1e-12)
    assert sum(item.value for item in found.values) == pytest.approx(found.total.value, abs=1e-12)
    assert found.sets[-1] == pytest.approx(scoring(y, table[np.arange(5), lattice.own]), abs=1e-12)


def test_shapley_values_of_a_linear_model_share_out_the_covariance():
    """Squared error of a linear model against itself: v(all) - v(S) = 2 var(w_T . c_T), T the permuted concepts.

    Hence phi_j = 2 w_j cov(c_j, w . c): for correlated concepts, too (the Shapley value of a variance).
    """
    rng = np.random.default_rng(2)
    first = rng.integers(0, 2, 300)
    presence = np.stack([first, np.where(rng.random(300) < 0.7, first, rng.integers(0, 2, 300)), first], axis=1)
    presence[:, 2] = rng.integers(0, 2, 300)
    weights = np.array([1.0, 0.4, -0.6])
    rest = rng.normal(size=300)
    lattice = lattice_of(presence, lambda bits: rest[:, None] + bits @ weights)
    y = rest + presence @ weights
    found = shapley(y, lattice, get_scoring("neg_mean_squared_error"))
    covariance = np.cov(presence.T, bias=True)
    np.testing.assert_allclose([item.value for item in found.values], 2 * weights * (covariance @ weights), atol=1e-12)
    np.testing.assert_allclose(found.interactions[0, 1], -4 * weights[0] * weights[1] * covariance[0, 1], atol=1e-12)


def test_an_ignored_concept_gets_exactly_nothing_and_draws_are_averaged():
    rng = np.random.default_rng(3)
    presence, rest = rng.integers(0, 2, (80, 2)), rng.normal(size=80)
    y = (rest + presence[:, 0] > 0.5).astype(int)
    lattice = lattice_of(presence, lambda bits: rest[:, None] + bits[:, 0], n_draws=2)
    found = shapley(y, lattice, get_scoring("roc_auc"))
    assert found.values[1].value == pytest.approx(0, abs=1e-12)
    assert found.values[0].value == pytest.approx(found.total.value, abs=1e-12)
    assert found.sets[-1] == pytest.approx(roc_auc_score(y, rest + presence[:, 0]), abs=1e-12)


def test_the_interval_is_as_wide_as_a_bootstrap_over_rows():
    rng = np.random.default_rng(4)
    presence, rest = rng.integers(0, 2, (250, 2)), rng.normal(0, 0.5, 250)
    y = (rest + presence @ [1.0, 0.5] + rng.normal(0, 0.5, 250) > 0.75).astype(int)
    table = rest[:, None] + (np.arange(4)[:, None] >> np.arange(2) & 1) @ np.array([1.0, 0.5])
    scoring, drawn = get_scoring("roc_auc"), []
    for _ in range(150):
        rows = rng.integers(0, 250, 250)
        drawn.append([item.value for item in shapley(
            y[rows], lattice_of(presence[rows], lambda bits, rows=rows: table[rows]), scoring).values])  # fmt: skip
    found = shapley(y, lattice_of(presence, lambda bits: table), scoring)
    np.testing.assert_allclose([item.se for item in found.values], np.std(drawn, axis=0), rtol=0.2)


def test_a_score_without_a_closed_form_is_refused():
    lattice = lattice_of(np.array([[0, 1], [1, 0], [1, 1], [0, 0]]), lambda bits: np.ones((4, 4)))
    with pytest.raises(UserError, match="no closed form, which conditional permutation and Shapley values need"):
        shapley(np.array([0, 1, 0, 1]), lattice, get_scoring("f1"))
