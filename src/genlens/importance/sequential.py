"""When to stop rendering a concept: repeated looks at growing numbers of rows, at a guaranteed error rate.

After look t the flips of n_t random rows are rendered. An estimate's variance is V / N + s^2 / n_t, and its covariance
with an earlier look's is its own variance, so z-values of two looks s < t have a correlation of at least
sqrt(n_s / n_t): that of a Brownian motion seen at n_1, n_2, ... By Slepian's inequality critical values c_t that a
Brownian motion passes at any look with probability `tail` are safe for it. They have the shape of Wang and Tsiatis
(Biometrics 43, 1987), c_t = C (n_t / N)^(shape - 1/2): 0 is O'Brien and Fleming's, 1/2 Pocock's.

**Statements.** Two concepts are in a certain order once the interval of their difference, at the critical values whose
tail is shared evenly (Bonferroni) by all pairs of concepts, is clear of 0. With a bound, each concept is compared with
it as well. All statements of all looks hold together with the run's confidence, whenever rendering stops.

**Hopeless pairs.** A pair is no reason to go on where, from what is seen, even all rows would most likely leave it
open: the conditional power is below `HOPELESS`. Stopping for that only withholds statements: it costs no certainty.

**Intervals** that are reported are those of the look at which a concept stopped, at the critical values for one
concept: repeated confidence intervals (Jennison and Turnbull, JRSS B 51, 1989). They hold at all looks together, hence
at any look, however it was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from genlens.importance.inference import Interval, interval

FIRST_LOOK = 100
"""Rows rendered before the first look; normal intervals of fewer rows are not to be trusted at small error rates."""
GROWTH = 1.4
"""Each look has this many times the rows of the one before."""
SHAPE = 0.5
"""Shape of the critical values; chosen by `benchmarks/sequential.py` for the images it saves."""
HOPELESS = 0.1
"""Probability that all rows would settle a pair, given the estimate so far, below which it is given up."""
_NODES = 80


def look_sizes(n_rows: int, first: int = FIRST_LOOK, growth: float = GROWTH) -> tuple[int, ...]:
    """Rows rendered up to each look, the last one all N.

    Args:
        n_rows: N.
        first: rows before the first look.
        growth: ratio of a look's rows to the look's before, > 1.
    """
    sizes, size = [], float(min(first, n_rows))
    while size * growth**0.5 < n_rows:
        sizes.append(round(size))
        size *= growth
    return (*sizes, n_rows)


def critical_values(sizes: tuple[int, ...], tail: float, shape: float = SHAPE) -> np.ndarray:
    """Values c_t that a standard Brownian motion's z-values pass at any look with probability `tail`.

    Args:
        sizes: (T,) rows at each look, increasing.
        tail: one-sided probability in (0, 1/2).
        shape: Wang and Tsiatis's, in [0, 1/2].

    Returns:
        (T,) critical values.
    """
    times = np.array(sizes, dtype=np.float64) / sizes[-1]
    unit = times ** (shape - 0.5)

    def excess(scale: float) -> float:
        return float(np.log(passing_probability(times, scale * unit)) - np.log(tail))

    low = float(stats.norm.isf(tail))
    return np.asarray(brentq(excess, low * 0.5, low + 4.0, xtol=1e-6) * unit)


def passing_probability(times: np.ndarray, bounds: np.ndarray) -> float:
    """Probability that a Brownian motion W has W(t) > bound * sqrt(t) at one of the times (Armitage et al. 1969).

    Args:
        times: (T,) increasing, > 0.
        bounds: (T,) in standard deviations.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    passed, state, density = 0.0, np.zeros(1), np.ones(1)  # all mass at W(0) = 0
    before = 0.0
    for time, bound in zip(times, bounds, strict=True):
        step, top = np.sqrt(time - before), bound * np.sqrt(time)
        passed += float(density @ stats.norm.sf((top - state) / step))
        bottom = -9 * np.sqrt(time)
        places = (nodes + 1) / 2 * (top - bottom) + bottom
        moved = np.exp(-(((places[:, None] - state) / step) ** 2) / 2) / (step * np.sqrt(2 * np.pi))
        density = (moved @ density) * weights * (top - bottom) / 2
        state, before = places, float(time)
    return passed


