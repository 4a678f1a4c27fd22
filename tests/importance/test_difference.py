"""The difference estimator: exact where all rows are rendered, consistent whatever the surrogate, honest intervals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from genlens.errors import UserError
from genlens.importance.compute import importance_from_scores
from genlens.importance.difference import (
    PartialStates,
    difference_importance,
    difference_influence,
    difference_reliance,
)
from genlens.importance.exact import expected_importance
from genlens.importance.inference import importance_influence, interval
from genlens.importance.partial import importance_from_partial_scores
from genlens.importance.reliance import reliance
from genlens.importance.states import StateScores
from genlens.importance.surrogate import predict_states
from genlens.metrics import get_scoring

AUROC = get_scoring("roc_auc")


def with_scores(states, scores):
    return StateScores(states.concept, scores, states.stratum, states.counts, states.own, states.values)


def cross_fitted(world, state, rows):
    known = state.own[:, None] == np.arange(2)
    guess = predict_states(world.concepts.astype(float), world.reference, rows, state.scores[rows], known)
    return PartialStates(with_scores(state, guess), rows, state.scores[rows])


def bad(state, rows, seed=0):
    """Wrong in sign and scale, and noisy."""
    noise = np.random.default_rng(seed).normal(0, 0.5, state.scores.shape)
    return PartialStates(with_scores(state, noise - 2 * state.scores), rows, state.scores[rows])


def valued_states(rng, n_rows):
    """A segment with two donors, a category and a number, two draws each."""
    own = rng.integers(0, 2, n_rows)
    third = rng.integers(0, 3, n_rows)
    zeros = np.zeros(n_rows, dtype=int)
    counts = np.bincount(own, minlength=2)
    yield StateScores("segment", rng.normal(size=(n_rows, 3, 2)), np.array([0, 1, 1]), counts, own)
    yield StateScores("category", rng.normal(size=(n_rows, 3, 2)), np.arange(3), np.bincount(third, minlength=3), third)
    values = rng.normal(size=(n_rows, 2))
    yield StateScores("number", rng.normal(size=(n_rows, 2, 2)), np.zeros(2, int), np.array([n_rows]), zeros, values)


@pytest.mark.parametrize("name", ["roc_auc", "neg_mean_squared_error", "r2"])
def test_with_all_rows_it_is_the_full_estimator_to_the_bit(make_world, name):
    world, scoring = make_world(60, state_noise=0.2, n_draws=2), get_scoring(name)
    rows = np.random.default_rng(1).permutation(60)
    for state in [*world.states, *valued_states(np.random.default_rng(2), 60)]:
        partial = bad(state, rows)
        whole = expected_importance(world.y, world.reference, state, scoring)
        assert difference_importance(world.y, world.reference, partial, scoring) == whole
        influence = importance_influence(world.y, world.reference, state, scoring)
        np.testing.assert_array_equal(difference_influence(world.y, world.reference, partial, scoring), influence)
        ours, full = difference_reliance(partial), reliance(state)
        assert ours.absolute == full.absolute
        np.testing.assert_array_equal(ours.effects, full.effects)


def test_with_all_rows_the_whole_result_is_the_full_one(make_world):
    world = make_world(80, state_noise=0.2)
    rows = np.random.default_rng(1).permutation(80)
    full = importance_from_scores(world.y, world.reference, world.states, n_repeats=20, n_swaps=50)
    ours = importance_from_partial_scores(
        world.y, world.reference, [bad(state, rows) for state in world.states], AUROC, 20, n_swaps=50
    )
    for name in ("importance", "se", "ci_low", "ci_high", "p_value", "q_value", "reliance", "repeats", "effects"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(full, name), err_msg=name)


@pytest.mark.parametrize("name", ["neg_mean_squared_error", "accuracy"])
def test_for_additive_scores_the_mean_over_all_subsets_is_the_full_estimate_whatever_the_surrogate(make_world, name):
    world, scoring = make_world(9, state_noise=0.3), get_scoring(name)
    state = world.states[0]
    whole = expected_importance(world.y, world.reference, state, scoring)
    subsets = [np.array(rows) for rows in combinations(range(9), 4)]
    found = [difference_importance(world.y, world.reference, bad(state, rows), scoring) for rows in subsets]
    assert np.ptp(found) > 0.01, "the surrogate must be bad enough to matter"
    assert np.mean(found) == pytest.approx(whole, abs=1e-12)


def test_for_the_auroc_the_mean_over_all_subsets_with_given_class_sizes_is_the_full_estimate(make_world):
    world = make_world(10, state_noise=0.3, seed=3)
    state, positive = world.states[0], world.y == 1
    whole = expected_importance(world.y, world.reference, state, AUROC)
    subsets = [
        np.array(hits + misses)
        for hits in combinations(np.flatnonzero(positive).tolist(), 3)
        for misses in combinations(np.flatnonzero(~positive).tolist(), 2)
    ]
    found = [difference_importance(world.y, world.reference, bad(state, rows), AUROC) for rows in subsets]
    assert np.ptp(found) > 0.05
    assert np.mean(found) == pytest.approx(whole, abs=1e-12)


def test_cross_fitting_leaves_additive_scores_unbiased_for_the_full_estimate(make_world):
    world, scoring = make_world(30, state_noise=0.5), get_scoring("neg_mean_squared_error")
    state, rng = world.states[0], np.random.default_rng(0)
    whole = expected_importance(world.y, world.reference, state, scoring)
    found = [
        difference_importance(world.y, world.reference, cross_fitted(world, state, rng.permutation(30)[:10]), scoring)
        for _ in range(3000)
    ]
    assert abs(np.mean(found) - whole) < 3.5 * np.std(found) / np.sqrt(len(found))


def test_a_bad_surrogate_costs_precision_and_no_bias(make_world):
    world, rng = make_world(200, state_noise=0.2), np.random.default_rng(0)
    state = world.states[1]
    whole = expected_importance(world.y, world.reference, state, AUROC)
    subsets = [rng.permutation(200)[:60] for _ in range(300)]
    poor, good = (
        np.array([difference_importance(world.y, world.reference, made(r), AUROC) for r in subsets])
        for made in (lambda r: bad(state, r), lambda r: cross_fitted(world, state, r))
    )
    assert abs(poor.mean() - whole) < 4 * poor.std() / np.sqrt(len(poor))
    assert abs(good.mean() - whole) < 0.004
    assert good.std() < poor.std() / 4


@pytest.mark.parametrize("name", ["roc_auc", "neg_mean_squared_error", "r2"])
def test_influences_predict_the_spread_over_samples_of_rows_and_of_flips(make_world, name):
    scoring, rng = get_scoring(name), np.random.default_rng(5)
    found, errors = [], []
    for seed in range(250):
        world = make_world(150, seed=seed, state_noise=0.3)
        partial = cross_fitted(world, world.states[0], rng.permutation(150)[:60])
        found.append(difference_importance(world.y, world.reference, partial, scoring))
        influence = difference_influence(world.y, world.reference, partial, scoring)
        assert influence.mean() == pytest.approx(0, abs=1e-9)
        errors.append(interval(0.0, influence).se)
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.15)


def test_reliance_is_corrected_too(make_world):
    world, rng = make_world(100, state_noise=0.3), np.random.default_rng(0)
    for state in [world.states[0], *valued_states(rng, 100)]:
        whole, rows = reliance(state), [rng.permutation(100)[:40] for _ in range(400)]
        found = [difference_reliance(bad(state, r)) for r in rows]
        for kind in ("absolute", "signed"):
            values = np.array([getattr(item, kind).value for item in found])
            truth = getattr(whole, kind).value
            assert np.isnan(truth) == np.isnan(values).all()
            if not np.isnan(truth):
                assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(len(values))
        assert np.isnan(found[0].effects).sum() >= 60


def test_clusters_widen_the_interval_of_repeated_rows(make_world):
    world = make_world(100, state_noise=0.3)
    rows = np.random.default_rng(0).permutation(100)[:50]
    partial = cross_fitted(world, world.states[0], rows)
    twice = np.concatenate([rows, rows + 100])
    state = world.states[0]
    doubled = StateScores(
        "c", np.tile(partial.surrogate.scores, (2, 1, 1)), state.stratum, 2 * state.counts, np.tile(state.own, 2)
    )
    doubled = PartialStates(doubled, twice, np.tile(partial.true, (2, 1, 1)))
    y, reference = np.tile(world.y, 2), np.tile(world.reference, (2, 1))
    influence = difference_influence(y, reference, doubled, AUROC)
    one = interval(0, difference_influence(world.y, world.reference, partial, AUROC)).se
    assert interval(0, influence, clusters=np.tile(np.arange(100), 2)).se == pytest.approx(one, rel=0.02)
    assert interval(0, influence).se < 0.8 * one


def test_nothing_changes_nothing(make_world):
    world = make_world(50)
    state = with_scores(world.states[0], np.repeat(world.reference[:, None], 2, axis=1))
    partial = cross_fitted(world, state, np.arange(20))
    assert difference_importance(world.y, world.reference, partial, AUROC) == 0
    assert not difference_influence(world.y, world.reference, partial, AUROC).any()


def test_multi_class_outputs_work_with_additive_scores():
    rng = np.random.default_rng(0)
    y, own = rng.integers(0, 3, 40), rng.integers(0, 2, 40)
    reference = rng.normal(size=(40, 1, 3))
    state = StateScores("c", rng.normal(size=(40, 2, 1, 3)), np.arange(2), np.bincount(own, minlength=2), own)
    guess = predict_states(np.ones((40, 1)), reference, np.arange(20), state.scores[:20], np.zeros((40, 2), bool))
    partial = PartialStates(with_scores(state, guess), np.arange(20), state.scores[:20])
    result = importance_from_partial_scores(y, reference, [partial], get_scoring("neg_log_loss"), 5, n_swaps=20)
    assert np.isfinite([result.importance[0], result.ci_low[0], result.reliance[0]]).all()
    assert np.isnan(result.reliance_signed[0])


def test_scores_without_a_closed_form_are_refused(make_world):
    world = make_world(40)
    partial = bad(world.states[0], np.arange(20))
    with pytest.raises(UserError, match="needs a score with a closed form; got `scoring`='f1'"):
        importance_from_partial_scores(world.y, world.reference, [partial], get_scoring("f1"))


def test_rendered_rows_of_one_class_are_refused(make_world):
    world = make_world(40)
    rows = np.flatnonzero(world.y == 1)[:5]
    with pytest.raises(UserError, match="The 5 rows whose flips are rendered have one class only"):
        difference_importance(world.y, world.reference, bad(world.states[0], rows), AUROC)


@pytest.mark.parametrize(
    ("rows", "true", "message"),
    [
        ([0, 1], np.zeros((3, 2, 1)), "true scores must be"),
        ([1, 1], np.zeros((2, 2, 1)), "two or more different rows; got 1 of 2"),
        ([0, 1], np.full((2, 2, 1), np.nan), "must be finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(make_world, rows, true, message):
    with pytest.raises(UserError, match=message):
        PartialStates(make_world(40).states[0], np.array(rows), true)
