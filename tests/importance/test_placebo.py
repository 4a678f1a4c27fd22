"""The noise floor: exact zeros, known noise, what is told from it and what isn't."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from genlens.importance.placebo import noise_floor
from genlens.importance.reliance import reliance
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring

AUROC = get_scoring("roc_auc")


def two_states(own: np.ndarray, scores: np.ndarray, name: str = "cup") -> StateScores:
    """A binary concept's scores (N, 2, R)."""
    return StateScores(name, scores, np.arange(2), np.bincount(own, minlength=2), own)


def edited(scores: np.ndarray) -> StateScores:
    """Scores (n, 2, R[, C]) of captions as they are and edited."""
    n = len(scores)
    return StateScores("placebo", scores, np.zeros(2, dtype=np.int64), np.array([n]), np.zeros(n, dtype=np.int64))


def simulate(n: int, effect: float, noise: float, seed: int = 0, n_draws: int = 1):
    """Labels, reference, one concept of this effect beside one of no effect, and a placebo of this noise."""
    rng = np.random.default_rng(seed)
    own = np.arange(n) % 2
    base = rng.normal(0, 1, (n, 1)) + np.zeros((n, n_draws))
    y = (base[:, 0] + effect * own + rng.normal(0, 0.5, n) > effect / 2).astype(int)

    def state(shift: float) -> np.ndarray:
        return base + shift + rng.normal(0, noise, (n, n_draws))

    reference = state(0) + effect * own[:, None]
    strong = np.stack([state(0), state(effect)], axis=1)
    strong[np.arange(n), own] = reference
    null = np.stack([state(0) + effect * own[:, None] for _ in range(2)], axis=1)
    null[np.arange(n), own] = reference
    placebo = np.stack([reference, state(0) + effect * own[:, None]], axis=1)
    return y, reference, [two_states(own, strong, "strong"), two_states(own, null, "null")], placebo


def test_a_generator_that_ignores_the_edit_gives_exact_zeros() -> None:
    y, reference, states, _ = simulate(60, 1.0, 0.3)
    rows = np.arange(0, 60, 2)
    same = edited(np.stack([reference[rows]] * 2, axis=1))
    floor = noise_floor(y, reference, states, same, rows, AUROC)
    assert (floor.reliance.value, floor.importance.value, floor.flipped.value) == (0.0, 0.0, 0.0)
    assert floor.reliance.se == floor.importance.se == 0.0
    alone = reliance(states[0]).absolute
    assert floor.reliance_above[0].value == alone.value and np.isclose(floor.reliance_above[0].se, alone.se)


def test_the_placebos_figures_are_those_of_a_coin_for_every_row() -> None:
    y, reference, states, placebo = simulate(40, 1.0, 0.5)
    rows = np.arange(40)
    floor = noise_floor(y, reference, states, edited(placebo), rows, AUROC)
    rng, drops = np.random.default_rng(1), []
    for _ in range(4000):
        coin = rng.integers(0, 2, 40)
        drops.append(AUROC(y, reference[:, 0]) - AUROC(y, placebo[rows, coin, 0]))
    assert abs(floor.importance.value - np.mean(drops)) < 4 * np.std(drops) / np.sqrt(4000)
    assert np.isclose(floor.reliance.value, np.abs(placebo[:, 0] - placebo[:, 1]).mean())
    flips = (placebo[:, 0, 0] > 0.5) != (placebo[:, 1, 0] > 0.5)
    assert noise_floor(y, reference, states, edited(placebo), rows, AUROC, threshold=0.5).flipped.value == flips.mean()


def test_concepts_are_told_from_noise_of_the_generator() -> None:
    y, reference, states, placebo = simulate(400, 1.0, 0.3)
    floor = noise_floor(y, reference, states, edited(placebo[:200]), np.arange(200), AUROC)
    assert floor.q_value[0] < 1e-6 < 0.05 < floor.q_value[1]
    assert floor.reliance_above[0].low > 0 and floor.importance_above[0].low > 0
    assert abs(floor.reliance_above[1].value) < 0.1 < floor.reliance.value  # the null concept's reliance is all noise


def test_p_values_of_a_concept_without_effect_are_uniform_and_intervals_cover() -> None:
    p_values, covered = [], 0
    for seed in range(300):
        y, reference, states, placebo = simulate(150, 0.5, 0.4, seed)
        floor = noise_floor(y, reference, states[1:], edited(placebo[:60]), np.arange(60), AUROC)
        p_values.append(floor.p_value[0])
        covered += floor.reliance_above[0].low <= 0 <= floor.reliance_above[0].high
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    assert 0.91 <= covered / 300 <= 0.985


def test_clusters_widen_the_differences() -> None:
    y, reference, states, placebo = simulate(200, 1.0, 0.3)
    order = np.argsort(np.abs(placebo[:, 1] - placebo[:, 0]).ravel())
    clusters = np.empty(200, dtype=np.int64)
    clusters[order] = np.arange(200) // 10  # rows of a cluster change alike
    plain, grouped = (
        noise_floor(y, reference, states, edited(placebo), np.arange(200), AUROC, clusters=c) for c in (None, clusters)
    )
    assert grouped.reliance_above[0].se > 1.5 * plain.reliance_above[0].se


@pytest.mark.parametrize("name", ["f1", "roc_auc"])
def test_where_importance_is_unknown_reliance_is_not(name: str) -> None:
    y, reference, states, placebo = simulate(60, 1.0, 0.3)
    rows = np.flatnonzero(y == 1)  # one class only
    floor = noise_floor(y, reference, states, edited(placebo[rows]), rows, get_scoring(name))
    assert np.isnan(floor.importance.value) and np.isnan(floor.importance_above[0].value)
    assert floor.q_value[0] < 0.05


def test_many_outputs_are_averaged() -> None:
    y, reference, states, placebo = simulate(60, 1.0, 0.3)

    def double(scores: np.ndarray) -> np.ndarray:
        return np.stack([scores, -2 * scores], axis=-1)

    pairs = [StateScores(s.concept, double(s.scores), s.stratum, s.counts, s.own) for s in states]
    rows = np.arange(60)
    one = noise_floor(y, reference, states, edited(placebo), rows, get_scoring("accuracy"))
    two = noise_floor(y, double(reference), pairs, edited(double(placebo)), rows, get_scoring("accuracy"))
    assert np.isclose(two.reliance.value, 1.5 * one.reliance.value)
    assert np.isclose(two.reliance_above[0].se, 1.5 * one.reliance_above[0].se)
    assert two.flipped.value == one.flipped.value
