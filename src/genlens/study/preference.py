"""Which of two methods people prefer: a share with intervals that know that a person's answers belong together.

Answers of one person are alike, so people, not answers, are drawn again. Binomial intervals over answers, as studies
often report them, stand beside for comparison and are too short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from genlens.errors import UserError, check_integer

RIVAL, OURS, TIE = 0, 1, 2
"""Codes of a choice."""
Floats = NDArray[np.float64]
Interval = tuple[float, float]
_NODES = np.linspace(-6, 6, 241)
"""Places of a standard normal intercept: close enough for 100 answers a person at any spread up to `_WIDEST`."""
_WEIGHTS = np.exp(-(_NODES**2) / 2) / np.exp(-(_NODES**2) / 2).sum()
_WIDEST = 8.0


@dataclass(frozen=True)
class Preference:
    """How often one method was preferred to another; a tie counts half.

    Attributes:
        n_people: people.
        counts: answers for the rival, for ours, ties.
        share: of ours.
        interval: bootstrap over people (expanded percentile).
        t_interval: Student's, over the people's own shares.
        both_interval: bootstrap over people and questions: what other classes would do as well.
        naive_interval: Wilson's, as if all answers were independent.
        design_effect: variance of the share over what it were for independent answers.
        sign: people who preferred ours more often, less often, and neither; p of the exact two-sided sign test.
        binomial_p: exact two-sided test over answers without ties, as if independent.
        chi_square: goodness of fit of ours against rival, ties left out; p; p after division by the design effect.
        mixed: marginal share without ties and likelihood-ratio p of a logistic model with a random intercept a person.
    """

    n_people: int
    counts: tuple[int, int, int]
    share: float
    interval: Interval
    t_interval: Interval
    both_interval: Interval
    naive_interval: Interval
    design_effect: float
    sign: tuple[int, int, int, float]
    binomial_p: float
    chi_square: tuple[float, float, float]
    mixed: tuple[float, float]


def measure_preference(
    codes: ArrayLike, *, confidence: float = 0.95, n_resamples: int = 10_000, seed: int = 0
) -> Preference:
    """Measure the preference for ours.

    Args:
        codes: (people, questions) of `RIVAL`, `OURS` and `TIE`; every person answered every question.
        confidence: of the intervals.
        n_resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        UserError: fewer than two people, or no questions.
    """
    from genlens.proportions import wilson_interval

    values = np.asarray(codes)
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 1:
        raise UserError(f"A preference needs two people or more and a question; got an array of {values.shape}.")
    check_integer("n_resamples", n_resamples, 100)
    n_people = len(values)
    worth = np.choose(values, [0.0, 1.0, 0.5])  # (people, questions)
    own = worth.mean(axis=1)
    share, error = float(own.mean()), float(own.std(ddof=1) / np.sqrt(n_people))
    independent = float(worth.var() / worth.size)
    effect = error**2 / independent if independent > 0 else float("nan")
    counts = tuple(int((values == code).sum()) for code in (RIVAL, OURS, TIE))
    wins, losses = (values == OURS).sum(axis=1), (values == RIVAL).sum(axis=1)  # (people,)
    reach = float(stats.t.ppf(0.5 + confidence / 2, n_people - 1)) * error
    level = expanded_level(n_people, confidence)
    over_people, over_both = _resampled(worth, n_resamples, np.random.default_rng(seed))
    return Preference(
        n_people,
        (counts[0], counts[1], counts[2]),
        share,
        _quantiles(over_people, level),
        (max(share - reach, 0.0), min(share + reach, 1.0)),
        _quantiles(over_both, level),
        wilson_interval(float(worth.sum()), worth.size, confidence),
        effect,
        sign_test(wins, losses),
        _binomial_p(counts[1], counts[1] + counts[0]),
        _chi_square(counts[1], counts[0], effect),
        mixed_logistic(wins, wins + losses),
    )


def expanded_level(n: int, confidence: float) -> float:
    """Tail of a percentile interval over n units that is as wide as Student's (Hesterberg 2015, "expanded")."""
    t = float(stats.t.ppf(0.5 - confidence / 2, n - 1))
    return float(stats.norm.cdf(np.sqrt(n / (n - 1)) * t))


def _quantiles(values: Floats, level: float) -> Interval:
    low, high = np.quantile(values, [level, 1 - level])
    return float(low), float(high)


def _resampled(worth: Floats, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Mean of `worth` (people, questions) with people drawn again, and with people and questions (pigeonhole)."""
    n_people, n_questions = worth.shape
    people = rng.multinomial(n_people, np.full(n_people, 1 / n_people), n) / n_people  # (n, people)
    questions = rng.multinomial(n_questions, np.full(n_questions, 1 / n_questions), n) / n_questions
    return people @ worth.mean(axis=1), ((people @ worth) * questions).sum(axis=1)


def sign_test(wins: ArrayLike, losses: ArrayLike) -> tuple[int, int, int, float]:
    """People with more wins, with more losses, with neither; p of the exact two-sided sign test without the last."""
    difference = np.asarray(wins) - np.asarray(losses)
    more, less, even = (int((np.sign(difference) == sign).sum()) for sign in (1, -1, 0))
    return more, less, even, _binomial_p(more, more + less)


def _binomial_p(successes: int, n: int) -> float:
    return float(stats.binomtest(successes, n, 0.5).pvalue) if n else 1.0


def _chi_square(ours: int, rival: int, effect: float) -> tuple[float, float, float]:
    """Statistic, p, and p by Rao and Scott (1981): the statistic over the design effect."""
    if ours + rival == 0:
        return 0.0, 1.0, 1.0
    statistic = (ours - rival) ** 2 / (ours + rival)
    divided = statistic / effect if np.isfinite(effect) and effect > 0 else statistic
    return statistic, float(stats.chi2.sf(statistic, 1)), float(stats.chi2.sf(divided, 1))


def mixed_logistic(wins: ArrayLike, n: ArrayLike) -> tuple[float, float]:
    """Logistic model with a normal intercept a person, by maximum likelihood, the intercept integrated on a grid.

    Args:
        wins: (people,) choices of ours.
        n: (people,) choices without ties.

    Returns:
        The share a new person is expected to have, and the likelihood-ratio p that the intercept is 0.
    """
    k, total = np.asarray(wins, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if total.sum() == 0:
        return 0.5, 1.0

    def loss(mean: float, spread: float) -> float:
        logits = np.clip(mean, -12, 12) + min(abs(spread), _WIDEST) * _NODES  # (nodes,)
        each = k[:, None] * logits - total[:, None] * np.logaddexp(0, logits)  # (people, nodes)
        top = each.max(axis=1, keepdims=True)
        return -float((np.log(np.exp(each - top) @ _WEIGHTS) + top[:, 0]).sum())

    options: dict[str, Any] = {"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000}
    start = float(np.log((k.sum() + 0.5) / (total.sum() - k.sum() + 0.5)))
    free = optimize.minimize(lambda x: loss(*x), [start, 0.5], method="Nelder-Mead", options=options)
    bound = optimize.minimize_scalar(lambda s: loss(0.0, s), bounds=(0.0, _WIDEST), method="bounded")
    none = min(float(bound.fun), loss(0.0, 0.0))
    best = min(float(free.fun), none)
    mean, spread = float(np.clip(free.x[0], -12, 12)), min(abs(float(free.x[1])), _WIDEST)
    share = float(special.expit(mean + spread * _NODES) @ _WEIGHTS)
    return share, float(stats.chi2.sf(max(2 * (none - best), 0.0), 1))
