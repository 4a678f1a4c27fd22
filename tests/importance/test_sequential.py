"""Repeated looks: critical values against simulation and known tables, statements, and what optional stopping does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from genlens.importance.sequential import Looks, Separation, critical_values, look_sizes, passing_probability


def brownian(sizes, n_paths, seed=0):
    """z-values (paths, looks) of a Brownian motion."""
    steps = np.sqrt(np.diff([0, *sizes]))
    paths = np.random.default_rng(seed).normal(size=(n_paths, len(sizes))) * steps
    return np.cumsum(paths, axis=1) / np.sqrt(sizes)


def test_looks_grow_and_end_with_all_rows():
    assert look_sizes(1000) == (100, 140, 196, 274, 384, 538, 753, 1000)
    assert look_sizes(100) == look_sizes(100, first=500) == (100,)
    assert look_sizes(110) == (110,)
    sizes = look_sizes(100_000)
    assert (np.diff(sizes) > 0).all()
    assert len(sizes) < 25


def test_critical_values_are_those_of_the_literature():
    five = (1, 2, 3, 4, 5)  # Jennison and Turnbull (2000), tables 2.1 and 2.3: two-sided .05, five looks
    np.testing.assert_allclose(critical_values(five, 0.025, 0.5), 2.413, atol=2e-3)
    np.testing.assert_allclose(critical_values(five, 0.025, 0.0)[-1], 2.040, atol=2e-3)
    assert critical_values((100,), 0.025)[0] == pytest.approx(stats.norm.isf(0.025), abs=1e-4)


@pytest.mark.parametrize("shape", [0.0, 0.25, 0.5])
def test_critical_values_are_passed_as_often_as_they_should(shape):
    sizes = look_sizes(1000)
    passed = (brownian(sizes, 100_000) > critical_values(sizes, 0.025, shape)).any(axis=1).mean()
    assert passed == pytest.approx(0.025, abs=0.002)


def test_tiny_tails_lie_between_a_single_look_and_bonferroni():
    sizes = look_sizes(1000)
    found = critical_values(sizes, 1e-5)[0]
    assert stats.norm.isf(1e-5) < found < stats.norm.isf(1e-5 / len(sizes))
    assert passing_probability(np.array(sizes) / 1000, np.full(len(sizes), found)) == pytest.approx(1e-5, rel=1e-3)


def test_more_information_in_common_is_safe():
    """Estimates with a part that all looks share are correlated more than a Brownian motion, and pass less often."""
    sizes = np.array(look_sizes(1000))
    variance = 0.5 / 1000 + 1 / sizes
    passed = brownian(1 / variance, 100_000) > critical_values(tuple(sizes), 0.025)
    assert passed.any(axis=1).mean() < 0.025


def means(rng, truth, sizes, common=0.6):
    """Estimates (T, D) and parts of influences (T, 2, D, N): means of normal rows, partly known."""
    n_rows = sizes[-1]
    known = rng.normal(size=(len(truth), n_rows)) * common
    rest = rng.normal(size=(len(truth), n_rows)) + truth[:, None]
    values, parts = [], []
    for size in sizes:
        shown = rest[:, :size]
        values.append(known.mean(axis=1) + shown.mean(axis=1))
        correction = np.zeros_like(rest)
        correction[:, :size] = (shown - shown.mean(axis=1, keepdims=True)) * n_rows / size
        parts.append([known - known.mean(axis=1, keepdims=True), correction])
    return np.array(values), np.array(parts)  # (T, D), (T, 2, D, N)


def run(separation, values, parts):
    for number in range(len(values)):
        still = separation.open
        if not len(still):
            break
        separation.look(number, values[number][still], *parts[number][:, still])
    return separation


def test_what_is_clear_stops_early_and_what_is_not_goes_on():
    sizes = look_sizes(1000)
    values, parts = means(np.random.default_rng(0), np.array([5.0, 2.0, 0.5, 0.25, -3.0]), sizes)
    done = run(Separation(5, Looks.plan(sizes, 5, 0.95, bound=0.0)), values, parts)
    assert (done.stopped[[0, 1, 4]] == 0).all()
    assert (done.stopped[2:4] > 2).all()
    best, worst = done.ranks()
    assert best[[0, 1, 4]].tolist() == worst[[0, 1, 4]].tolist() == [1, 2, 5]


def test_pairs_that_all_rows_would_leave_open_are_given_up():
    sizes, rng = look_sizes(1000), np.random.default_rng(0)
    looks = Looks.plan(sizes, 2, 0.95)
    stopped = [run(Separation(2, looks), *means(rng, np.ones(2), sizes)).stopped for _ in range(50)]
    assert np.mean(np.array(sizes)[np.array(stopped)]) < 600
    values, parts = means(rng, np.ones(2), sizes)
    values[:], parts[:] = 0.0, 0.0  # equal to the last bit
    assert run(Separation(2, Looks.plan(sizes, 2, 0.95)), values, parts).stopped.tolist() == [0, 0]


def test_below_the_bound_concepts_are_not_told_apart():
    sizes = look_sizes(1000)
    values, parts = means(np.random.default_rng(0), np.array([5.0, 0.1, 0.1, 0.1]), sizes)
    done = run(Separation(4, Looks.plan(sizes, 4, 0.95, bound=2.0)), values, parts)
    assert done.stopped.tolist() == [0, 0, 0, 0]
    assert done.side.tolist() == [1, -1, -1, -1]
    assert done.certain()[0].tolist() == [False, True, True, True]
    assert not done.certain()[1:].any()


def test_orders_follow_from_one_another():
    done = Separation(3, Looks.plan((100,), 3, 0.95))
    done.above[0, 1] = done.above[1, 2] = True
    assert done.certain()[0].tolist() == [False, True, True]


def test_wrong_statements_are_rare_and_naive_looks_make_many():
    """Four equal concepts: any order is wrong. The usual interval at every look errs often, the sequential one not."""
    rng, sizes = np.random.default_rng(1), look_sizes(400, first=50)
    looks = Looks.plan(sizes, 4, 0.95)
    naive = Looks(sizes, np.full(len(sizes), 0.95), np.full(len(sizes), 0.95), 0.0)
    wrong = np.zeros(2)
    for _ in range(300):
        values, parts = means(rng, np.ones(4), sizes)
        for k, rule in enumerate((looks, naive)):
            wrong[k] += run(Separation(4, rule), values, parts).above.any()
    assert wrong[0] / 300 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)
    assert wrong[1] / 300 > 0.2


def test_intervals_hold_at_the_look_where_rendering_stopped():
    """A hostile rule stops when the estimate lies farthest off; the usual interval fails, the repeated one holds."""
    rng, sizes = np.random.default_rng(2), look_sizes(400, first=50)
    looks, held, usual = Looks.plan(sizes, 2, 0.95), 0, 0
    for _ in range(400):
        values, parts = means(rng, np.zeros(1), sizes, common=0.2)
        errors = parts.sum(axis=1)[:, 0].std(axis=1) / np.sqrt(sizes[-1])
        far = np.abs(values[:, 0]) / errors
        held += (far < stats.norm.isf((1 - looks.interval_levels) / 2)).all()
        usual += (far < 1.96).all()
    assert held / 400 >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / 400)
    assert usual / 400 < 0.9
