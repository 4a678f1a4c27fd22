"""Is an attribute more frequent in one set of pictures than in another? Shares, intervals, tests, effect sizes.

Pictures of one optimised prompt are no independent evidence about the class: where an optimisation ends is luck, and
all pictures of a prompt share that luck. So a **restart** is one observation. The mean of R shares in [0, 1], p, varies
by p (1 - p) / R at most, as R draws of a yes or no do; intervals and tests here take that most, which is too careful
where restarts agree, and right where each falls to one side by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from genlens.proportions import wilson_interval

Floats = NDArray[np.float64]

_MOST_SPLITS = 20_000
_SMALL = 5.0


@dataclass(frozen=True)
class Shares:
    """Shares of K values in one set of pictures.

    Attributes:
        values: (K,) shares, the mean over units.
        units: (U, K) shares in each unit: restarts, or single pictures.
        n: pictures with a clear value.
    """

    values: Floats
    units: Floats
    n: int

    @property
    def n_units(self) -> int:
        """U, independent observations."""
        return len(self.units)


def shares_of(labels: ArrayLike, n_values: int, clusters: ArrayLike | None = None) -> Shares:
    """Shares of the values among labels; -1 (unclear) is left out, and so is a unit of nothing else.

    Args:
        labels: (N,) in -1..K-1.
        n_values: K.
        clusters: (N,) unit of each picture, or None: each picture is one.
    """
    found = np.asarray(labels, dtype=np.int64)
    clear = found >= 0
    onehot = np.eye(n_values)[found[clear]]  # (n, K)
    if clusters is None:
        units = onehot
    else:
        groups = np.unique(np.asarray(clusters)[clear], return_inverse=True)[1].ravel()
        counts = np.bincount(groups)
        units = np.array([onehot[groups == g].sum(axis=0) / counts[g] for g in range(len(counts))])
        units = units.reshape(-1, n_values)  # (0, K) where no picture is clear
    mean = units.mean(axis=0) if len(units) else np.full(n_values, np.nan)
    return Shares(mean, units, int(clear.sum()))


def newcombe(p: float, n: int, q: float, m: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the difference p - q of two independent shares of n and m observations (Newcombe 1998, method 10)."""
    p_low, p_high = wilson_interval(min(p * n, n), n, confidence)
    q_low, q_high = wilson_interval(min(q * m, m), m, confidence)
    low = p - q - math.hypot(p - p_low, q_high - q)
    high = p - q + math.hypot(p_high - p, q - q_low)
    return max(low, -1.0), min(high, 1.0)


def cohens_h(p: float, q: float) -> float:
    """Cohen's h of two shares: .2 is small, .5 medium, .8 large; positive where p is larger."""
    return 2 * math.asin(math.sqrt(min(max(p, 0.0), 1.0))) - 2 * math.asin(math.sqrt(min(max(q, 0.0), 1.0)))


def cramers_v(one: Floats, other: Floats) -> float:
    """Cramér's V between set and value, both sets counting alike: 0 is no association, 1 a complete one.

    Args:
        one: (K,) shares.
        other: (K,) shares.
    """
    mean = (one + other) / 2
    kept = mean > 0
    squares = ((one - mean)[kept] ** 2 + (other - mean)[kept] ** 2) / mean[kept]
    return float(math.sqrt(squares.sum() / 2))


