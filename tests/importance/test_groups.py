"""Groups of concepts: all joint permutations, reliance over patterns, and the difference from the members."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from genlens.importance.exact import expected_importance
from genlens.importance.groups import group_importance, joint_reliance
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring


def two_concepts(n, correlation, seed, weights=(1.0, 1.0), decimals=12):
    """Reference (N, 1), states of both and of the pair, with a model that adds them up."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 2, n)
    second = np.where(rng.random(n) < correlation, first, rng.integers(0, 2, n))
    rest = rng.normal(0, 0.3, n).round(decimals)
    own = 2 * first + second
    every = (rest[:, None] + [0, weights[1], weights[0], sum(weights)]).round(decimals)  # (N, 4)
    rows = np.arange(n)
    alone = [
        StateScores("first", every[rows[:, None], second[:, None] + [0, 2]][:, :, None], np.arange(2),
                    np.bincount(first, minlength=2), first),
        StateScores("second", every[rows[:, None], 2 * first[:, None] + [0, 1]][:, :, None], np.arange(2),
                    np.bincount(second, minlength=2), second),
    ]  # fmt: skip
    pair = StateScores("pair", every[:, :, None], np.arange(4), np.bincount(own, minlength=4), own)
    patterns = np.empty((n, 4), dtype=object)
    for slot, pattern in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        for row in range(n):
            patterns[row, slot] = pattern
    return every[rows, own][:, None], alone, pair, patterns, np.stack([first, second], axis=1)


@pytest.mark.parametrize("decimals", [12, 0])
@pytest.mark.parametrize("name", ["roc_auc", "neg_brier_score"])
def test_the_importance_is_the_mean_over_all_joint_permutations(name, decimals):
    reference, alone, pair, patterns, _ = two_concepts(6, 0.5, 3, (1.0, 2.0), decimals)
    y, scoring = np.array([1, 0, 1, 1, 0, 0]), get_scoring(name)
    drops = [
        scoring(y, reference[:, 0]) - scoring(y, pair.scores[np.arange(6), pair.own[list(order)], 0])
        for order in permutations(range(6))
    ]
    found = group_importance(y, reference, pair, patterns, alone, scoring, n_repeats=2)
    assert found.importance.value == pytest.approx(np.mean(drops), abs=1e-12)
    single = [expected_importance(y, reference, state, scoring) for state in alone]
    assert found.alone == pytest.approx(sum(single), abs=1e-12)
    assert found.excess.value == pytest.approx(np.mean(drops) - sum(single), abs=1e-12)


def test_squared_error_of_a_linear_model_exceeds_its_members_by_their_covariance():
    reference, alone, pair, patterns, values = two_concepts(400, 0.8, 1, (1.0, 0.5))
    found = group_importance(
        reference[:, 0], reference, pair, patterns, alone, get_scoring("neg_mean_squared_error"), n_repeats=2
    )
    covariance = np.cov(values.T, bias=True)
    assert found.importance.value == pytest.approx(2 * np.array([1, 0.5]) @ covariance @ [1, 0.5], rel=1e-9)
    assert found.excess.value == pytest.approx(4 * 0.5 * covariance[0, 1], rel=1e-9)
    assert found.excess.low > 0
    assert found.p_value < 0.01


def test_a_group_that_the_model_ignores_has_nothing():
    reference, alone, pair, patterns, _ = two_concepts(80, 0.3, 2, (0.0, 0.0))
    y = (reference[:, 0] > 0).astype(int)
    found = group_importance(y, reference, pair, patterns, alone, get_scoring("roc_auc"), n_repeats=2)
    assert (found.importance.value, found.p_value, found.reliance.value) == (0.0, 1.0, 0.0)


def test_reliance_is_the_mean_change_between_two_different_patterns():
    _, _, pair, patterns, _ = two_concepts(50, 0.2, 4, (1.0, 0.5))
    share = pair.counts / 50
    size = np.array([0, 0.5, 1, 1.5])
    weights = np.triu(np.outer(share, share), 1)
    expected = (weights * np.abs(size[:, None] - size)).sum() / weights.sum()
    assert joint_reliance(pair, patterns).value == pytest.approx(expected, rel=1e-9)


def test_equal_patterns_of_donors_do_not_count():
    scores = np.array([[1.0, 3.0], [5.0, 5.0]])[:, :, None]
    donors = StateScores("pair", scores, np.zeros(2, int), np.array([2]), np.zeros(2, int))
    patterns = np.empty((2, 2), dtype=object)
    patterns[0, 0], patterns[0, 1] = ("a", 1), ("b", 1)
    patterns[1, 0] = patterns[1, 1] = ("a", 1)
    assert joint_reliance(donors, patterns).value == 2.0
    patterns[0, 1] = ("a", 1)
    assert np.isnan(joint_reliance(donors, patterns).value)


def test_scores_without_a_closed_form_are_sampled():
    reference, alone, pair, patterns, _ = two_concepts(60, 0.5, 5)
    y = (reference[:, 0] > reference.mean()).astype(int)
    scoring = get_scoring(lambda y_true, y_score: float(np.median(y_score[y_true == 1]) - np.median(y_score)))
    found = group_importance(y, reference, pair, patterns, alone, scoring, n_repeats=20)
    assert found.importance.low < found.importance.value < found.importance.high
    assert np.isnan(found.excess.low)
