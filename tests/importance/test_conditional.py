"""Conditional importance against full enumeration, against theory, and where it must show nothing."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from genlens.errors import UserError
from genlens.importance.conditional import conditional_importance, permuted_score
from genlens.importance.exact import expected_importance, expected_score
from genlens.importance.given import Given, within_cells
from genlens.importance.inference import importance_influence
from genlens.importance.states import StateScores
from genlens.importance.swaps import swap_p_value
from genlens.metrics import get_scoring


def states_of(own, stratum, seed, n_draws=1, decimals=1):
    own, stratum = np.array(own), np.array(stratum)
    scores = np.random.default_rng(seed).normal(size=(len(own), len(stratum), n_draws)).round(decimals)
    return StateScores("c", scores, stratum, np.bincount(own, minlength=stratum.max() + 1), own)


def enumerated(y, states, cells, scoring):
    """Mean over all permutations within cells, all donors' picks and all draws."""
    rows, slots = np.arange(len(y)), [np.flatnonzero(states.stratum == b) for b in range(len(states.counts))]
    inside = [list(permutations(np.flatnonzero(cells == cell))) for cell in range(cells.max() + 1)]
    total = []
    for orders in product(*inside):
        source = np.empty(len(y), dtype=int)
        for cell, order in enumerate(orders):
            source[cells == cell] = order
        picks = list(product(*(slots[states.own[row]] for row in source)))
        total += [
            np.mean([scoring(y, states.scores[rows, list(pick), draw]) for pick in picks])
            for draw in range(states.n_draws)
        ]
    return np.mean(total)


CASES = {
    "binary": ([0, 1, 1, 0, 1], [0, 1], 1),
    "binary, two draws": ([0, 1, 1, 0], [0, 1], 2),
    "category": ([0, 1, 2, 2, 1], [0, 1, 2], 1),
    "segment with two donors": ([0, 1, 1, 0], [0, 1, 1], 1),
    "slots out of order": ([0, 1, 1, 0], [1, 0, 1], 1),
}
CELLS = {
    "two strata": [0, 0, 1, 1, 0],
    "a stratum of one row": [0, 1, 1, 1, 1],
    "one stratum": [0, 0, 0, 0, 0],
    "every row its own": [0, 1, 2, 3, 4],
}
Y = np.array([1, 0, 1, 0, 1])


@pytest.mark.parametrize("cells", CELLS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("name", "decimals"), [("roc_auc", 1), ("roc_auc", 0), ("r2", 1)])
def test_permuting_within_strata_equals_full_enumeration(case, cells, name, decimals):
    own, stratum, n_draws = CASES[case]
    y, cell = Y[: len(own)], np.array(CELLS[cells][: len(own)])
    states = states_of(own, stratum, 3, n_draws, decimals)
    given, scoring = within_cells(states.own, len(states.counts), cell), get_scoring(name)
    value, influence = permuted_score(y, states, given, scoring)
    assert value == pytest.approx(enumerated(y, states, cell, scoring), abs=1e-12)
    assert influence.mean() == pytest.approx(0, abs=1e-12)


def test_many_classes_equal_full_enumeration():
    own, y, cells = np.array([0, 1, 1, 0, 1]), np.array([2, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1])
    scores = np.random.default_rng(0).normal(size=(5, 2, 1, 3))
    states, scoring = StateScores("c", scores, np.arange(2), np.bincount(own), own), get_scoring("neg_log_loss")
    value, _ = permuted_score(y, states, within_cells(own, 2, cells), scoring)
    assert value == pytest.approx(enumerated(y, states, cells, scoring), abs=1e-12)


