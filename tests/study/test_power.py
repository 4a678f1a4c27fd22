"""How many people: closed forms, enumeration, and a study simulated by other means."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from genlens.errors import UserError
from genlens.study.power import closed_form, people_needed, sign_test_power, simulated_power


def test_the_closed_form_by_hand() -> None:
    """One answer a person, .7 against .5: (1.960 + .8416)^2 x .21 / .04 = 41.2."""
    assert closed_form(0.7, 1, 0.0, 0.05, 0.8) == 42
    assert closed_form(0.7, 1, 0.5, 0.05, 0.8) == 42  # one answer has nothing to be alike with
    assert closed_form(0.7, 10, 1 / 9, 0.05, 0.8) == math.ceil(41.206 * 2 / 10)


def test_more_answers_help_no_more_than_people_differ() -> None:
    many = closed_form(0.6, 10**6, 0.2, 0.05, 0.8)
    assert many == pytest.approx(closed_form(0.6, 1, 0.0, 0.05, 0.8) * 0.2, abs=1)


def test_the_sign_tests_power_by_enumeration() -> None:
    """Five answers a person, seven people, all patterns of people."""
    single = float(stats.binom(5, 0.8).pmf([3, 4, 5]).sum())  # a person mostly for ours
    expected = 0.0
    for votes in product([0, 1], repeat=7):
        p = stats.binomtest(sum(votes), 7).pvalue
        expected += np.prod([single if vote else 1 - single for vote in votes]) * (p <= 0.05)
    assert sign_test_power(0.8, 5, 0.0, 0.05, 7) == pytest.approx(expected)


def test_the_sign_test_leaves_undecided_people_out() -> None:
    """Two answers a person: half of the people are split when p = .5, and the level is kept."""
    assert sign_test_power(0.5, 2, 0.0, 0.05, 30) <= 0.05
    assert sign_test_power(0.9, 2, 0.0, 0.05, 30) > 0.99


def test_simulated_power_against_the_noncentral_t() -> None:
    """Many independent answers a person: shares are normal and the power is that of a t test."""
    curve = simulated_power(0.55, 100, 0.0, 0.05, 12, 8000, 0)
    spread = math.sqrt(0.55 * 0.45 / 100)
    for n in (6, 12):
        shift, bound = 0.05 / spread * math.sqrt(n), stats.t.ppf(0.975, n - 1)
        expected = stats.nct.sf(bound, n - 1, shift) + stats.nct.cdf(-bound, n - 1, shift)
        assert curve[n - 1] == pytest.approx(expected, abs=0.02)
    assert np.isnan(curve[0])


def test_the_level_is_kept() -> None:
    curve = simulated_power(0.5, 20, 0.1, 0.05, 30, 8000, 0)
    assert np.abs(curve[9:] - 0.05).max() < 0.012


def test_people_needed_reach_the_target_and_fewer_do_not() -> None:
    found = people_needed(0.65, 16, icc=0.1, loss=0.2, n_simulations=2000)
    assert found.power >= 0.8 > found.curve[found.people - 2]
    assert found.invited == math.ceil(found.people / 0.8)
    assert abs(found.people - found.closed_form) <= 4
    assert people_needed(0.65, 16, icc=0.4, n_simulations=2000).people > found.people


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preference": 0.5}, "must differ from 0.5"),
        ({"preference": 1.0}, "`preference` must lie between 0 and 1"),
        ({"icc": 1.0}, "`icc` must be at least 0 and below 1"),
        ({"loss": -0.1}, "`loss` must be at least 0"),
        ({"n_trials": 0}, "`trials` must be an integer >= 1"),
        ({"preference": 0.501, "icc": 0.5}, "people would be needed, more than 1,000"),
    ],
)
def test_what_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        people_needed(**({"preference": 0.7, "n_trials": 10} | changes))
