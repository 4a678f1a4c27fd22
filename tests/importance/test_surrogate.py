"""The surrogate: exact on linear scores, blind to a row's own truth, silent about what is known."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.importance.surrogate import N_FOLDS, predict_states


def linear_case(n_rows=120, seed=0):
    """Features, reference scores, both states' scores and which of them is the reference, of a linear score."""
    rng = np.random.default_rng(seed)
    concepts = rng.integers(0, 2, (n_rows, 3)).astype(float)
    off = (concepts[:, 1:] @ (0.5, -0.3) + rng.normal(size=n_rows))[:, None]
    on = off + 1.0 + 0.7 * concepts[:, [1]]  # the change depends on another concept
    scores = np.stack([off, on], axis=1)  # (N, 2, 1)
    known = concepts[:, :1] == np.arange(2)
    return concepts, scores[known].reshape(-1, 1), scores, known


def test_a_linear_change_is_predicted():
    features, reference, scores, known = linear_case()
    rows = np.random.default_rng(1).permutation(120)[:60]
    guess = predict_states(features, reference, rows, scores[rows], known)
    np.testing.assert_allclose(guess, scores, atol=0.05)
    assert np.abs(reference[:, None] - scores).max() > 1


def test_what_is_known_is_taken_as_it_is():
    features, reference, scores, known = linear_case()
    rows = np.arange(40)
    guess = predict_states(features, reference, rows, scores[rows], known)
    np.testing.assert_array_equal(guess[known], scores[known])


@pytest.mark.parametrize("known_states", [True, False], ids=["switch", "states of their own"])
def test_no_row_predicts_itself(known_states):
    features, reference, scores, known = linear_case()
    known = known if known_states else np.zeros_like(known)
    rows = np.random.default_rng(1).permutation(120)[:50]
    before = predict_states(features, reference, rows, scores[rows], known)
    spoilt = scores.copy()
    spoilt[rows[7]] += 100
    after = predict_states(features, reference, rows, spoilt[rows], known)
    same_fold = rows[np.arange(50) % N_FOLDS == 7 % N_FOLDS]
    np.testing.assert_array_equal(before[same_fold], after[same_fold])
    others = np.setdiff1d(np.arange(120), rows)
    assert not np.allclose(before[others], after[others])


def test_values_of_donors_are_used():
    rng = np.random.default_rng(0)
    values, own = rng.normal(size=(80, 2)), rng.normal(size=(80, 1))
    reference = own + rng.normal(size=(80, 1))
    scores = (reference + 2 * (values - own))[:, :, None]
    rows = np.arange(60)
    guess = predict_states(own, reference, rows, scores[rows], np.zeros((80, 2), bool), values)
    np.testing.assert_allclose(guess, scores, atol=0.1)


def test_draws_and_outputs_keep_their_places():
    features, reference, scores, known = linear_case()
    rows = np.arange(50)
    doubled = np.stack([scores, 3 * scores], axis=3)  # (N, 2, 1, 2)
    both = predict_states(features, np.stack([reference, 3 * reference], axis=2), rows, doubled[rows], known)
    assert both.shape == doubled.shape
    np.testing.assert_allclose(both, doubled, atol=0.2)


def test_few_rows_and_constant_features_are_no_trouble():
    features, reference, scores, known = linear_case(10)
    guess = predict_states(np.zeros_like(features), reference, np.arange(2), scores[:2], known)
    assert np.isfinite(guess).all()
