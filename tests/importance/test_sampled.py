"""Sampled permutations: scikit-learn's numbers to the bit, and the closed form in the mean."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.inspection import permutation_importance

from genlens.importance.exact import expected_score
from genlens.importance.sampled import SlotPicker, permutation_sources, sample_scores
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring

WEIGHTS = (1.0, -0.6, 0.25, 0.0)


def model(concepts):
    """Elementwise sums, so that a row's score doesn't depend on the other rows."""
    score = np.full(len(concepts), -0.4)
    for column, weight in enumerate(WEIGHTS):
        score = score + weight * concepts[:, column]
    return score + 0.3 * concepts[:, 0] * concepts[:, 1]


class Model(ClassifierMixin, BaseEstimator):
    classes_ = np.array([0, 1])

    def fit(self, concepts, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def decision_function(self, concepts):
        return model(concepts)

    def predict_proba(self, concepts):
        positive = expit(model(concepts))
        return np.stack([1 - positive, positive], axis=1)

    def predict(self, concepts):
        return (model(concepts) > 0).astype(int)


class Regressor(RegressorMixin, BaseEstimator):
    def fit(self, concepts, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, concepts):
        return model(concepts)


def identity_states(concepts):
    """States of every concept when the generator is the identity."""
    states = []
    for column in range(concepts.shape[1]):
        scores = []
        for value in (0, 1):
            changed = concepts.copy()
            changed[:, column] = value
            scores.append(model(changed))
        own = concepts[:, column].astype(int)
        scores = np.stack(scores, axis=1)[:, :, None]
        states.append(StateScores(str(column), scores, np.array([0, 1]), np.bincount(own), own))
    return states


@pytest.mark.parametrize("seed", [0, 41])
@pytest.mark.parametrize(
    "name",
    ["roc_auc", "accuracy", "neg_log_loss", "average_precision", "f1", "neg_mean_squared_error", "r2"],
)
def test_an_identity_generator_gives_scikit_learns_numbers_bit_for_bit(name, seed):
    rng = np.random.default_rng(seed)
    concepts = (rng.random((150, 4)) < 0.4).astype(float)
    regression = name in ("neg_mean_squared_error", "r2")
    y = (
        model(concepts) + rng.normal(size=150)
        if regression
        else (model(concepts) + rng.normal(size=150) > 0).astype(int)
    )
    estimator = Regressor() if regression else Model()
    theirs = permutation_importance(estimator, concepts, y, scoring=name, n_repeats=30, random_state=seed)
    scoring, states = get_scoring(name), identity_states(concepts)
    reference = scoring(y, model(concepts))
    ours = np.stack([reference - sample_scores(y, state, scoring, 30, seed) for state in states])
    assert np.array_equal(ours, theirs.importances)
    assert not ours[3].any() and ours[0].std() > 0  # the problem has structure


def test_sampled_mean_agrees_with_the_closed_form(make_world):
    world = make_world(n_rows=60, n_draws=2, state_noise=0.5)
    scoring = get_scoring("roc_auc")
    for state in world.states:
        sampled = sample_scores(world.y, state, scoring, 4000, 1)
        error = sampled.std() / np.sqrt(len(sampled))
        assert abs(sampled.mean() - expected_score(world.y, state, scoring)) < 4 * error


def test_donors_are_picked_evenly_and_by_chance():
    own = np.array([0, 1, 1, 1, 0, 1])
    scores = np.random.default_rng(0).normal(size=(6, 4, 1))
    states = StateScores("c", scores, np.array([1, 0, 1, 1]), np.array([2, 4]), own)
    sources = np.tile(np.arange(6), (3000, 1))
    slots = SlotPicker(states, 0)(sources)
    assert (slots[:, own == 0] == 1).all()
    assert np.bincount(slots[:, own == 1].ravel(), minlength=4) / 12000 == pytest.approx(
        [1 / 3, 0, 1 / 3, 1 / 3], abs=0.02
    )
    y = np.array([0, 1, 0, 1, 1, 0])
    mean = sample_scores(y, states, get_scoring("roc_auc"), 20_000, 0).mean()
    assert mean == pytest.approx(expected_score(y, states, get_scoring("roc_auc")), abs=0.005)


def test_permutations_are_cumulative_shuffles_whatever_the_chunk():
    whole = np.concatenate(list(permutation_sources(7, 10, 3, 100)))
    parts = np.concatenate(list(permutation_sources(7, 10, 3, 3)))
    assert np.array_equal(whole, parts)
    assert all(sorted(row) == list(range(7)) for row in whole.tolist())


def test_chunks_do_not_change_the_picks_of_donors(monkeypatch):
    own = np.array([0, 1, 1, 1, 0, 1])
    scores = np.random.default_rng(0).normal(size=(6, 3, 1))
    states = StateScores("c", scores, np.array([0, 1, 1]), np.array([2, 4]), own)
    y, scoring = np.array([0, 1, 0, 1, 1, 0]), get_scoring("roc_auc")
    whole = sample_scores(y, states, scoring, 50, 0)
    monkeypatch.setattr("genlens.importance.sampled._CHUNK", 13)
    assert np.array_equal(sample_scores(y, states, scoring, 50, 0), whole)


def test_seeds_beyond_scikit_learns_range_work(make_world):
    world = make_world(n_rows=30)
    first, second = (sample_scores(world.y, world.states[0], get_scoring("roc_auc"), 5, 2**40 + k) for k in (1, 2))
    assert not np.array_equal(first, second)
