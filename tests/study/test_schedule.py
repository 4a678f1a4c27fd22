"""Balance of orders, sides and methods."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.study.schedule import balanced_methods, balanced_orders, balanced_sides


@pytest.mark.parametrize("n", [1, 3, 8])
def test_every_question_is_once_at_every_place_within_a_block(n: int) -> None:
    orders = balanced_orders(3 * n, n, np.random.default_rng(0))
    for block in orders.reshape(3, n, n):
        assert (np.sort(block, axis=0) == np.arange(n)[:, None]).all()
        assert (np.sort(block, axis=1) == np.arange(n)).all()


@pytest.mark.parametrize("n", [1, 4, 7])
def test_sides_are_even_for_each_person_and_each_question(n: int) -> None:
    sides = balanced_sides(40, n, np.random.default_rng(0))
    assert (sides.sum(axis=0) == 20).all()
    assert (np.abs(2 * sides.sum(axis=1) - n) <= n % 2).all()


@pytest.mark.parametrize(("n", "n_methods"), [(6, 2), (5, 2), (4, 3)])
def test_methods_take_turns(n: int, n_methods: int) -> None:
    methods = balanced_methods(6 * n_methods, n, n_methods, np.random.default_rng(0))
    for block in methods.reshape(6, n_methods, n):
        assert (np.sort(block, axis=0) == np.arange(n_methods)[:, None]).all()
    each = np.stack([(methods == k).sum(axis=1) for k in range(n_methods)])
    assert (each.max(axis=0) - each.min(axis=0) <= 1).all()


def test_an_odd_number_of_people_and_no_questions_are_legal() -> None:
    rng = np.random.default_rng(0)
    assert balanced_sides(5, 4, rng).shape == (5, 4)
    assert balanced_orders(5, 0, rng).shape == (5, 0)


def test_sides_say_nothing_about_places() -> None:
    """Over many people the side is independent of the place in the order."""
    rng = np.random.default_rng(1)
    sides, orders = balanced_sides(4000, 8, rng), balanced_orders(4000, 8, rng)
    by_place = np.take_along_axis(sides, orders, axis=1).mean(axis=0)
    assert np.abs(by_place - 0.5).max() < 4 * 0.5 / np.sqrt(4000)
