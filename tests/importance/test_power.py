"""Planned power: closed forms, what a pilot run teaches, and the power that comes true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from genlens.errors import UserError
from genlens.importance.compute import importance_from_scores
from genlens.importance.exact import expected_importance
from genlens.importance.inference import importance_influence, interval, standard_error
from genlens.importance.power import (
    MAX_DRAWS,
    MIN_ROWS,
    Spread,
    check_power,
    default_spread,
    difference_power,
    draws_needed,
    importance_power,
    pilot_spread,
    rows_for_difference,
    rows_for_importance,
)
from genlens.importance.result import Analysis, ImportanceResult
from genlens.metrics import get_scoring

SPREAD = Spread(0.6, 0.01, "test")


def result(importance, se, n_rows=400, n_draws=1, analyses=()):
    """A result with nothing but what planning reads."""
    importance, blank = np.array(importance, dtype=float), np.zeros(len(importance))
    fields = dict.fromkeys(("std", "ci_low", "ci_high", "p_value", "q_value", "reliance", "reliance_signed"), blank)
    return ImportanceResult(
        concepts=tuple(f"c{j}" for j in range(len(importance))),
        importance=importance,
        se=np.array(se, dtype=float),
        reliance_ci=np.zeros((len(importance), 2)),
        reliance_signed_ci=np.zeros((len(importance), 2)),
        repeats=blank[:, None],
        effects=blank[:, None],
        reference_score=0.9,
        reference_ci=(0.8, 1.0),
        n_rows=n_rows,
        settings={"n_draws": n_draws},
        analyses=analyses,
        **fields,
    )


def test_rows_are_the_fewest_that_reach_the_power():
    n_rows = rows_for_importance(0.01, 2, SPREAD, 0.05, 0.9)
    assert importance_power(0.01, n_rows, 2, SPREAD, 0.05) >= 0.9 > importance_power(0.01, n_rows - 1, 2, SPREAD, 0.05)
    n_rows = rows_for_difference(0.02, 0.05, 1, SPREAD, 0.01, 0.8)
    found = [difference_power(0.02, 0.05, n, 1, SPREAD, 0.01) for n in (n_rows, n_rows - 1)]
    assert found[0] >= 0.8 > found[1]


def test_textbook_formula():
    """n = (z_alpha + z_beta)^2 sigma^2 / effect^2."""
    spread = Spread(0.0, 1.0, "test")
    expected = (stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) ** 2 / 0.1**2
    assert rows_for_importance(0.1, 1, spread) == np.ceil(expected) == 619
    assert importance_power(0.0, 100, 1, spread, 0.05) == pytest.approx(0.05)  # nothing to be found: the level
    pair = (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) ** 2 * 2 / 0.1**2
    assert rows_for_difference(0.1, 0.3, 1, spread) == np.ceil(pair)


def test_draws_help_the_noise_and_nothing_else():
    assert SPREAD.variance(0.1, 4) == pytest.approx(0.06 + 0.0025)
    rows = [rows_for_importance(0.005, n_draws, SPREAD) for n_draws in (1, 2, 4, 1000)]
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] == pytest.approx(rows_for_importance(0.005, 1, Spread(0.6, 0.0, "no noise")), rel=0.01)
    assert draws_needed(lambda n_draws: rows_for_importance(0.005, n_draws, SPREAD), rows[1]) == 2
    assert draws_needed(lambda n_draws: 100 + n_draws, 99) is None
    assert draws_needed(lambda n_draws: 100 - n_draws, 100 - MAX_DRAWS) == MAX_DRAWS
    assert rows_for_importance(0.5, 1, SPREAD) == MIN_ROWS


def test_rare_concepts_need_more_rows():
    found = [default_spread(prevalence).per_importance for prevalence in (0.02, 0.1, 0.5, 0.9)]
    assert found[0] > found[1] > found[2]
    assert found[1] == pytest.approx(found[3])


def test_a_pilot_of_one_draw_teaches_both_parts():
    sizes = np.array([0.2, 0.05, 0.01, 0.0])
    found = pilot_spread(result(sizes, np.sqrt((0.7 * sizes + 0.008) / 400)))
    assert (found.per_importance, found.noise) == pytest.approx((0.7, 0.008), rel=1e-6)
    assert "400 rows, 1 draw, 4 concepts" in found.source


def test_a_pilot_of_several_draws_takes_the_split_of_the_variance():
    sizes = np.array([0.2, 0.05])
    rows, noise = 0.7 * sizes / 400, np.full(2, 0.008 / 2 / 400)
    table = [
        {"concept": f"c{j}", "se": 1.0, "from_rows": rows[j] ** 0.5, "from_noise": noise[j] ** 0.5} for j in range(2)
    ]
    split = Analysis("variance", "t", "m", table=table)
    found = pilot_spread(result(sizes, np.sqrt(rows + noise), n_draws=2, analyses=(split,)))
    assert (found.per_importance, found.noise) == pytest.approx((0.7, 0.008))


def test_a_pilot_of_one_concept_keeps_the_default_noise():
    found = pilot_spread(result([0.1], [np.sqrt(0.06 / 400)]))
    assert found.variance(0.1) == pytest.approx(0.06)
    assert found.noise == default_spread(0.5).noise


def test_no_spread_at_all_finds_whatever_is_there():
    still = Spread(0.0, 0.0, "a generator and rows that never vary")
    assert importance_power(0.01, 50, 1, still) == 1.0
    assert importance_power(0.0, 50, 1, still) == pytest.approx(0.05)


def test_a_pilot_without_standard_errors_is_refused():
    with pytest.raises(UserError, match="pilot run has no standard errors"):
        pilot_spread(result([0.1, 0.2], [np.nan, np.nan]))


def test_a_pilot_predicts_the_standard_errors_of_a_larger_run(make_world):
    settings = {"weights": (1.0, 0.6, 0.3, 0.0), "state_noise": 0.2, "prevalence": 0.4}
    small = make_world(n_rows=250, seed=1, **settings)
    pilot = importance_from_scores(small.y, small.reference, small.states, n_repeats=1, n_swaps=1)
    spread = pilot_spread(pilot)
    large = make_world(n_rows=4000, seed=2, **settings)
    for state in large.states:
        value = expected_importance(large.y, large.reference, state, get_scoring("roc_auc"))
        error = standard_error(importance_influence(large.y, large.reference, state, get_scoring("roc_auc")))
        assert spread.error(value, 4000) == pytest.approx(error, rel=0.35)


def test_the_power_comes_true(make_world):
    """`benchmarks/power.py` measures it over many cells."""
    scoring, settings = get_scoring("roc_auc"), {"weights": (1.0, 0.2), "state_noise": 0.2}
    large = make_world(n_rows=50_000, seed=99, **settings)
    truth = expected_importance(large.y, large.reference, large.states[1], scoring)
    influence = importance_influence(large.y, large.reference, large.states[1], scoring)
    predicted = importance_power(truth, 150, 1, Spread(influence.var() / truth, 0.0, "truth"))
    held = 0
    for seed in range(300):
        world = make_world(n_rows=150, seed=seed, **settings)
        value = expected_importance(world.y, world.reference, world.states[1], scoring)
        held += interval(value, importance_influence(world.y, world.reference, world.states[1], scoring), 0.9).low > 0
    assert 0.2 < predicted < 0.95
    assert held / 300 == pytest.approx(predicted, abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 0.05, 0.8), r"`--power` must be an importance > 0, such as 0.02; got 0.0"),
        ((float("nan"), 0.05, 0.8), "got nan"),
        ((0.02, 0.5, 0.8), r"`--alpha` must lie between 0 and 0.5"),
        ((0.02, 0.05, 1.0), r"`--target-power` must lie between alpha \(0.05\) and 1"),
        ((0.02, 0.05, 0.01), "`--target-power`"),
    ],
)
def test_mistakes_are_one_clear_line(arguments, message):
    with pytest.raises(UserError, match=message):
        check_power(*arguments)


def test_a_constant_concept_has_no_spread():
    with pytest.raises(UserError, match="`prevalence` must lie between 0 and 1"):
        default_spread(1.0)