@dataclass(frozen=True, eq=False)
class Looks:
    """When the data are looked at, and how wide intervals are at each look.

    Args:
        sizes: (T,) rows rendered at each look.
        pair_levels: (T,) nominal levels of the intervals that statements rest on.
        interval_levels: (T,) nominal levels of the intervals that are reported.
        bound: importance below which concepts need not be told apart; 0: none.
    """

    sizes: tuple[int, ...]
    pair_levels: np.ndarray
    interval_levels: np.ndarray
    bound: float

    @classmethod
    def plan(
        cls, sizes: tuple[int, ...], n_concepts: int, confidence: float, bound: float = 0.0, shape: float = SHAPE
    ) -> Looks:
        """Share the error among looks, pairs of concepts and, with a bound, concepts.

        Args:
            sizes: (T,) rows at each look.
            n_concepts: D.
            confidence: probability that all statements hold, and level of each reported interval.
            bound: >= 0.
            shape: of the critical values.
        """
        n_statements = n_concepts * (n_concepts - 1) // 2 + (n_concepts if bound > 0 else 0)
        tails = ((1 - confidence) / 2 / max(n_statements, 1), (1 - confidence) / 2)
        pair, single = (1 - 2 * stats.norm.sf(critical_values(sizes, tail, shape)) for tail in tails)
        return cls(sizes, pair, single, bound)


class Separation:
    """What is certain about the order of D concepts, look after look.

    Args:
        n_concepts: D.
        looks: when, and how certain.

    Attributes:
        above: bool (D, D), whether the first concept is certainly more important than the second.
        side: int (D,) 1 where a concept's importance is certainly above the bound, -1 below it, 0 open.
        stopped: int (D,) number of the look at which a concept stopped, -1 while it is open.
    """

    def __init__(self, n_concepts: int, looks: Looks) -> None:
        self.looks = looks
        self.above = np.zeros((n_concepts, n_concepts), dtype=bool)
        self.side = np.zeros(n_concepts, dtype=np.int64)
        self.stopped = np.full(n_concepts, -1)

    @property
    def open(self) -> np.ndarray:
        """(A,) concepts still to be rendered."""
        return np.flatnonzero(self.stopped < 0)

    def look(
        self,
        number: int,
        values: np.ndarray,
        surrogates: np.ndarray,
        corrections: np.ndarray,
        clusters: np.ndarray | None = None,
    ) -> np.ndarray:
        """Take in the estimates of the open concepts after a look.

        Args:
            number: of the look, from 0.
            values: (A,) importances of the concepts in `open`.
            surrogates: (A, N) influence of each row through the surrogate, and
            corrections: (A, N) through the correction (`genlens.importance.difference.influence_parts`).
            clusters: (N,) groups of dependent rows, or None.

        Returns:
            The concepts that are open now; none after the last look.
        """
        level, last = float(self.looks.pair_levels[number]), number == len(self.looks.sizes) - 1
        concepts, influences = self.open, surrogates + corrections
        hopeless = np.zeros_like(self.above)
        for i, j in enumerate(concepts):
            if self.looks.bound > 0 and self.side[j] == 0:
                self.side[j] = _side(interval(values[i] - self.looks.bound, influences[i], level, clusters))
            for h in range(i):
                k = concepts[h]
                if self.above[j, k] or self.above[k, j]:
                    continue
                found = interval(values[i] - values[h], influences[i] - influences[h], level, clusters)
                side = _side(found)
                self.above[j, k], self.above[k, j] = side > 0, side < 0
                hopeless[j, k] = hopeless[k, j] = self._power(number, found, corrections[i] - corrections[h]) < HOPELESS
        for j in concepts:
            if last or self.side[j] < 0 or self._settled(j, hopeless[j]):
                self.stopped[j] = number
        return self.open

    def _power(self, number: int, found: Interval, correction: np.ndarray) -> float:
        """Probability that the difference of two concepts is clear of 0 once all rows are rendered."""
        rows, n_rows = self.looks.sizes[number], self.looks.sizes[-1]
        square = float((correction**2).sum()) * rows / n_rows**2
        left = (1 / rows - 1 / n_rows) * square  # variance that the rows to come take away
        final = float(stats.norm.isf((1 - self.looks.pair_levels[-1]) / 2)) * np.sqrt(max(found.se**2 - left, 0.0))
        if left == 0:
            return float(abs(found.value) > final)
        return float(stats.norm.cdf((abs(found.value) - final) / np.sqrt(left)))

    def _settled(self, j: int, hopeless: np.ndarray) -> bool:
        known = hopeless | self.above[j] | self.above[:, j] | ((self.side < 0) & (self.side[j] > 0))
        known[j] = True
        return bool(known.all())

    def certain(self) -> np.ndarray:
        """Bool (D, D): `above`, with what follows from the bound and from other pairs."""
        order = self.above | ((self.side[:, None] > 0) & (self.side[None] < 0))
        for middle in range(len(order)):
            order |= order[:, [middle]] & order[[middle]]
        return np.asarray(order)

    def ranks(self) -> tuple[np.ndarray, np.ndarray]:
        """Best and worst rank (D,) that each concept can have, 1 = most important."""
        order = self.certain()
        return 1 + order.sum(axis=0), len(order) - order.sum(axis=1)


def _side(found: Interval) -> int:
    return int(found.low > 0) - int(found.high < 0)
