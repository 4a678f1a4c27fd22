"""The variance split: components that are known, estimates without bias, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.errors import UserError
from genlens.importance.exact import expected_importance
from genlens.importance.inference import importance_influence, standard_error
from genlens.importance.states import StateScores
from genlens.importance.variance import permutation_deviation, variance_split
from genlens.metrics import get_scoring

AUROC, SQUARED = get_scoring("roc_auc"), get_scoring("neg_mean_squared_error")


def world(n: int, noise: float, n_draws: int, seed: int, effect: float = 1.0):
    """Labels, reference and one concept's scores; the noise is new with every row, state and draw."""
    rng = np.random.default_rng(seed)
    own = rng.permutation(np.arange(n) % 2)
    base = rng.normal(0, 1, n)
    y = (base + effect * own + rng.normal(0, 0.5, n) > effect / 2).astype(int)
    scores = base[:, None, None] + effect * np.arange(2)[:, None] + rng.normal(0, noise, (n, 2, n_draws))
    state = StateScores("cup", scores, np.arange(2), np.bincount(own, minlength=2), own)
    return y, scores[np.arange(n), own], state


def test_without_noise_all_variance_is_the_rows() -> None:
    y, reference, state = world(80, 0.0, 3, 0)
    split = variance_split(y, reference, [state], AUROC)
    assert split.noise[0] == 0 and split.noise_share[0] == 0
    expected = standard_error(importance_influence(y, reference, state, AUROC))
    assert np.isclose(split.error()[0], expected) and np.isclose(split.error(more_draws=9)[0], expected)
    assert np.isclose(split.error(more_rows=4)[0], expected / 2)


@pytest.mark.parametrize("scoring", [AUROC, SQUARED], ids=["auroc", "additive"])
def test_parts_add_up_to_the_squared_standard_error(scoring) -> None:
    y, reference, state = world(120, 0.7, 3, 1)
    split = variance_split(y, reference, [state], scoring)
    influence = importance_influence(y, reference, state, scoring)
    np.testing.assert_allclose(split.rows + split.noise, standard_error(influence) ** 2, rtol=1e-9)


def test_the_split_is_the_one_that_is_known_for_squared_error() -> None:
    """y = 0, scores a_i + b x + e: the influences' parts have a closed variance, found here by brute force."""
    n, noise, n_draws, draws = 200, 0.8, 2, 400
    estimates, importances, noiseless = [], [], []
    for seed in range(draws):
        y, reference, state = world(n, noise, n_draws, seed)
        split = variance_split(y, reference, [state], SQUARED)
        estimates.append((split.rows[0], split.noise[0]))
        importances.append(expected_importance(y, reference, state, SQUARED))
        rng = np.random.default_rng([seed, 1])  # the same rows, other noise
        clean = world(n, 0.0, n_draws, seed)[2].scores
        fresh = clean + rng.normal(0, noise, clean.shape)
        again = StateScores("cup", fresh, state.stratum, state.counts, state.own)
        noiseless.append(expected_importance(y, fresh[np.arange(n), state.own], again, SQUARED))
    rows, noise_part = np.mean(estimates, axis=0)
    pairs = np.cov(importances, noiseless)
    assert rows == pytest.approx(pairs[0, 1], rel=0.2)  # what two runs on the same rows share is the rows' part
    assert noise_part == pytest.approx(np.var(np.subtract(importances, noiseless)) / 2, rel=0.15)


def test_the_split_of_the_auroc_is_what_repeated_runs_show() -> None:
    n, noise, n_draws = 150, 1.0, 2
    estimates, pairs = [], []
    for seed in range(300):
        y, reference, state = world(n, noise, n_draws, seed)
        split = variance_split(y, reference, [state], AUROC)
        estimates.append((split.rows[0], split.noise[0]))
        rng = np.random.default_rng([seed, 1])
        clean = world(n, 0.0, n_draws, seed)[2].scores
        fresh = clean + rng.normal(0, noise, clean.shape)
        again = StateScores("cup", fresh, state.stratum, state.counts, state.own)
        pairs.append(
            [expected_importance(y, reference, state, AUROC),
             expected_importance(y, fresh[np.arange(n), state.own], again, AUROC)]
        )  # fmt: skip
    rows, noise_part = np.mean(estimates, axis=0)
    first, second = np.transpose(pairs)
    assert noise_part == pytest.approx(np.var(first - second) / 2, rel=0.2)
    assert rows == pytest.approx(np.cov(first, second)[0, 1], rel=0.25)


def test_doubling_the_draws_does_what_was_foretold() -> None:
    y, reference, state = world(4000, 1.5, 2, 3)
    foretold = variance_split(y, reference, [state], AUROC).error(more_draws=2)[0]
    y, reference, state = world(4000, 1.5, 4, 3)
    assert foretold == pytest.approx(variance_split(y, reference, [state], AUROC).error()[0], rel=0.05)


def test_clusters_take_the_place_of_rows() -> None:
    y, reference, state = world(200, 0.5, 2, 4)
    clusters = np.arange(200) // 4
    split = variance_split(y, reference, [state], AUROC, clusters)
    influence = importance_influence(y, reference, state, AUROC)
    np.testing.assert_allclose(split.rows + split.noise, standard_error(influence, clusters) ** 2, rtol=1e-9)


def test_a_concept_without_any_effect_has_no_variance() -> None:
    y, reference, state = world(40, 0.0, 2, 5, effect=0.0)
    split = variance_split(y, reference, [state], AUROC)
    assert split.error()[0] == 0 and np.isnan(split.noise_share[0])


def test_permutations_differ_as_much_as_sampled_ones_do() -> None:
    y, _, state = world(100, 0.3, 2, 6)
    many = permutation_deviation(y, [state], AUROC, 1, 3000)[0]
    assert permutation_deviation(y, [state], AUROC, 0)[0] == pytest.approx(many, rel=0.2)


def test_one_draw_cannot_be_split() -> None:
    y, reference, state = world(40, 0.3, 1, 0)
    with pytest.raises(UserError, match=r"^`n_draws` must be at least 2 to tell the rows' part .*; got 1\.$"):
        variance_split(y, reference, [state], AUROC)


def test_scores_without_a_closed_form_cannot_be_split() -> None:
    y, reference, state = world(40, 0.3, 2, 0)
    with pytest.raises(UserError, match=r"^`scoring`='f1' has no closed form, which the split needs"):
        variance_split(y, reference, [state], get_scoring("f1"))
