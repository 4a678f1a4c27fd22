"""Association against textbook formulas, at its ends, and with intervals that hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.stats.contingency import association as scipy_association

from genlens.importance.association import Column, associations, correlation_ratio, cramers_v, pearson


def one(n):
    return np.ones((1, n))


def test_cramers_v_is_scipys_with_bergsmas_correction():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 3, 400)
    second = np.where(rng.random(400) < 0.4, first, rng.integers(0, 4, 400))
    table = stats.contingency.crosstab(first, second).count
    plain = scipy_association(table, method="cramer", correction=False)
    r, c = table.shape
    phi = plain**2 * (min(r, c) - 1)
    corrected = max(0, phi - (r - 1) * (c - 1) / 399)
    least = min(r - (r - 1) ** 2 / 399, c - (c - 1) ** 2 / 399) - 1
    assert cramers_v(first, second, one(400))[0] == pytest.approx(np.sqrt(corrected / least), abs=1e-12)


def test_equal_columns_have_one_and_independent_ones_none():
    same = np.array([0, 1, 2, 1, 0, 2, 2, 1] * 10)
    assert cramers_v(same, same, one(80))[0] == pytest.approx(1, abs=1e-12)
    assert cramers_v(np.arange(80) % 2, np.arange(80) // 40, one(80))[0] == 0
    assert cramers_v(np.zeros(8, int), same[:8], one(8))[0] == 0  # a resample may have one value only
    assert correlation_ratio(same, 3.0 * (same == 1) + same, one(80))[0] == pytest.approx(1, abs=1e-12)
    assert correlation_ratio(np.arange(80) % 2, np.arange(80.0) // 2, one(80))[0] == 0


def test_the_correlation_ratio_is_the_root_of_epsilon_squared():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 3, 90)
    numbers = groups + rng.normal(0, 2, 90)
    parts = [numbers[groups == k] for k in range(3)]
    within = sum(((part - part.mean()) ** 2).sum() for part in parts) / 87
    assert correlation_ratio(groups, numbers, one(90))[0] ** 2 == pytest.approx(1 - within / numbers.var(ddof=1))


def test_weights_count_rows():
    rng = np.random.default_rng(2)
    first, second, counts = rng.normal(size=30), rng.normal(size=30), rng.integers(0, 3, 30)
    rows, codes = np.repeat(np.arange(30), counts), rng.integers(0, 2, 30)
    weights = counts[None].astype(float)
    assert pearson(first, second, weights)[0] == pytest.approx(np.corrcoef(first[rows], second[rows])[0, 1])
    assert correlation_ratio(codes, first, weights) == pytest.approx(
        correlation_ratio(codes[rows], first[rows], one(len(rows)))
    )
    taken = codes[rows]
    assert cramers_v(codes, 1 - codes, weights) == pytest.approx(cramers_v(taken, 1 - taken, one(len(rows))))


def test_pairs_come_strongest_first_each_by_its_measure():
    rng = np.random.default_rng(3)
    cup, age = rng.integers(0, 2, 300), rng.normal(size=300)
    columns = [
        Column("cup", cup, True),
        Column("tv", np.where(rng.random(300) < 0.9, cup, 1 - cup), True),
        Column("age", age, False),
        Column("size", -age + rng.normal(size=300), False),
    ]
    found = associations(columns)
    assert [(item.first, item.second, item.measure) for item in found[:2]] == [
        ("cup", "tv", "Cramer's V"),
        ("age", "size", "correlation"),
    ]
    assert {item.measure for item in found[2:]} == {"correlation ratio"}
    assert len(found) == 6
    assert all(item.strength.low <= item.strength.value <= item.strength.high for item in found[:2])


def test_intervals_hold_the_true_strength():
    """Binary columns that agree with probability .8: the correlation, hence V, is .6."""
    held = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        first = rng.integers(0, 2, 300)
        second = np.where(rng.random(300) < 0.8, first, 1 - first)
        (item,) = associations([Column("a", first, True), Column("b", second, True)], seed=seed)
        held.append(item.strength.low <= 0.6 <= item.strength.high)
    assert np.mean(held) >= 0.88


def test_clusters_are_drawn_whole():
    """Ten clusters of equal rows: as many rows as one wishes say no more than ten."""
    rng = np.random.default_rng(4)
    first, second = rng.integers(0, 2, 10), rng.integers(0, 2, 10)
    columns = [Column("a", np.repeat(first, 30), True), Column("b", np.repeat(second, 30), True)]
    clusters = np.repeat(np.arange(10), 30)
    narrow, wide = (associations(columns, clusters=given)[0].strength for given in (None, clusters))
    assert wide.high - wide.low > narrow.high - narrow.low
