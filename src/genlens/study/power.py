"""How many people a preference study needs.

A person's own preference is drawn from a beta distribution with the mean that is looked for; the intraclass correlation
says how much people differ. Answers are then beta-binomial. The test is Student's over people's shares (the interval of
`preference`), by simulation; the exact power of the sign test over people and a closed form stand beside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from genlens.errors import UserError, check_integer

MAX_PEOPLE = 1000
MIN_PEOPLE = 4
"""Fewer are never advised: a two-sided sign test at .05 can't reject with five or fewer, and t needs some spread."""


@dataclass(frozen=True)
class Needed:
    """How many people are needed.

    Attributes:
        people: smallest number from which on the simulated power reaches the target.
        invited: the same, allowing for those who fail the check of attention.
        power: simulated power at `people`.
        error: standard error of the simulation.
        closed_form: people by the normal approximation.
        sign_power: exact power of the sign test over people at `people`.
        curve: simulated power at 1, 2, … people (NaN below two).
    """

    people: int
    invited: int
    power: float
    error: float
    closed_form: int
    sign_power: float
    curve: NDArray[np.float64]


def people_needed(
    preference: float,
    n_trials: int,
    *,
    icc: float = 0.1,
    alpha: float = 0.05,
    power: float = 0.8,
    loss: float = 0.0,
    n_simulations: int = 4000,
    seed: int = 0,
) -> Needed:
    """How many people find a preference, two-sided.

    Args:
        preference: share of answers for ours that is to be found, in (0, 1), not .5.
        n_trials: comparisons a person answers.
        icc: intraclass correlation of a person's answers, in [0, 1): 0, people are alike.
        alpha: level of the test.
        power: chance to find it.
        loss: share of people who are expected to fail the check of attention, in [0, 1).
        n_simulations: studies simulated.
        seed: of the simulation.

    Raises:
        UserError: a value out of its range, or more than `MAX_PEOPLE` people are needed.
    """
    n_trials = check_integer("trials", n_trials, 1)
    check_integer("n_simulations", n_simulations, 100)
    for name, value in (("preference", preference), ("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise UserError(f"`{name}` must lie between 0 and 1; got {value!r}.")
    for name, value in (("icc", icc), ("loss", loss)):
        if not 0 <= value < 1:
            raise UserError(f"`{name}` must be at least 0 and below 1; got {value!r}.")
    if preference == 0.5:
        raise UserError("`preference` must differ from 0.5: there is nothing to find there.")
    guess = closed_form(preference, n_trials, icc, alpha, power)
    if guess > MAX_PEOPLE:
        raise UserError(f"About {guess:,} people would be needed, more than {MAX_PEOPLE:,}. "
                        "Ask more questions a person, or look for a larger preference.")  # fmt: skip
    curve = simulated_power(preference, n_trials, icc, alpha, min(2 * guess + 20, 2 * MAX_PEOPLE), n_simulations, seed)
    below = np.flatnonzero(~(curve >= power))
    people = max(int(below[-1]) + 2, MIN_PEOPLE)
    if people > len(curve):
        raise UserError(f"More than {len(curve):,} people would be needed. Look for a larger preference.")
    reached = float(curve[people - 1])
    return Needed(
        people,
        math.ceil(people / (1 - loss)),
        reached,
        math.sqrt(reached * (1 - reached) / n_simulations),
        guess,
        sign_test_power(preference, n_trials, icc, alpha, people),
        curve,
    )


def closed_form(preference: float, n_trials: int, icc: float, alpha: float, power: float) -> int:
    """People by the normal approximation: (z_(1 - alpha/2) + z_power)^2 v / (preference - .5)^2.

    v = p (1 - p) (1 + (T - 1) icc) / T is the variance of one person's share of T answers.
    """
    z = float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power))
    variance = preference * (1 - preference) * (1 + (n_trials - 1) * icc) / n_trials
    return math.ceil(z * z * variance / (preference - 0.5) ** 2)


def simulated_power(
    preference: float, n_trials: int, icc: float, alpha: float, max_people: int, n_simulations: int, seed: int
) -> NDArray[np.float64]:
    """Share of simulated studies that Student's test rejects, at 1..max_people people: (max_people,)."""
    rng = np.random.default_rng(seed)
    hits = np.zeros(max_people)
    n = np.arange(1, max_people + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        critical = stats.t.ppf(1 - alpha / 2, n - 1)  # NaN for one person
    chunk = max(1, 2_000_000 // max_people)
    for start in range(0, n_simulations, chunk):
        size = (min(chunk, n_simulations - start), max_people)
        own = np.full(size, preference) if icc == 0 else rng.beta(*_beta(preference, icc), size)
        gap = rng.binomial(n_trials, own) / n_trials - 0.5
        total, squares = gap.cumsum(axis=1), (gap**2).cumsum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = np.maximum(squares - total**2 / n, 0) / (n - 1)
            variance[variance < 1e-12] = 0
            t = np.abs(total) / np.sqrt(n * variance)
            hits += (t > critical).sum(axis=0)
    return np.where(n > 1, hits / n_simulations, np.nan)


def sign_test_power(preference: float, n_trials: int, icc: float, alpha: float, people: int) -> float:
    """Exact power of the two-sided sign test over people, those without a preference left out."""
    wins = np.arange(n_trials + 1)
    law = stats.binom(n_trials, preference) if icc == 0 else stats.betabinom(n_trials, *_beta(preference, icc))
    mass = law.pmf(wins)
    for_ours, against = float(mass[2 * wins > n_trials].sum()), float(mass[2 * wins < n_trials].sum())
    decided = for_ours + against
    chance = for_ours / decided
    reached = 0.0
    for n, weight in enumerate(stats.binom.pmf(np.arange(people + 1), people, decided)):
        most = np.arange(n + 1)
        tail = 2 * stats.binom.cdf(np.minimum(most, n - most), n, 0.5)  # two-sided p, for a symmetric law
        reached += weight * float(stats.binom.pmf(most, n, chance)[tail <= alpha].sum())
    return reached


def _beta(preference: float, icc: float) -> tuple[float, float]:
    """Parameters of the beta distribution of people's preferences."""
    size = (1 - icc) / icc
    return preference * size, (1 - preference) * size
