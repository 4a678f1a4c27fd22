"""Who sees what, in which order, on which side: drawn by a seed and balanced.

Positions are balanced by a cyclic Latin square (n people see each of n questions once at each place), sides by mirrored
pairs of people, methods by turns. What is left is random.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def balanced_orders(n_people: int, n: int, rng: np.random.Generator) -> Ints:
    """Order of `n` questions for every person: (n_people, n).

    Every block of n people has a random order of its own, of which each of them begins at another place.
    """
    orders = np.empty((n_people, n), dtype=np.int64)
    for start in range(0, n_people, max(n, 1)):
        base = rng.permutation(n)
        shifts = rng.permutation(n)
        for k in range(start, min(start + n, n_people)):
            orders[k] = np.roll(base, shifts[k - start])
    return orders


def balanced_sides(n_people: int, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whether the first set of a question stands on the left: (n_people, n), by person and question.

    A person has it on the left in half of the questions (up to one); the next person sees the mirror image.
    """
    sides = np.empty((n_people, n), dtype=bool)
    for k in range(0, n_people, 2):
        sides[k] = rng.permutation(np.arange(n) < (n + int(rng.integers(2))) // 2)
        sides[k + 1 : k + 2] = ~sides[k]
    return sides


def balanced_methods(n_people: int, n: int, n_methods: int, rng: np.random.Generator) -> Ints:
    """Which method's pictures of an item a person sees alone: (n_people, n), by person and item.

    A person sees each method equally often (up to one); of `n_methods` people in turn, each item's every method once.
    """
    methods = np.empty((n_people, n), dtype=np.int64)
    for start in range(0, n_people, n_methods):
        base = rng.permutation(np.arange(n) % n_methods)
        for k in range(start, min(start + n_methods, n_people)):
            methods[k] = (base + k - start) % n_methods
    return methods
