"""Reproducible generation: the same caption and seed must give the same image, whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genlens.errors import UserError
from genlens.importance.result import CheckResult

_TITLE = "Reproducible generation"
_CODE = "reproducible-generation"
_MIN_IMAGES = 3


def reproducible_generation(
    first: Sequence[np.ndarray] | np.ndarray, again: Sequence[np.ndarray] | np.ndarray, *, threshold: float = 1.0
) -> CheckResult:
    """Is the same (caption, seed) rendered alike twice, in another batch?

    Args:
        first: images, uint8 (H, W, 3).
        again: the same ones rendered again.
        threshold: largest mean absolute difference of any image, in levels of 0..255; rounding gives less than 1.

    Raises:
        UserError: the numbers of images differ.
    """
    if len(first) != len(again):
        raise UserError(f"`again` must hold the same images as `first`; got {len(again)} and {len(first)}.")
    if len(first) == 0:
        message = "No image was rendered twice."
        return CheckResult(_CODE, _TITLE, "not applicable", None, threshold, message, "Render some images again.")
    pairs = list(zip(first, again, strict=True))
    levels = [_difference(np.asarray(one), np.asarray(other)) for one, other in pairs]
    worst, changed = max(levels), sum(level > threshold for level in levels)
    message = (
        f"{len(levels)} images rendered twice: {changed} differ by more than {threshold:g} grey levels a pixel on "
        f"average; the largest difference is {worst:.3f}."
    )
    if changed:
        remedy = (
            "The generator doesn't follow its seeds: give every image a random generator of its own and switch "
            "deterministic algorithms on. Until then differences between states contain its noise: raise `n_draws`."
        )
        return CheckResult(_CODE, _TITLE, "failed", worst, threshold, message, remedy)
    if len(levels) < _MIN_IMAGES:
        remedy = f"Render at least {_MIN_IMAGES} images again."
        return CheckResult(_CODE, _TITLE, "undecided", worst, threshold, message, remedy)
    return CheckResult(_CODE, _TITLE, "passed", worst, threshold, message, "")


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference in levels; images of other sizes differ wholly."""
    if one.shape != other.shape:
        return 255.0
    return float(np.abs(one.astype(np.float64) - other).mean())
