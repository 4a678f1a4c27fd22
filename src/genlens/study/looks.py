"""Whether people tell from a method's pictures what the model looks at, where that is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from genlens.errors import UserError
from genlens.proportions import wilson_interval
from genlens.study.preference import Interval, expanded_level

WRONG, RIGHT, UNSURE = 0, 1, 2
"""Codes of an answer."""


@dataclass(frozen=True)
class Understanding:
    """How often the known answer was chosen, by method.

    Attributes:
        methods: names, ours first.
        counts: method -> wrong, right, can't tell.
        shares: method -> share of right answers.
        intervals: method -> its interval, bootstrap over people.
        differences: rival -> ours less the rival's share, and the interval.
        chi_square: of the table methods x answers: statistic, degrees of freedom, p as if answers were independent.
    """

    methods: tuple[str, ...]
    counts: dict[str, tuple[int, int, int]]
    shares: dict[str, float]
    intervals: dict[str, Interval]
    differences: dict[str, tuple[float, float, float]]
    chi_square: tuple[float, int, float]


def measure_understanding(
    methods: tuple[str, ...],
    shown: ArrayLike,
    codes: ArrayLike,
    *,
    confidence: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Understanding:
    """Measure how often people are right.

    Args:
        methods: names, ours first.
        shown: (people, items) index of the method whose pictures were shown.
        codes: (people, items) of `WRONG`, `RIGHT` and `UNSURE`.
        confidence: of the intervals.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        UserError: fewer than two people, or a method that nobody saw.
    """
    method, code = np.asarray(shown), np.asarray(codes)
    if method.ndim != 2 or len(method) < 2:
        raise UserError(f"Two people or more must have answered; got an array of {method.shape}.")
    seen = np.stack([(method == k).sum(axis=1) for k in range(len(methods))])  # (methods, people)
    right = np.stack([((method == k) & (code == RIGHT)).sum(axis=1) for k in range(len(methods))])
    if not seen.sum(axis=1).all():
        unseen = methods[int(np.flatnonzero(seen.sum(axis=1) == 0)[0])]
        raise UserError(f"Nobody saw the pictures of {unseen!r} alone. Wait for more people.")
    shares = right.sum(axis=1) / seen.sum(axis=1)
    n_people = len(method)
    people = np.random.default_rng(seed).multinomial(n_people, np.full(n_people, 1 / n_people), n_resamples)
    with np.errstate(invalid="ignore"):
        drawn = (people @ right.T) / (people @ seen.T)  # (resamples, methods)
    level = expanded_level(n_people, confidence)
    table = np.array(
        [[((method == k) & (code == c)).sum() for c in (WRONG, RIGHT, UNSURE)] for k in range(len(methods))]
    )
    return Understanding(
        methods,
        {name: (int(row[0]), int(row[1]), int(row[2])) for name, row in zip(methods, table, strict=True)},
        {name: float(share) for name, share in zip(methods, shares, strict=True)},
        {name: _interval(drawn[:, k], level, right[k], seen[k], confidence) for k, name in enumerate(methods)},
        {
            name: (float(shares[0] - shares[k]), *_quantiles(drawn[:, 0] - drawn[:, k], level))
            for k, name in enumerate(methods)
            if k
        },
        _chi_square(table),
    )


def _interval(
    drawn: NDArray[np.float64], level: float, right: NDArray[np.int64], seen: NDArray[np.int64], confidence: float
) -> Interval:
    """Bootstrap over people; Wilson's where all answers were right, or none."""
    if right.sum() in (0, seen.sum()):
        return wilson_interval(float(right.sum()), int(seen.sum()), confidence)
    return _quantiles(drawn, level)


def _quantiles(values: NDArray[np.float64], level: float) -> Interval:
    low, high = np.nanquantile(values, [level, 1 - level])
    return float(low), float(high)


def _chi_square(table: NDArray[np.int64]) -> tuple[float, int, float]:
    used = table[:, table.sum(axis=0) > 0]
    if used.shape[1] < 2:
        return 0.0, 0, 1.0
    found = stats.chi2_contingency(used, correction=False)
    return float(found.statistic), int(found.dof), float(found.pvalue)
