"""Shares, intervals and tests: closed forms, enumeration, and the error rates of the tests by simulation."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from genlens.findings.bias_statistics import (
    Shares,
    chi_square,
    cohens_h,
    cramers_v,
    holm,
    luck_test,
    newcombe,
    restart_test,
    score_effect,
    shares_of,
)


def test_shares_by_picture_and_by_restart() -> None:
    labels = [0, 0, 1, -1, 1, 1, 1, -1]
    alone = shares_of(labels, 3)
    assert alone.values.tolist() == pytest.approx([2 / 6, 4 / 6, 0])
    assert (alone.n, alone.n_units) == (6, 6)
    found = shares_of(labels, 3, [0, 0, 0, 0, 1, 1, 2, 3])
    assert found.units.tolist() == [[pytest.approx(2 / 3), pytest.approx(1 / 3), 0], [0, 1, 0], [0, 1, 0]]
    assert found.values.tolist() == pytest.approx([2 / 9, 7 / 9, 0])  # a restart is one observation, and 3 is unclear
    assert shares_of([-1, -1], 2, [0, 1]).n_units == 0


def test_intervals_against_published_examples() -> None:
    """Newcombe (1998), table II: 56/70 against 48/80 gives [.0524, .3339] by method 10."""
    low, high = newcombe(56 / 70, 70, 48 / 80, 80)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
    assert newcombe(1.0, 10, 0.0, 20) == pytest.approx((0.6791, 1.0), abs=5e-4)  # method 10, 10/10 against 0/20


def test_effect_sizes() -> None:
    assert cohens_h(0.5, 0.5) == 0
    assert cohens_h(1.0, 0.0) == pytest.approx(math.pi)
    assert cohens_h(0.65, 0.45) == pytest.approx(0.4, abs=0.01)
    assert cramers_v(np.array([1.0, 0, 0]), np.array([0, 0.5, 0.5])) == 1
    assert cramers_v(np.array([0.2, 0.8]), np.array([0.2, 0.8])) == 0
    table = np.array([[30, 70], [60, 40]])
    chi2 = stats.chi2_contingency(table, correction=False).statistic
    assert cramers_v(table[0] / 100, table[1] / 100) == pytest.approx(math.sqrt(chi2 / 200))


def test_single_pictures_give_the_textbook_tests() -> None:
    def of(counts: list[int]) -> Shares:
        return shares_of(np.repeat(np.arange(len(counts)), counts), len(counts))

    large = np.array([[30, 50, 20], [45, 35, 20]])
    assert chi_square(of([30, 50, 20]), of([45, 35, 20])) == pytest.approx(
        stats.chi2_contingency(large, correction=False).pvalue
    )
    assert chi_square(of([1, 9]), of([7, 3])) == pytest.approx(stats.fisher_exact([[1, 9], [7, 3]]).pvalue)
    assert chi_square(of([5, 0]), of([9, 0])) == 1
    small = [[1, 4, 3], [6, 1, 2]]
    exact = _freeman_halton(small)
    assert chi_square(of(small[0]), of(small[1])) == pytest.approx(exact, abs=0.02)


def _freeman_halton(table: list[list[int]]) -> float:
    """Exact p-value over all tables with the same margins, ordered by the chi-square statistic."""
    first, columns = sum(table[0]), np.sum(table, axis=0)
    expected = first * columns / columns.sum()
    total, extreme = 0.0, 0.0
    observed = float(((np.array(table[0]) - expected) ** 2 / expected).sum())
    for a in range(columns[0] + 1):
        for b in range(columns[1] + 1):
            c = first - a - b
            if 0 <= c <= columns[2]:
                weight = math.comb(columns[0], a) * math.comb(columns[1], b) * math.comb(columns[2], c)
                total += weight
                if float(((np.array([a, b, c]) - expected) ** 2 / expected).sum()) >= observed - 1e-9:
                    extreme += weight
    return extreme / total


def test_restart_test_against_enumeration() -> None:
    rng = np.random.default_rng(3)
    units = rng.dirichlet([1, 1], 6)
    one, other = (Shares(part.mean(axis=0), part, 60) for part in (units[:3], units[3:]))
    gaps = []
    for order in permutations(range(6)):
        a, b = units[list(order[:3])], units[list(order[3:])]
        gaps.append(((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum())
    expected = np.mean(np.array(gaps) >= gaps[0] - 1e-9)
    assert restart_test(one, other) == pytest.approx(expected)
    pure = Shares(np.array([1.0, 0.0]), np.tile([1.0, 0.0], (8, 1)), 80)
    opposite = Shares(np.array([0.0, 1.0]), np.tile([0.0, 1.0], (8, 1)), 80)
    assert restart_test(pure, opposite) == pytest.approx(2 / math.comb(16, 8))
    many = Shares(pure.values, np.tile([1.0, 0.0], (12, 1)), 120)
    assert restart_test(many, Shares(opposite.values, np.tile([0.0, 1.0], (12, 1)), 120)) == pytest.approx(1e-4)


@pytest.mark.parametrize("luck", [True, False])
def test_the_level_holds_whatever_the_restarts_luck(luck: bool) -> None:
    """Eight restarts of 20 pictures, all of one colour by luck or each picture on its own: at most 5% false alarms."""
    rng, alarms, naive = np.random.default_rng(7), 0, 0
    for k in range(200):
        colour = np.repeat(rng.integers(0, 3, 8), 20) if luck else rng.integers(0, 3, 160)
        restarts = np.repeat(np.arange(8), 20)
        neutral = shares_of(rng.integers(0, 3, 300), 3)
        alarms += luck_test(shares_of(colour, 3, restarts), neutral, k, 999) <= 0.05
        naive += chi_square(shares_of(colour, 3), neutral) <= 0.05
    assert alarms <= 18  # 5% of 200 and two and a half standard errors
    assert (naive > 120) is luck  # pictures taken as independent: a bias is found in most of the lucky runs


def test_power_of_the_luck_test() -> None:
    pure = Shares(np.array([1.0, 0, 0]), np.tile([1.0, 0, 0], (8, 1)), 160)
    neutral = shares_of(np.arange(300) % 3, 3)
    assert luck_test(pure, neutral) < 0.001
    assert chi_square(pure, neutral) == luck_test(pure, neutral)


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]
    assert holm([0.2]).tolist() == [0.2]


def test_score_effect_against_welch_and_its_margin() -> None:
    rng = np.random.default_rng(1)
    scores, has = rng.normal(size=400), np.arange(400) < 200
    scores[has] += 0.5
    found = score_effect(scores, has, smallest=0.0)
    assert found.d == pytest.approx(0.5, abs=0.2)
    assert found.low < found.d < found.high
    welch = stats.ttest_ind(scores[has], scores[~has], equal_var=False, alternative="greater").pvalue
    assert math.log10(found.p_value) == pytest.approx(math.log10(welch), abs=0.5)
    assert score_effect(scores, has, smallest=0.5).p_value > 0.05 > score_effect(scores, has, smallest=0.2).p_value
    assert score_effect(scores[:3], has[:3]).p_value == 1  # nobody without the value
    assert score_effect(np.ones(10), np.arange(10) < 5).d == 0


def test_an_effect_at_the_margin_is_seldom_called() -> None:
    rng, called = np.random.default_rng(2), 0
    for _ in range(400):
        has = rng.random(300) < 1 / 3
        called += score_effect(rng.normal(size=300) + 0.2 * has, has).p_value <= 0.05
    assert called <= 31  # 5% of 400 and two and a half standard errors
