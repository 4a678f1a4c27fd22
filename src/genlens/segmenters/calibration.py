"""How often a segmenter errs, and shares of pictures corrected for it.

A segmenter that sees an object in 3% of the pictures without one, and misses it in 8% of those with one, distorts every
share it counts. Both rates are measured on pictures of which the answer is known. The corrected share is the estimator
of Rogan and Gladen (1978, Am J Epidemiol 107:71), its interval that of Lang and Reiczigel (2014, Prev Vet Med 113:13),
which carries the uncertainty of all three counts and holds its coverage where rates are near 0 or 1.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.annotation import LabelErrors
from genlens.errors import UserError, check_integer
from genlens.segmenters.presence import Presence
from genlens.segmenters.protocol import Segmenter

MIN_SKILL = 0.2
"""Least difference between the rates of seeing the object with and without it, for a correction to make sense."""


@dataclass(frozen=True)
class Calibration(LabelErrors):
    """What a segmenter said about pictures of which the answer is known, at least one with the object, one without."""

    def __post_init__(self) -> None:
        """Check the counts."""
        for total in ("n_with", "n_without"):
            check_integer(total, getattr(self, total), 1)
        super().__post_init__()

    @property
    def false_absent(self) -> float:
        """Share of pictures with the object in which it was missed."""
        return 1 - self.sensitivity

    @property
    def false_present(self) -> float:
        """Share of pictures without the object in which it was seen."""
        return self.imagined / self.n_without

    @property
    def skill(self) -> float:
        """Youden's J: 1 for a perfect segmenter, 0 for one that knows nothing."""
        return 1 - self.false_absent - self.false_present

    def spec(self) -> dict[str, Any]:
        """Counts as a JSON-able mapping."""
        return asdict(self)


@dataclass(frozen=True)
class Share:
    """A share of pictures in which an object is present.

    Attributes:
        n: pictures.
        counted: those in which the segmenter saw it.
        estimate: the share, corrected for the segmenter's errors, in [0, 1].
        low: lower end of the interval.
        high: upper end.
    """

    n: int
    counted: int
    estimate: float
    low: float
    high: float

    @property
    def raw(self) -> float:
        """The share as counted."""
        return self.counted / self.n


def calibrate(
    segmenter: Segmenter,
    text: str,
    with_object: NDArray[np.uint8],
    without_object: NDArray[np.uint8],
    presence: Presence | None = None,
) -> Calibration:
    """Measure a segmenter's errors.

    Args:
        segmenter: what is measured.
        text: what it is asked for.
        with_object: images (B, H, W, 3) that show it.
        without_object: images that don't; as like the others as can be had.
        presence: when an object counts as present.
    """
    rule = presence or Presence()
    seen = rule.present(segmenter.segment(with_object, text))
    imagined = rule.present(segmenter.segment(without_object, text))
    return Calibration(len(seen), int(seen.sum()), len(imagined), int(imagined.sum()))


def corrected_share(counted: int, n: int, calibration: Calibration, confidence: float = 0.95) -> Share:
    """The share of pictures that show the object, corrected for the segmenter's errors.

    Args:
        counted: pictures in which the segmenter saw it.
        n: pictures, independent of one another.
        calibration: the segmenter's errors.
        confidence: of the interval, in (0, 1).

    Returns:
        The estimate (q - f) / (s - f) of share q, sensitivity s and false-present rate f, with its interval, both
        clipped to [0, 1].

    Raises:
        UserError: counts don't fit, or the segmenter tells too little: `MIN_SKILL`.
    """
    n = check_integer("n", n, 1)
    if check_integer("counted", counted, 0) > n:
        raise UserError(f"`counted` must be at most `n`; got {counted} of {n}.")
    if not 0 < confidence < 1:
        raise UserError(f"`confidence` must be between 0 and 1; got {confidence}.")
    if calibration.skill < MIN_SKILL:
        raise UserError(
            f"The segmenter sees the object in {1 - calibration.false_absent:.0%} of the pictures with it and in "
            f"{calibration.false_present:.0%} of those without: too alike to correct a share. Use another segmenter, "
            "text or threshold."
        )
    estimate = (counted / n - calibration.false_present) / calibration.skill
    low, high = _interval(counted, n, calibration, NormalDist().inv_cdf((1 + confidence) / 2))
    estimate = min(max(estimate, 0.0), 1.0)
    return Share(n, counted, estimate, min(low, estimate), max(high, estimate))


def _interval(counted: int, n: int, calibration: Calibration, z: float) -> tuple[float, float]:
    """Lang and Reiczigel's interval: counts a little towards the middle, delta method, shift for the skewness."""
    n_share, n_seen, n_clear = n + z * z, calibration.n_with + 2, calibration.n_without + 2
    share = (counted + z * z / 2) / n_share
    sensitivity = (calibration.seen + 1) / n_seen
    specificity = (calibration.n_without - calibration.imagined + 1) / n_clear
    skill = sensitivity + specificity - 1
    centre = (share + specificity - 1) / skill
    from_seen = sensitivity * (1 - sensitivity) / n_seen
    from_clear = specificity * (1 - specificity) / n_clear
    variance = share * (1 - share) / n_share + centre**2 * from_seen + (1 - centre) ** 2 * from_clear
    shift = 2 * z * z * (centre * from_seen - (1 - centre) * from_clear)
    half = z * math.sqrt(variance) / skill
    return max(0.0, min(1.0, centre + shift - half)), max(0.0, min(1.0, centre + shift + half))
