"""How many rows and noise draws an importance, or the difference of two, needs in order to be found.

An estimate over N rows and R draws has the variance v / N, where v = rows + noise / R is the variance of one row's
influence (`inference`). Two facts make v predictable. The drop of an AUROC is quadratic in how far a concept moves the
scores and a row's influence is linear in it, so the rows' part grows in proportion to the importance; and it is larger
for a rare concept, whose rows carry it. The noise's part is what a concept of importance 0 has: with common noise and a
generator that changes nothing else it would be 0. `benchmarks/power.py` measures both and holds the predicted power
against the simulated one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import nnls

from genlens.errors import UserError
from genlens.importance.result import ImportanceResult

MIN_ROWS = 50
"""Fewer rows are never advised: below, the normal approximation doesn't hold."""
MAX_DRAWS = 16
"""More noise draws are never advised."""


@dataclass(frozen=True)
class Spread:
    """Variance of one row's influence on an importance.

    Args:
        per_importance: the rows' part, for each unit of importance.
        noise: the generator's part, at one draw.
        source: where the figures are from, in words.
    """

    per_importance: float
    noise: float
    source: str

    def variance(self, importance: float, n_draws: int = 1) -> float:
        """Variance of one row's influence; over N rows the importance has this / N."""
        return self.per_importance * abs(importance) + self.noise / n_draws

    def error(self, importance: float, n_rows: int, n_draws: int = 1) -> float:
        """Standard error of the importance."""
        return math.sqrt(self.variance(importance, n_draws) / n_rows)


def default_spread(prevalence: float) -> Spread:
    """What `benchmarks/power.py` measured: AUROC drops, noise of .15 standard deviations of the score in every image.

    Args:
        prevalence: share of rows that have the concept, in (0, 1).

    Raises:
        UserError: the share is 0 or 1.
    """
    if not 0 < prevalence < 1:
        raise UserError(f"`prevalence` must lie between 0 and 1; got {prevalence!r}. The concept is constant.")
    rarity = (4 * prevalence * (1 - prevalence)) ** (-2 / 3)
    return Spread(0.55 * rarity, 0.005, f"defaults for AUROC drops at prevalence {prevalence:.2f}")


def pilot_spread(result: ImportanceResult) -> Spread:
    """Learn the spread from a finished run.

    With two draws or more the run's split of the variance tells rows from noise; with one draw they are told apart
    by least squares over the concepts, noise being what a concept of importance 0 has.

    Args:
        result: of a run with the same model, generator and score as the one that is planned.

    Raises:
        UserError: the run has no standard errors.
    """
    n_draws = int(result.settings.get("n_draws", 1))
    known = np.isfinite(result.se) & np.isfinite(result.importance)
    if not known.any() or not result.se[known].any() or result.n_rows < 2:
        raise UserError("The pilot run has no standard errors to learn from; take one with more rows.")
    sizes = np.abs(result.importance[known])
    source = f"a pilot run of {result.n_rows:,} rows, {n_draws} draw{'s' if n_draws > 1 else ''}, {len(sizes)} concepts"
    split = _saved_split(result)
    if split is not None:
        return split_spread(result.importance, split[0] * result.n_rows, split[1] * result.n_rows * n_draws, source)
    variances = result.se[known] ** 2 * result.n_rows
    relative = 1 / np.maximum(variances, 1e-12)  # weights: a variance is known to a share of itself
    design = np.stack([sizes, np.full(len(sizes), 1 / n_draws)], axis=1)
    if len(sizes) == 1:
        noise = min(default_spread(0.5).noise, float(variances[0]) * n_draws)
        return Spread(max(float(variances[0]) - noise / n_draws, 0.0) / max(float(sizes[0]), 1e-12), noise, source)
    slope, noise = nnls(design * relative[:, None], variances * relative)[0]
    return Spread(float(slope), float(noise), source)


def split_spread(importance: np.ndarray, rows: np.ndarray, noise: np.ndarray, source: str) -> Spread:
    """The spread that the variances of D concepts' influences show.

    Args:
        importance: (D,) as estimated; those of ignored concepts lie on both sides of 0 and cancel in the sum.
        rows: (D,) the rows' part of the variance.
        noise: (D,) the noise's part, at one draw.
        source: where the figures are from, in words.
    """
    total = float(importance.sum())
    total = total if total > 0 else float(np.abs(importance).sum())
    slope = max(float(rows.sum()), 0.0) / total if total > 0 else default_spread(0.5).per_importance
    return Spread(slope, float(noise.mean()), source)


