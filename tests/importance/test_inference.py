"""Influence functions: their derivative, their standard error and the coverage of their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.errors import UserError
from genlens.importance.bootstrap import bootstrap_importances
from genlens.importance.exact import expected_importance
from genlens.importance.inference import (
    check_confidence,
    degrees_of_freedom,
    importance_influence,
    interval,
    score_influence,
    standard_error,
)
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring


@pytest.mark.parametrize("name", ["roc_auc", "accuracy", "neg_log_loss", "r2"])
def test_influence_predicts_what_one_more_copy_of_a_row_does(name, make_world):
    """The definition of an influence function: the derivative towards a row. A test of every term, n_b's too."""
    world = make_world(n_rows=400, prevalence=0.25, state_noise=0.2, n_draws=2)
    scoring, state = get_scoring(name), world.states[0]
    influence = importance_influence(world.y, world.reference, state, scoring)
    value = expected_importance(world.y, world.reference, state, scoring)
    for row in (0, 1, 2, 3, 50):
        rows = np.append(np.arange(400), [row] * 2)
        own = state.own[rows]
        more = StateScores("c", state.scores[rows], state.stratum, np.bincount(own), own)
        moved = expected_importance(world.y[rows], world.reference[rows], more, scoring) - value
        assert moved * 402 / 2 == pytest.approx(influence[row], abs=0.03 * np.abs(influence).max())
    assert influence.mean() == pytest.approx(0, abs=1e-12)


def test_influence_of_donors_counts_their_stratum_once():
    rng = np.random.default_rng(0)
    own = rng.integers(0, 2, 300)
    scores = rng.normal(size=(300, 3, 1)) + own[:, None, None] * np.array([0, 1, 1])[:, None]
    y = (rng.random(300) < 0.3 + 0.4 * own).astype(int)
    states = StateScores("c", scores, np.array([0, 1, 1]), np.bincount(own), own)
    reference = scores[np.arange(300), own]
    error = standard_error(importance_influence(y, reference, states, get_scoring("roc_auc")))
    resamples = bootstrap_importances(y, reference, [states], get_scoring("roc_auc"), 1000, 0)
    assert error == pytest.approx(resamples.std(), rel=0.1)


@pytest.mark.parametrize("name", ["roc_auc", "accuracy", "neg_log_loss", "neg_mean_squared_error", "r2"])
def test_influence_and_bootstrap_agree(name, make_world):
    world = make_world(n_rows=500, prevalence=0.3, state_noise=0.1)
    scoring = get_scoring(name)
    resamples = bootstrap_importances(world.y, world.reference, world.states, scoring, 600, 0)
    errors = [standard_error(importance_influence(world.y, world.reference, s, scoring)) for s in world.states]
    assert errors == pytest.approx(resamples.std(axis=1).tolist(), rel=0.15)


def test_reference_and_permuted_scores_share_their_rows(make_world):
    """Subtracting influences row by row is tighter than treating the two scores as independent."""
    world = make_world(n_rows=500, weights=(0.2, 1.0), noise=1.0)
    scoring = get_scoring("roc_auc")
    paired = standard_error(importance_influence(world.y, world.reference, world.states[0], scoring))
    assert paired < 0.7 * standard_error(score_influence(world.y, world.reference, scoring))


def test_intervals_cover_the_truth_near_their_nominal_rate(make_world):
    scoring = get_scoring("roc_auc")
    settings = {"weights": (1.0, 0.4), "prevalence": 0.3, "state_noise": 0.2}
    large = make_world(n_rows=100_000, seed=999, **settings)
    truth = [expected_importance(large.y, large.reference, state, scoring) for state in large.states]
    held = np.zeros(2)
    for seed in range(200):
        world = make_world(n_rows=150, seed=seed, **settings)
        for j, state in enumerate(world.states):
            value = expected_importance(world.y, world.reference, state, scoring)
            found = interval(value, importance_influence(world.y, world.reference, state, scoring))
            held[j] += found.low <= truth[j] <= found.high
    assert (held / 200 > 0.9).all() and (held / 200 < 0.995).all()


def test_clusters_widen_the_interval_as_copies_of_rows_should(make_world):
    world = make_world(n_rows=300)
    scoring, state = get_scoring("roc_auc"), world.states[0]
    once = standard_error(importance_influence(world.y, world.reference, state, scoring))
    rows = np.repeat(np.arange(300), 4)
    copied = StateScores("c", state.scores[rows], state.stratum, state.counts * 4, state.own[rows])
    influence = importance_influence(world.y[rows], world.reference[rows], copied, scoring)
    assert standard_error(influence) == pytest.approx(once / 2, rel=0.01)
    assert standard_error(influence, rows) == pytest.approx(once, rel=1e-9)
    found = [interval(0.0, influence, 0.95, clusters) for clusters in (None, rows)]
    assert found[1].high > 1.9 * found[0].high


def test_one_cluster_has_no_standard_error():
    assert np.isnan(standard_error(np.array([1.0, -1.0]), np.array(["a", "a"])))


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.5])
def test_a_confidence_outside_zero_and_one_is_refused(confidence):
    with pytest.raises(UserError, match="`confidence` must lie between 0 and 1"):
        check_confidence(confidence)


def test_few_rows_that_carry_the_variance_give_few_degrees_of_freedom():
    assert degrees_of_freedom(np.random.default_rng(0).normal(size=2000)) == pytest.approx(2000, rel=0.1)
    rare = np.zeros(1000)
    rare[:5], rare[5:10] = 1, -1
    assert degrees_of_freedom(rare) == pytest.approx(2 * 1000 / (1000 / 10 - 1))  # kurtosis N / 10
    assert degrees_of_freedom(np.zeros(50)) == 49  # nothing varies
    assert degrees_of_freedom(np.repeat([1.0, -1.0], 10), np.arange(20) // 2) == 9  # clusters, least kurtosis
    assert interval(0.0, rare).high > interval(0.0, rare).se * 2.05


def test_intervals_of_a_rare_concept_cover_where_a_normal_quantile_does_not(make_world):
    """Ten of 100 rows have the concept: `benchmarks/coverage.py` measures this cell with more samples."""
    scoring = get_scoring("roc_auc")
    settings = {"weights": (1.2, 0.5), "prevalence": 0.1}
    large = make_world(n_rows=200_000, seed=999, **settings)
    truth = expected_importance(large.y, large.reference, large.states[0], scoring)
    held = np.zeros(2)
    for seed in range(300):
        world = make_world(n_rows=100, seed=seed, **settings)
        value = expected_importance(world.y, world.reference, world.states[0], scoring)
        found = interval(value, importance_influence(world.y, world.reference, world.states[0], scoring))
        held += [found.low <= truth <= found.high, abs(value - truth) <= 1.96 * found.se]
    assert held[0] / 300 > 0.92
    assert held[0] > held[1]
