"""Agreement of verdicts with people's annotation, and of the people with one another.

Spurious features are rare (630 of 5,000 in Salient ImageNet), so "always core" already agrees with 87.4% of the pairs.
Plain agreement is therefore never shown alone: balanced accuracy and F1 of spurious stand beside it, and what the
constant answer scores. Pairs of one class are alike, so intervals draw whole classes again. A perfect result stays
perfect in every resample, so an end at 0 or 1 is moved to that of Wilson's interval with the classes as trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genlens.errors import UserError, check_integer
from genlens.findings.verdict import Verdict
from genlens.importance.bootstrap import percentile_interval, resample_weights
from genlens.proportions import wilson_interval

VERDICTS: tuple[Verdict, ...] = ("core", "spurious", "undecided")
_CHUNK = 500


@dataclass(frozen=True)
class Measured:
    """A figure with its interval.

    Attributes:
        value: NaN where it is undefined.
        low: lower end.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """``0.874 [0.859, 0.888]``."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Agreement:
    """How verdicts agree with annotation. An undecided pair counts as wrong, except in `of_decided`.

    Attributes:
        n: pairs.
        n_spurious: of them annotated as spurious.
        n_undecided: pairs without a verdict.
        agreement: share of pairs with the annotated verdict.
        balanced_accuracy: mean of the shares found among core and among spurious pairs.
        f1_spurious: harmonic mean of precision and recall of "spurious".
        precision_spurious: share annotated as spurious among those called so.
        recall_spurious: share called spurious among those annotated so.
        of_decided: balanced accuracy over pairs with a verdict.
        always_core: agreement that "always core" reaches (its balanced accuracy is .5, its F1 0).
    """

    n: int
    n_spurious: int
    n_undecided: int
    agreement: Measured
    balanced_accuracy: Measured
    f1_spurious: Measured
    precision_spurious: Measured
    recall_spurious: Measured
    of_decided: Measured
    always_core: Measured


def agreement_with(
    truth: ArrayLike,
    verdicts: Sequence[str],
    clusters: ArrayLike,
    *,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Agreement:
    """Compare verdicts with annotation.

    Args:
        truth: (P,) whether the pair is annotated as spurious.
        verdicts: P times "core", "spurious" or "undecided".
        clusters: (P,) the class of each pair; classes are drawn as a whole.
        n_resamples: of the bootstrap.
        confidence: of the intervals.
        seed: of the resamples.

    Raises:
        UserError: no pairs, lengths that differ, an unknown verdict, or annotation with one side only.
    """
    spurious, groups = np.asarray(truth, dtype=bool), np.asarray(clusters)
    strange = sorted(set(verdicts) - set(VERDICTS))
    if strange:
        raise UserError(f"Verdicts must be {', '.join(VERDICTS)}; got {strange[0]!r}.")
    if not len(spurious) or not len(spurious) == len(verdicts) == len(groups):
        raise UserError(f"Give one verdict and one class a pair; got {len(spurious)}, {len(verdicts)}, {len(groups)}.")
    if spurious.all() or not spurious.any():
        raise UserError("Agreement needs core and spurious pairs; the annotation has only one of them.")
    check_integer("n_resamples", n_resamples, 1)
    called = np.array([VERDICTS.index(v) for v in verdicts])
    cells = np.stack([(spurious == side) & (called == v) for side in (False, True) for v in range(3)])  # (6, P)
    parts = [_figures(np.ones((1, len(spurious))), cells)]
    rng = np.random.default_rng(seed)
    parts += [_figures(w, cells) for w in resample_weights(len(spurious), n_resamples, rng, groups, _CHUNK)]
    values = np.concatenate(parts, axis=1)  # (7, 1 + K)
    n_groups = len(np.unique(groups))
    measured = [Measured(float(row[0]), *_interval(float(row[0]), row[1:], n_groups, confidence)) for row in values]
    return Agreement(len(spurious), int(spurious.sum()), int((called == 2).sum()), *measured)


def _interval(
    value: float, resamples: NDArray[np.float64], n_groups: int, confidence: float
) -> tuple[float, float]:
    if not np.isfinite(resamples).any():
        return float("nan"), float("nan")
    low, high = percentile_interval(resamples, confidence)
    if value == 1:
        low = min(low, wilson_interval(n_groups, n_groups, confidence)[0])
    if value == 0:
        high = max(high, wilson_interval(0, n_groups, confidence)[1])
    return low, high


def _figures(weights: NDArray[np.float64], cells: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The seven figures, (7, K), of weights (K, P) of the pairs."""
    core_right, core_called_spurious, core_open, called_core, found, left_open = (weights @ cells.T).T
    core, spurious = core_right + core_called_spurious + core_open, called_core + found + left_open
    recall_core, recall = _ratio(core_right, core), _ratio(found, spurious)
    decided = (_ratio(core_right, core - core_open) + _ratio(found, spurious - left_open)) / 2
    return np.stack([
        (core_right + found) / (core + spurious), (recall_core + recall) / 2,
        _ratio(2 * found, found + core_called_spurious + spurious), _ratio(found, found + core_called_spurious), recall,
        decided, core / (core + spurious),
    ])  # fmt: skip


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    undefined = np.full(len(numerator), np.nan)
    result: NDArray[np.float64] = np.divide(numerator, denominator, out=undefined, where=denominator > 0)
    return result


def fleiss_kappa(counts: ArrayLike) -> float:
    """Chance-corrected agreement of a fixed number of raters (Fleiss 1971): 1 is perfect, 0 what chance gives.

    Args:
        counts: (P, K) how many raters put item p into category k; every item has the same number of raters, two or
            more.

    Raises:
        UserError: rows differ in their number of raters, or one rater an item.
    """
    table = _ratings(counts)
    raters = table.sum(axis=1)
    if len(set(raters)) != 1 or raters[0] < 2:
        raise UserError("Fleiss' kappa needs the same number of raters, two or more, for every item.")
    n = float(raters[0])
    observed = float(((table**2).sum(axis=1) - n).mean() / (n * (n - 1)))
    expected = float(((table.sum(axis=0) / table.sum()) ** 2).sum())
    return 1.0 if expected == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(counts: ArrayLike) -> float:
    """Krippendorff's alpha for nominal categories; items may have different numbers of raters.

    Items with one rating tell nothing and are left out (Krippendorff 2011, "Computing Krippendorff's
    alpha-reliability").

    Args:
        counts: (P, K) as in `fleiss_kappa`.

    Raises:
        UserError: no item has two ratings.
    """
    table = _ratings(counts)
    table = table[table.sum(axis=1) >= 2]
    if not len(table):
        raise UserError("Krippendorff's alpha needs an item with two ratings.")
    raters = table.sum(axis=1, keepdims=True)
    agreeing = float((table * (table - 1) / (raters - 1)).sum())
    totals, n = table.sum(axis=0), float(table.sum())
    chance = float((totals * (totals - 1)).sum())
    if chance == n * (n - 1):
        return 1.0
    return ((n - 1) * agreeing - chance) / (n * (n - 1) - chance)


def _ratings(counts: ArrayLike) -> NDArray[np.float64]:
    table: Any = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2 or not table.size or (table < 0).any():
        raise UserError(f"Ratings must be counts (items, categories) >= 0; got the shape {table.shape}.")
    result: NDArray[np.float64] = table
    return result