@pytest.mark.parametrize("name", ["roc_auc", "neg_brier_score"])
def test_one_stratum_is_the_unconditional_permutation(make_world, name):
    world, scoring = make_world(state_noise=0.2, n_draws=2), get_scoring(name)
    one = np.zeros(200, dtype=np.int64)
    for state in world.states:
        given = within_cells(state.own, 2, one)
        found = conditional_importance(world.y, world.reference, state, given, scoring)
        assert found.value == pytest.approx(expected_importance(world.y, world.reference, state, scoring), abs=1e-12)
        plain = importance_influence(world.y, world.reference, state, scoring)
        value, influence = permuted_score(world.y, state, given, scoring)
        assert value == pytest.approx(expected_score(world.y, state, scoring), abs=1e-12)
        own = conditional_importance(world.y, world.reference, state, given, scoring).se
        assert own == pytest.approx(np.sqrt((plain**2).sum() / 199 / 200), rel=1e-9)
        assert influence.shape == (200,)


def test_the_model_form_is_the_mean_over_independent_draws():
    states = states_of([0, 1, 1, 0, 1], [0, 1], 2, decimals=0)
    chance = np.array([0.1, 0.9, 0.5, 0.3, 0.6])
    given = Given(states.own, np.stack([1 - chance, chance], axis=1))
    y, scoring = np.array([1, 0, 1, 1, 0]), get_scoring("roc_auc")
    total = 0.0
    for slots in product((0, 1), repeat=5):
        picked = np.array(slots)
        weight = np.where(picked == 1, chance, 1 - chance).prod()
        total += weight * scoring(y, states.scores[np.arange(5), picked, 0])
    assert permuted_score(y, states, given, scoring)[0] == pytest.approx(total, abs=1e-12)


def correlated(n, correlation, weight, seed):
    """Two binary concepts, one follows the other; the score is weight * second + 1 * first + noise."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 2, n)
    second = np.where(rng.random(n) < correlation, first, rng.integers(0, 2, n))
    score = first + weight * second + rng.normal(0, 0.5, n)
    y = (score + rng.normal(0, 0.5, n) > (1 + weight) / 2).astype(int)
    other = score + weight * (1 - 2 * second)
    scores = np.where(second[:, None] == np.arange(2), score[:, None], other[:, None])[:, :, None]
    return y, first, score[:, None], StateScores("second", scores, np.arange(2), np.bincount(second), second)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_squared_error_of_a_linear_model_falls_by_the_conditional_variance(correlation):
    """Linear model scored against itself: 2 w^2 E[var(c | given)], the closed form of the conditional importance."""
    _, first, reference, states = correlated(4000, correlation, 0.7, 0)
    given = within_cells(states.own, 2, first)
    variance = np.mean(given.probabilities[:, 1] * given.probabilities[:, 0])
    found = conditional_importance(reference[:, 0], reference, states, given, get_scoring("neg_mean_squared_error"))
    assert found.value == pytest.approx(2 * 0.7**2 * variance, rel=1e-9)
    marginal = expected_importance(reference[:, 0], reference, states, get_scoring("neg_mean_squared_error"))
    assert found.value / marginal == pytest.approx(1 - correlation**2, abs=0.03)


def test_an_ignored_concept_has_importance_exactly_zero(make_binary):
    rng = np.random.default_rng(0)
    score, own, y = rng.normal(size=60), rng.integers(0, 2, 60), rng.integers(0, 2, 60)
    states = make_binary("c", own, score, score)
    given = within_cells(own, 2, rng.integers(0, 3, 60))
    found = conditional_importance(y, score[:, None], states, given, get_scoring("roc_auc"))
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_swaps_take_weights_of_rows(make_world):
    world, scoring = make_world(weights=(1.0, 0.0)), get_scoring("roc_auc")
    for state, larger in zip(world.states, (False, True), strict=True):
        rows = np.tile(state.weights, (200, 1))
        rng = np.random.default_rng(1)
        even = swap_p_value(world.y, world.reference, state, scoring, 199, rng, rows)
        assert even == swap_p_value(world.y, world.reference, state, scoring, 199, np.random.default_rng(1))
        assert (even > 0.05) is larger


def test_a_score_without_a_closed_form_is_refused(make_world):
    world = make_world()
    given = within_cells(world.states[0].own, 2, np.zeros(200, dtype=np.int64))
    with pytest.raises(UserError, match="`scoring`='f1' has no closed form, which conditional"):
        conditional_importance(world.y, world.reference, world.states[0], given, get_scoring("f1"))