def chi_square(one: Shares, other: Shares, seed: int = 0) -> float:
    """P-value of "both sets have the same shares", every unit counting as an observation.

    Pictures that are units of their own: Pearson's chi-square; where an expected count is below 5, Fisher's exact test,
    by 9,999 random tables where there are more than two values. Sets with larger units: the chi-square statistic
    against 9,999 draws of as many single observations as there are units (`luck_test`).
    """
    if min(one.n_units, other.n_units) < 1:
        return 1.0
    if one.n > one.n_units:
        return luck_test(one, other, seed)
    table = np.stack([one.units.sum(axis=0), other.units.sum(axis=0)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    if expected.min() >= _SMALL:
        return float(stats.chi2_contingency(table, correction=False).pvalue)
    if table.shape[1] == 2:
        return float(stats.fisher_exact(table.astype(np.int64)).pvalue)
    return _random_tables(table, np.random.default_rng(seed))


def _random_tables(table: Floats, rng: np.random.Generator, n_draws: int = 9999) -> float:
    """Fisher's test by random tables with the same margins, ordered by the chi-square statistic."""
    rows = rng.multivariate_hypergeometric(table.sum(axis=0).astype(np.int64), int(table[0].sum()), n_draws)
    expected = table[0].sum() * table.sum(axis=0) / table.sum()

    def statistic(first: NDArray[np.generic]) -> Floats:  # the second row follows from the first
        result: Floats = ((first - expected) ** 2 / expected).sum(axis=-1)
        return result

    return float((1 + (statistic(rows) >= statistic(table[0]) - 1e-9).sum()) / (n_draws + 1))


def luck_test(one: Shares, other: Shares, seed: int = 0, n_draws: int = 9999) -> float:
    """P-value of "the units of `one` come from the shares of `other`" when each unit falls to one value by luck.

    The uncertainty of the other set's shares is drawn too (Dirichlet, one pseudo-observation spread over the values).
    """
    rng = np.random.default_rng(seed)
    k, units = len(one.values), one.n_units
    concentration = other.values * other.n_units + 1 / k
    drawn = rng.dirichlet(concentration, n_draws)  # (B, K)
    counts = np.stack([rng.multinomial(units, p) for p in drawn]) / units
    expected = concentration / concentration.sum()

    def statistic(shares: Floats) -> Floats:
        result: Floats = (units * (shares - expected) ** 2 / expected).sum(axis=-1)
        return result

    return float((1 + (statistic(counts) >= statistic(one.values) - 1e-9).sum()) / (n_draws + 1))


def restart_test(one: Shares, other: Shares, seed: int = 0, n_draws: int = 9999) -> float:
    """P-value of "restarts for the class and restarts for others have the same shares", by permuting restarts.

    Exact where there are at most 20,000 splits; restarts keep their shares, whatever their luck was. The statistic is
    the sum of squared differences of the mean shares over the values.
    """
    units = np.concatenate([one.units, other.units])  # (R + R', K)
    n, first = len(units), one.n_units
    if min(first, other.n_units) < 1:
        return 1.0
    if math.comb(n, first) <= _MOST_SPLITS:
        chosen = np.zeros((math.comb(n, first), n))
        for row, split in enumerate(combinations(range(n), first)):
            chosen[row, list(split)] = 1
    else:
        rng = np.random.default_rng(seed)
        chosen = np.zeros((n_draws + 1, n))
        chosen[0, :first] = 1  # the split that was observed
        chosen[1:] = rng.permuted(np.tile(chosen[0], (n_draws, 1)), axis=1)
    totals = units.sum(axis=0)
    sums = chosen @ units
    statistic = ((sums / first - (totals - sums) / (n - first)) ** 2).sum(axis=1)
    observed = ((one.values - other.values) ** 2).sum()
    return float((statistic >= observed - 1e-9).mean())


def holm(p_values: ArrayLike) -> Floats:
    """Holm's adjusted p-values: the chance of any false alarm stays below the level."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    steps = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


@dataclass(frozen=True)
class ScoreEffect:
    """How the target score differs between pictures with a value and the others.

    Attributes:
        d: difference of the means in pooled standard deviations (Hedges' g).
        low: lower end of its interval.
        high: upper end.
        p_value: of "d is at most the smallest effect that counts", one-sided.
        n: pictures with the value.
    """

    d: float
    low: float
    high: float
    p_value: float
    n: int


def score_effect(
    scores: ArrayLike, has: ArrayLike, *, smallest: float = 0.2, confidence: float = 0.95
) -> ScoreEffect:
    """Compare scores of pictures with and without a value.

    Args:
        scores: (N,) target scores, one an independent picture.
        has: (N,) whether the picture has the value.
        smallest: effect in standard deviations up to which a difference doesn't count, >= 0.
        confidence: of the interval.
    """
    values, chosen = np.asarray(scores, dtype=np.float64), np.asarray(has, dtype=bool)
    one, other = values[chosen], values[~chosen]
    n, m = len(one), len(other)
    if min(n, m) < 2:
        return ScoreEffect(float("nan"), -math.inf, math.inf, 1.0, n)
    variance = ((n - 1) * one.var(ddof=1) + (m - 1) * other.var(ddof=1)) / (n + m - 2)
    difference = float(one.mean() - other.mean())
    if variance <= 0:
        return ScoreEffect(0.0 if difference == 0 else math.copysign(math.inf, difference), -math.inf, math.inf, 1.0, n)
    d = difference / math.sqrt(variance) * (1 - 3 / (4 * (n + m) - 9))
    spread = math.sqrt((one.var(ddof=1) / n + other.var(ddof=1) / m) / variance + d * d / (2 * (n + m)))
    z = float(stats.norm.ppf((1 + confidence) / 2))
    return ScoreEffect(d, d - z * spread, d + z * spread, float(stats.norm.sf((d - smallest) / spread)), n)
