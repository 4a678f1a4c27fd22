"""Closed forms against full enumeration of all N! permutations and against theory."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from genlens.errors import UserError
from genlens.importance.exact import expected_importance, expected_score, pair_probabilities
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring

ADDITIVE = ("accuracy", "neg_log_loss", "neg_brier_score", "neg_mean_squared_error", "neg_mean_absolute_error", "r2")


def enumerated(y, states, scoring):
    """Mean over all N! permutations, all draws and, for rows with several donors, all their picks."""
    n_rows, n_draws = states.n_rows, states.n_draws
    slots = [np.flatnonzero(states.stratum == b) for b in range(len(states.counts))]
    total = []
    for order in permutations(range(n_rows)):
        picks = list(product(*(slots[states.own[source]] for source in order)))
        for draw in range(n_draws):
            scores = [scoring(y, states.scores[np.arange(n_rows), list(pick), draw]) for pick in picks]
            total.append(np.mean(scores))
    return np.mean(total)


def states_of(own, stratum, seed, n_draws=1, decimals=1):
    own, stratum = np.array(own), np.array(stratum)
    scores = np.random.default_rng(seed).normal(size=(len(own), len(stratum), n_draws)).round(decimals)
    return StateScores("c", scores, stratum, np.bincount(own, minlength=stratum.max() + 1), own)


CASES = {
    "binary": ([0, 1, 1, 0, 1], [0, 1], 1),
    "binary, two draws": ([0, 1, 1, 0], [0, 1], 2),
    "category": ([0, 1, 2, 2, 1], [0, 1, 2], 1),
    "segment with two donors": ([0, 1, 1, 0], [0, 1, 1], 1),
    "number": ([0, 0, 0], [0, 0, 0], 1),
    "slots out of order": ([0, 1, 1, 0], [1, 0, 1], 1),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("decimals", [1, 0], ids=["few ties", "many ties"])
def test_auroc_equals_full_enumeration(case, decimals):
    own, stratum, n_draws = CASES[case]
    y = np.array([1, 0, 1, 1, 0, 0][: len(own)])
    states = states_of(own, stratum, 3, n_draws, decimals)
    scoring = get_scoring("roc_auc")
    assert expected_score(y, states, scoring) == pytest.approx(enumerated(y, states, scoring), abs=1e-12)


@pytest.mark.parametrize("name", ADDITIVE)
@pytest.mark.parametrize("case", ["binary, two draws", "category", "segment with two donors"])
def test_additive_scores_equal_full_enumeration(name, case):
    own, stratum, n_draws = CASES[case]
    y = np.array([1, 0, 1, 1, 0, 0][: len(own)])
    states = states_of(own, stratum, 5, n_draws)
    scoring = get_scoring(name)
    assert expected_score(y, states, scoring) == pytest.approx(enumerated(y, states, scoring), abs=1e-12)


def test_multiclass_additive_score_equals_full_enumeration():
    own, y = np.array([0, 1, 1, 0, 1]), np.array([2, 0, 1, 1, 2])
    scores = np.random.default_rng(0).normal(size=(5, 2, 1, 3))
    states = StateScores("c", scores, np.array([0, 1]), np.bincount(own), own)
    scoring = get_scoring("neg_log_loss")
    assert expected_score(y, states, scoring) == pytest.approx(enumerated(y, states, scoring), abs=1e-12)


def test_a_model_that_is_the_concept_falls_to_one_half_exactly(make_binary):
    own = np.array([0, 1, 1, 0, 1, 0, 1, 1, 1])
    states = make_binary("c", own, np.zeros(9), np.ones(9))
    for y in (own, 1 - own, np.array([0, 1, 0, 1, 0, 1, 0, 1, 0])):
        assert expected_score(y, states, get_scoring("roc_auc")) == pytest.approx(0.5, abs=1e-15)
    assert expected_importance(own, own[:, None], states, get_scoring("roc_auc")) == pytest.approx(0.5, abs=1e-15)


@pytest.mark.parametrize("name", ["roc_auc", *ADDITIVE])
def test_an_ignored_concept_has_importance_exactly_zero(name, make_binary):
    rng = np.random.default_rng(0)
    score, own, y = rng.normal(size=101), rng.integers(0, 2, 101), rng.integers(0, 2, 101)
    states = make_binary("c", own, score, score)
    assert expected_importance(y, score[:, None], states, get_scoring(name)) == 0.0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_linear_model_with_squared_error_gives_two_w_squared_p_q(share, make_binary):
    n_rows, weight = 1000, 1.7
    own = (np.arange(n_rows) < share * n_rows).astype(int)
    rest = np.random.default_rng(1).normal(size=n_rows)
    y = rest + weight * own
    states = make_binary("c", own, rest, rest + weight)
    found = expected_importance(y, y[:, None], states, get_scoring("neg_mean_squared_error"))
    assert found == pytest.approx(2 * weight**2 * share * (1 - share), rel=1e-12)


def test_importance_is_the_reference_score_less_the_expected_score(make_world):
    world = make_world(n_draws=3, state_noise=0.2)
    scoring = get_scoring("roc_auc")
    reference = np.mean([roc_auc_score(world.y, world.reference[:, draw]) for draw in range(3)])
    for state in world.states:
        expected = reference - expected_score(world.y, state, scoring)
        assert expected_importance(world.y, world.reference, state, scoring) == pytest.approx(expected, abs=1e-12)


def test_pair_probabilities_sum_to_one_over_any_donors():
    assert pair_probabilities(states_of([0, 1, 1, 2, 1, 2, 0], [0, 1, 1, 1, 2], 0)).sum() == pytest.approx(1)


def test_constant_scores_have_an_auroc_of_one_half(make_binary):
    states = make_binary("c", [0, 1, 0, 1], np.ones(4), np.ones(4))
    assert expected_score(np.array([0, 0, 1, 1]), states, get_scoring("roc_auc")) == pytest.approx(0.5, abs=1e-15)


def test_labels_may_be_any_two_values(make_world):
    world = make_world()
    named = np.array(["cat", "dog"])[world.y]
    scoring, state = get_scoring("roc_auc"), world.states[0]
    assert expected_score(named, state, scoring) == expected_score(world.y, state, scoring)


def test_scores_without_a_closed_form_are_refused(make_world):
    world = make_world()
    with pytest.raises(UserError, match="`scoring`='average_precision' has no closed-form expectation"):
        expected_score(world.y, world.states[0], get_scoring("average_precision"))