def _saved_split(result: ImportanceResult) -> np.ndarray | None:
    """(2, D) variances of the importances from rows and from noise, where the run has split them."""
    for analysis in result.analyses:
        if analysis.code == "variance" and len(analysis.table) == len(result.concepts):
            parts = [[record.get("from_rows"), record.get("from_noise")] for record in analysis.table]
            table = np.array(parts, dtype=np.float64).T ** 2
            return table if np.isfinite(table).all() else None
    return None


def importance_power(importance: float, n_rows: int, n_draws: int, spread: Spread, alpha: float = 0.05) -> float:
    """Chance that a one-sided interval of level 1 - alpha excludes 0.

    Args:
        importance: the true one, > 0.
        n_rows: N.
        n_draws: R.
        spread: variance of a row's influence.
        alpha: level of the test, in (0, .5).
    """
    return _chance(importance, spread.error(importance, n_rows, n_draws), 1 - alpha)


def difference_power(
    difference: float, smaller: float, n_rows: int, n_draws: int, spread: Spread, alpha: float = 0.05
) -> float:
    """Chance that a two-sided interval of the difference of two importances excludes 0, on the right side.

    Args:
        difference: larger - smaller importance, > 0.
        smaller: the smaller importance, >= 0.
        n_rows: N.
        n_draws: R.
        spread: variance of a row's influence.
        alpha: level of the test, in (0, .5).
    """
    error = math.sqrt(_pair_variance(difference, smaller, n_draws, spread) / n_rows)
    return _chance(difference, error, 1 - alpha / 2)


def rows_for_importance(
    importance: float, n_draws: int, spread: Spread, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Fewest rows with which `importance_power` reaches `power`, but at least `MIN_ROWS`."""
    quantiles = float(stats.norm.ppf(1 - alpha) + stats.norm.ppf(power))
    return _rows(quantiles, spread.variance(importance, n_draws), importance)


def rows_for_difference(
    difference: float, smaller: float, n_draws: int, spread: Spread, alpha: float = 0.05, power: float = 0.8
) -> int:
    """Fewest rows with which `difference_power` reaches `power`, but at least `MIN_ROWS`."""
    quantiles = float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power))
    return _rows(quantiles, _pair_variance(difference, smaller, n_draws, spread), difference)


def draws_needed(rows_at: Callable[[int], int], n_rows: int) -> int | None:
    """Fewest draws, up to `MAX_DRAWS`, with which `n_rows` rows are enough; None where no number of draws is.

    Args:
        rows_at: rows needed at a number of draws.
        n_rows: the rows there are.
    """
    return next((n_draws for n_draws in range(1, MAX_DRAWS + 1) if rows_at(n_draws) <= n_rows), None)


def check_power(difference: float, alpha: float, power: float) -> None:
    """Raise a UserError unless size, level and power are numbers that can be planned for."""
    if not (math.isfinite(difference) and difference > 0):
        raise UserError(f"`--power` must be an importance > 0, such as 0.02; got {difference}.")
    if not 0 < alpha < 0.5:
        raise UserError(f"`--alpha` must lie between 0 and 0.5, such as 0.05; got {alpha}.")
    if not alpha < power < 1:
        raise UserError(f"`--target-power` must lie between alpha ({alpha}) and 1, such as 0.8; got {power}.")


def _pair_variance(difference: float, smaller: float, n_draws: int, spread: Spread) -> float:
    """Of the difference of two influences, taken as independent: what they share makes the true one smaller."""
    return spread.variance(smaller, n_draws) + spread.variance(smaller + difference, n_draws)


def _chance(size: float, error: float, level: float) -> float:
    """That an estimate of this error exceeds the quantile of `level` under "nothing is there"."""
    if error == 0:
        return 1.0 if size > 0 else 1 - level
    return float(stats.norm.cdf(size / error - stats.norm.ppf(level)))


def _rows(quantiles: float, variance: float, size: float) -> int:
    return max(MIN_ROWS, math.ceil((quantiles / size) ** 2 * variance))
