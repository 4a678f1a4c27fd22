"""Core, spurious or undecided: from counts and activations to a verdict with its reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genlens.segmenters.calibration import Share

Verdict = Literal["core", "spurious", "undecided"]


@dataclass(frozen=True)
class Part:
    """How much of a feature's activation the object carries, on average over pictures.

    Attributes:
        n: pictures that activate the feature.
        mean: the mean part, in [0, 1]; NaN without such pictures.
        low: lower end of its interval.
        high: upper end.
    """

    n: int
    mean: float
    low: float
    high: float


def mean_part(parts: NDArray[np.float64], confidence: float = 0.95, seed: int = 0, n_resamples: int = 2000) -> Part:
    """Mean of parts (n,), NaN left out, with a bootstrap interval over pictures.

    Two pictures whose part is 0 or 1 by chance are added to each resample, so that a few equal pictures don't claim
    certainty.
    """
    values = parts[~np.isnan(parts)]
    if not len(values):
        return Part(0, float("nan"), 0.0, 1.0)
    rng = np.random.default_rng(seed)
    drawn = values[rng.integers(0, len(values), (n_resamples, len(values)))]
    means = (drawn.sum(axis=1) + rng.binomial(2, 0.5, n_resamples)) / (len(values) + 2)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    mean = float(values.mean())
    return Part(len(values), mean, min(float(low), mean), max(float(high), mean))


def by_presence(share: Share, threshold: float) -> Verdict:
    """DiffExplainer's rule with an interval: object there -> core, absent -> spurious.

    Args:
        share: of the feature's pictures that show the object.
        threshold: share that divides the two, in (0, 1).
    """
    return "core" if share.low >= threshold else "spurious" if share.high < threshold else "undecided"


def by_part(part: Part, threshold: float) -> Verdict:
    """Whether the object carries the feature, not merely is there."""
    return "core" if part.low >= threshold else "spurious" if part.high < threshold else "undecided"


NEARLY = 2 / 3
"""What the object must reach under the class's name to do nearly as well as all that the feature's pictures show."""


def by_object(part: Part, reach: Part, threshold: float) -> Verdict:
    """Core where the object carries the feature, or does nearly as well alone; spurious where neither is so.

    A feature may answer to the object as much as to something else, such as another thing of the same colour, of which
    the optimised prompt happens to show one. It isn't spurious for that.

    Args:
        part: of the activation of the optimised prompt's pictures, the object's.
        reach: what the object carries under the class's name, as a share of the same activation.
        threshold: of `part`; that of `reach` is `NEARLY`, or this if it is higher.
    """
    found = {by_part(part, threshold), by_part(reach, max(threshold, NEARLY))}
    return "core" if "core" in found else "spurious" if found == {"spurious"} else "undecided"


def reasons(share: Share, part: Part, reach: Part, class_share: float, plain_share: float, threshold: float) -> str:
    """One or two sentences on what the verdict rests on.

    Args:
        share: of the feature's pictures that show the object.
        part: of the activation that the object carries.
        reach: what it carries under the class's name, as a share of the same activation.
        class_share: share of pictures of the class-name prompt that show it.
        plain_share: share of pictures of the unoptimised prompt that show it.
        threshold: of both rules.
    """
    if not part.n:
        return "No picture activates the feature: optimisation failed, so nothing can be said."
    seen = f"{share.estimate:.0%} of its pictures show the object ({plain_share:.0%} without optimisation"
    seen += f", {class_share:.0%} under the class's name)"
    carried = f"it carries {part.mean:.0%} of the activation"
    presence, carrying = by_presence(share, threshold), by_part(part, threshold)
    if carrying != "core" and by_object(part, reach, threshold) == "core":
        return f"{seen}; {carried}, but under the class's name the object alone reaches {reach.mean:.0%} of it."
    if presence == "core" and carrying == "spurious":
        return f"{seen}, but along for the ride: {carried}."
    if carrying == "undecided" and 0.25 < part.mean < 0.75:
        return f"{seen}; {carried}: the feature answers to both the object and something else."
    if presence == "spurious" and carrying == "core":
        return f"{seen}; where it is seen, {carried}. Look at the pictures."
    return f"{seen}; {carried}."
