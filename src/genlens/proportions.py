"""Intervals of proportions, right for small counts and near 0 and 1."""

from __future__ import annotations

import math
from statistics import NormalDist

from genlens.errors import UserError


def wilson_interval(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927; Brown, Cai and DasGupta 2001).

    Args:
        successes: how many of `n`, in 0..n; halves are legal where a tie counts half.
        n: trials, >= 0; with none the interval is (0, 1).
        confidence: in (0, 1).

    Raises:
        UserError: a value out of its range.
    """
    if not 0 < confidence < 1:
        raise UserError(f"`confidence` must lie between 0 and 1; got {confidence!r}.")
    if not 0 <= successes <= n:
        raise UserError(f"`successes` must lie in 0..{n}, the number of trials; got {successes!r}.")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, scale = successes / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    return (0.0 if successes == 0 else middle - reach), (1.0 if successes == n else middle + reach)
