"""Preference: closed forms, independence, clustering, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special, stats

from genlens.errors import UserError
from genlens.study.preference import OURS, RIVAL, TIE, expanded_level, measure_preference, mixed_logistic, sign_test


def test_counts_share_and_ties() -> None:
    found = measure_preference([[OURS, TIE, RIVAL, OURS], [OURS, OURS, OURS, TIE]])
    assert found.counts == (1, 5, 2)
    assert found.share == (2.5 + 3.5) / 8
    assert found.sign == (2, 0, 0, 0.5)


def test_students_interval_and_the_design_effect_are_the_formulas() -> None:
    codes = np.random.default_rng(0).integers(0, 2, (9, 12))
    own = codes.mean(axis=1)
    found = measure_preference(codes)
    expected = stats.t.interval(0.95, 8, own.mean(), stats.sem(own))
    assert found.t_interval == pytest.approx(expected)
    assert found.design_effect == pytest.approx(stats.sem(own) ** 2 / (codes.var() / codes.size))


def test_people_who_never_vary_have_the_largest_design_effect() -> None:
    """Each person gives one answer T times: T answers are worth one."""
    codes = np.repeat([[1], [0]] * 10, 16, axis=1)
    found = measure_preference(codes)
    assert found.design_effect == pytest.approx(16 * 20 / 19)
    naive = found.naive_interval[1] - found.naive_interval[0]
    assert found.interval[1] - found.interval[0] > 3 * naive
    assert found.chi_square[0] == 0


def test_the_sign_test_is_the_binomial() -> None:
    wins, losses = [5, 4, 3, 2, 1], [0, 1, 2, 2, 4]
    assert sign_test(wins, losses) == (3, 1, 1, pytest.approx(stats.binomtest(3, 4).pvalue))
    assert sign_test([1], [1])[3] == 1


def test_chi_square_is_the_goodness_of_fit() -> None:
    codes = np.array([[OURS] * 7 + [RIVAL] * 3, [OURS] * 6 + [RIVAL] * 4])
    found = measure_preference(codes)
    expected = stats.chisquare([13, 7])
    assert found.chi_square[:2] == pytest.approx((expected.statistic, expected.pvalue))
    assert found.binomial_p == pytest.approx(stats.binomtest(13, 20).pvalue)


def test_everyone_agrees() -> None:
    found = measure_preference(np.full((8, 5), OURS))
    assert found.share == 1 and found.interval == (1, 1) and found.sign[3] == pytest.approx(2 / 256)
    assert found.mixed[0] > 0.97 and found.mixed[1] < 1e-3
    assert np.isnan(found.design_effect)


def test_only_ties() -> None:
    found = measure_preference(np.full((4, 5), TIE))
    assert (found.share, found.binomial_p, found.mixed, found.chi_square[1]) == (0.5, 1, (0.5, 1), 1)


def test_the_mixed_model_against_numerical_integration() -> None:
    """The likelihood of a small table by adaptive quadrature, its maxima by brute force."""
    wins, n = np.array([7, 9, 5, 8]), np.array([10, 10, 8, 10])

    def log_likelihood(mean: float, spread: float) -> float:
        def person(k: int, total: int) -> float:
            def density(z: float) -> float:
                return float(stats.norm.pdf(z) * stats.binom.pmf(k, total, special.expit(mean + spread * z)))

            return integrate.quad(density, -8, 8)[0] / special.comb(total, k)

        return float(sum(np.log(person(int(k), int(total))) for k, total in zip(wins, n, strict=True)))

    none = max(log_likelihood(0, s) for s in np.linspace(0.5, 2, 16))
    best = max(log_likelihood(m, s) for m in np.linspace(0.9, 1.3, 9) for s in (0.0, 0.2, 0.4))
    share, p = mixed_logistic(wins, n)
    assert p == pytest.approx(stats.chi2.sf(2 * (best - none), 1), rel=0.05)
    assert share == pytest.approx(29 / 38, abs=0.01)


def test_the_mixed_model_is_not_taken_in_by_one_person() -> None:
    share, p = mixed_logistic([20, 20, 2, 1], [20, 20, 20, 20])
    assert 0.3 < share < 0.7 and p > 0.3


def test_the_expanded_level_gives_students_width() -> None:
    """For normal data a percentile interval at this level is Student's, of the divisor n instead of n - 1."""
    level = expanded_level(10, 0.95)
    width = -stats.norm.ppf(level) * np.sqrt(9 / 10)
    assert width == pytest.approx(stats.t.ppf(0.975, 9))


def test_intervals_cover_where_independence_fails() -> None:
    """200 studies of 12 people x 16 answers, correlation .2 within a person: naive intervals miss, these don't."""
    rng = np.random.default_rng(0)
    clustered = naive = 0
    for k in range(200):
        own = rng.beta(0.65 * 4, 0.35 * 4, 12)
        found = measure_preference(rng.random((12, 16)) < own[:, None], n_resamples=500, seed=k)
        clustered += found.interval[0] <= 0.65 <= found.interval[1]
        naive += found.naive_interval[0] <= 0.65 <= found.naive_interval[1]
    assert clustered / 200 >= 0.91
    assert naive / 200 <= 0.85


def test_drawing_questions_again_widens_where_questions_differ() -> None:
    codes = np.tile([OURS] * 6 + [RIVAL] * 2, (20, 1))
    found = measure_preference(codes)
    assert found.interval == pytest.approx((0.75, 0.75))
    assert found.both_interval[0] < 0.6 and found.both_interval[1] > 0.85


@pytest.mark.parametrize("codes", [[[1, 0]], np.zeros((3, 0), dtype=int), [1, 0, 1]])
def test_too_little(codes) -> None:
    with pytest.raises(UserError, match="two people or more and a question"):
        measure_preference(codes)
