"""How well methods agree with an oracle over the models of one setting, withheld figures left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
N_RESAMPLES = 2000


@dataclass(frozen=True)
class Agreement:
    """Agreement of a method with an oracle.

    Attributes:
        r: Pearson's correlation over all (model, concept) pairs that aren't withheld.
        low: of its 95% bootstrap interval over models.
        high: of it.
        slope: of the least-squares line method = intercept + slope * oracle.
        top: share of the models whose largest concept is the oracle's; a withheld concept is never the largest.
        pairs: pairs that count.
    """

    r: float
    low: float
    high: float
    slope: float
    top: float
    pairs: int


def agreement(method: Floats, oracle: Floats, seed: int = 0) -> Agreement:
    """Compare two (M, D) arrays; NaN in `method` is what it withholds.

    Args:
        method: (M, D).
        oracle: (M, D), finite.
        seed: of the bootstrap over models.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(method), size=(N_RESAMPLES, len(method)))
    resampled = np.array([_r(method[rows], oracle[rows]) for rows in drawn])
    resampled = resampled[np.isfinite(resampled)]
    low, high = np.quantile(resampled, [0.025, 0.975]) if len(resampled) else (np.nan, np.nan)
    known = np.isfinite(method)
    x, y = oracle[known], method[known]
    slope = float(np.polyfit(x, y, 1)[0]) if len(x) > 1 and np.ptp(x) else float("nan")
    shown = known.any(axis=1)
    top = np.where(known, method, -np.inf).argmax(axis=1) == oracle.argmax(axis=1)
    share = float((top & shown).mean())
    return Agreement(_r(method, oracle), float(low), float(high), slope, share, int(known.sum()))


def _r(method: Floats, oracle: Floats) -> float:
    known = np.isfinite(method)
    x, y = method[known], oracle[known]
    if len(x) < 3 or not np.ptp(x) or not np.ptp(y):
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
