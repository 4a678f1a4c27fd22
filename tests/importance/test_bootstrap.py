"""Bootstrap over rows: by weights as by taking rows, clusters, intervals."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.importance.bootstrap import (
    bca_interval,
    bootstrap_importances,
    bootstrap_sampled,
    percentile_interval,
    resample_weights,
)
from genlens.importance.exact import expected_importance
from genlens.importance.states import StateScores
from genlens.metrics import Scoring, get_scoring


@pytest.mark.parametrize("name", ["roc_auc", "accuracy"])
def test_weights_give_what_taking_the_rows_gives(name, make_world):
    world = make_world(n_rows=80, state_noise=0.2, n_draws=2, prevalence=0.3)
    scoring = get_scoring(name)
    found = bootstrap_importances(world.y, world.reference, world.states, scoring, 10, 3)
    drawn = np.concatenate(list(resample_weights(80, 10, np.random.default_rng(3), None, 1000)))
    for k, weights in enumerate(drawn):
        rows = np.repeat(np.arange(80), weights.astype(int))
        for j, state in enumerate(world.states):
            own = state.own[rows]
            again = StateScores("c", state.scores[rows], state.stratum, np.bincount(own, minlength=2), own)
            expected = expected_importance(world.y[rows], world.reference[rows], again, scoring)
            assert found[j, k] == pytest.approx(expected, abs=0.004)  # but for a term of order 1 / N


def test_chunks_and_the_order_of_concepts_do_not_matter(make_world, monkeypatch):
    world = make_world(n_rows=50)
    scoring = get_scoring("roc_auc")
    whole = bootstrap_importances(world.y, world.reference, world.states, scoring, 20, 0)
    turned = bootstrap_importances(world.y, world.reference, world.states[::-1], scoring, 20, 0)
    assert np.array_equal(whole, turned[::-1])
    monkeypatch.setattr("genlens.importance.bootstrap._CHUNK", 1)
    # drawing one resample at a time uses the same random numbers
    assert bootstrap_importances(world.y, world.reference, world.states, scoring, 20, 0) == pytest.approx(whole)


def test_clusters_are_drawn_whole():
    clusters = np.array(["a", "b", "a", "c", "b", "b"])
    for weights in resample_weights(6, 50, np.random.default_rng(0), clusters, 7):
        assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, [1]] == weights[:, [4, 5]]).all()
        assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_a_resample_of_one_class_is_left_out_of_the_interval(make_binary):
    y = np.array([1, 0, 0, 0])
    states = make_binary("c", [0, 1, 0, 1], [0.1, 0.5, 0.3, 0.2], [0.4, 0.6, 0.1, 0.9])
    reference = states.scores[np.arange(4), states.own]
    resamples = bootstrap_importances(y, reference, [states], get_scoring("roc_auc"), 200, 0)[0]
    assert 0.2 < np.isnan(resamples).mean() < 0.45  # (3/4)^4
    assert np.isfinite(percentile_interval(resamples, 0.95)).all()


def test_bca_equals_the_percentiles_without_bias_and_skewness():
    resamples = np.linspace(-1, 1, 2001)
    found = bca_interval(0.0, resamples, np.array([-1.0, 1.0]), 0.9)
    assert found == pytest.approx(percentile_interval(resamples, 0.9), abs=1e-3)
    skewed = bca_interval(0.0, resamples, np.array([-0.1, -0.1, -0.1, 0.3]), 0.9)
    assert skewed[0] > found[0] and skewed[1] > found[1]


def test_an_ignored_concept_has_an_interval_of_no_width():
    assert bca_interval(0.0, np.zeros(100), np.zeros(10), 0.95) == (0.0, 0.0)


def test_sampled_bootstrap_has_the_spread_of_the_rows_alone(make_world):
    """With the permutations' variance taken out it agrees with the bootstrap of the exact expectation."""
    world = make_world(n_rows=150, weights=(1.0, 0.5))
    scoring = get_scoring("accuracy")
    plain = Scoring("plain accuracy", "other", lambda y, score: float(((score > 0) == y).mean()))
    exact = bootstrap_importances(world.y, world.reference, world.states, scoring, 2000, 0).std(axis=1)
    sampled = bootstrap_sampled(world.y, world.reference, world.states, plain, 300, 3, 1)
    assert sampled.std(axis=1) == pytest.approx(exact, rel=0.2)
