"""What caption flips do to images: the first stage of an instrumental regression over rows.

A caption flip is an instrument: it pushes a concept in the image, imperfectly (weak generation) and not alone
(leakage), and it reaches the target model only through the image. A concept classifier measures the push; its own
errors are taken out with the help of labelled real images. Levels of concepts are on the scale of presence: 0 and 1
are what is seen, on average, in real images without and with the concept. `genlens.importance.two_stage` takes it from
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genlens.importance.flips import FlipScores
from genlens.importance.inference import cluster_sums

MIN_DETECTION = 0.2
"""Least rise of a concept's score with its presence in real images that still counts as seeing it."""
MAX_CONFUSION = 0.1
"""Most of a withheld concept's effect that another concept's estimate may take up."""
_NO_NOISE = 1e-12  # variance added to the changes' means, so that changes without any noise can be divided by


@dataclass(frozen=True, eq=False)
class Strength:
    """Which effects the flips can tell.

    Args:
        seen: concepts that the concept classifier sees in real images.
        used: those among them whose flips show: the ones whose effects are estimated.
        withheld: (D,) reasons not to report a concept, "" where there is none.
        first_stage: (D, D) mean change of the level of k when the caption's j goes from absent to present.
        f_statistic: (D,) conditional F.
        detection: (D, D) see `detection`.
        error: (D,) standard error of the concept classifier's level in a real image: root mean square distance from
            presence, NaN for concepts that it doesn't see.
    """

    seen: np.ndarray
    used: np.ndarray
    withheld: tuple[str, ...]
    first_stage: np.ndarray
    f_statistic: np.ndarray
    detection: np.ndarray
    error: np.ndarray

    def levels(self, flips: FlipScores, correct_errors: bool, weights: np.ndarray | None = None) -> np.ndarray:
        """Levels (N, U, 2, U) of the used concepts in the images of their flips."""
        scores = flips.concepts[:, self.used][..., self.seen]  # (N, U, 2, V)
        kept = np.searchsorted(self.seen, self.used)
        if not correct_errors:
            return np.asarray(scores[..., kept])
        base, response = detection(flips.present[:, self.seen], flips.real_concepts[:, self.seen], weights)
        return np.asarray((scores - base) @ np.linalg.pinv(response)[:, kept])


def detection(
    present: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """How the concept classifier's scores answer to true presence: scores = base + presence @ response.

    Args:
        present: (N, D) bool.
        scores: (N, D) on the same images.
        weights: (N,) of the rows, or None for equal ones.

    Returns:
        base (D,), and response (D, D): entry [j, k] is the rise of score k when concept j is present. For a classifier
        that says 0 or 1 and mixes up nothing it is the diagonal of true positive rate - false positive rate.
    """
    design = np.column_stack([np.ones(len(present)), present])  # (N, 1 + D)
    weighed = design if weights is None else design * weights[:, None]
    coefficients = np.linalg.pinv(weighed.T @ design) @ (weighed.T @ scores)
    return coefficients[0], coefficients[1:]


def presence_levels(flips: FlipScores, seen: np.ndarray, correct_errors: bool) -> np.ndarray:
    """Levels (N, V, 2, V) of the V concepts seen, unbiased for presence where errors are as on real images."""
    scores = flips.concepts[:, seen][..., seen]
    if not correct_errors:
        return scores
    base, response = detection(flips.present[:, seen], flips.real_concepts[:, seen])
    return np.asarray((scores - base) @ np.linalg.pinv(response))


def _error(flips: FlipScores, seen: np.ndarray) -> np.ndarray:
    """Root mean square distance (V,) of levels from presence in real images."""
    base, response = detection(flips.present[:, seen], flips.real_concepts[:, seen])
    levels = (flips.real_concepts[:, seen] - base) @ np.linalg.pinv(response)
    return np.asarray(np.sqrt(((levels - flips.present[:, seen]) ** 2).mean(axis=0)))


def conditional_f(levels: np.ndarray, clusters: np.ndarray | None = None) -> np.ndarray:
    """Strength (D,) of the instruments for each concept, given that the other concepts' effects are estimated too.

    The conditional F statistic of Sanderson and Windmeijer (2016) in its cluster-robust form (Windmeijer 2021): the
    level of concept k, less the best instrumented combination of the others, should still answer to the flips.

    Args:
        levels: (N, D, 2, D).
        clusters: (N,) dependent rows, or None.
    """
    changes = levels[:, :, 1] - levels[:, :, 0]  # (N, D flipped, D seen)
    means = changes.mean(axis=0)
    result = np.empty(means.shape[1])
    for k in range(means.shape[1]):
        others = np.delete(means, k, axis=1)  # (D, D - 1)
        weight: np.ndarray = np.eye(len(means))
        for _ in range(2):  # least squares, then weighed by the inverse covariance of what is left
            slopes = np.linalg.lstsq(others.T @ weight @ others, others.T @ weight @ means[:, k], rcond=None)[0]
            left = changes[:, :, k] - np.delete(changes, k, axis=2) @ slopes  # (N, D)
            weight = np.linalg.inv(_covariance_of_mean(left, clusters) + _NO_NOISE * np.eye(len(means)))
            mean = left.mean(axis=0)
        result[k] = mean @ weight @ mean
    return result


def _covariance_of_mean(values: np.ndarray, clusters: np.ndarray | None) -> np.ndarray:
    centred = values - values.mean(axis=0)
    sums = np.stack([cluster_sums(column, clusters) for column in centred.T])  # (D, G)
    return np.asarray(sums @ sums.T / len(values) ** 2)


def instrument_strength(
    flips: FlipScores, names: tuple[str, ...], correct_errors: bool, min_f: float, clusters: np.ndarray | None = None
) -> Strength:
    """Find out which concepts' flips show well enough, dropping the weakest until all that are left do.

    A concept whose flips also move a dropped one can't be told apart from it and is withheld as well.

    Args:
        flips: scores of both states.
        names: (D,) concepts.
        correct_errors: see `presence_levels`.
        min_f: least conditional F.
        clusters: (N,) dependent rows, or None.
    """
    response = detection(flips.present, flips.real_concepts)[1]
    error = np.full(len(names), np.nan)
    reasons = [_unseen(rise) if rise < MIN_DETECTION else "" for rise in np.diag(response)]
    seen = np.flatnonzero([not reason for reason in reasons])
    error[seen] = _error(flips, seen)
    levels = presence_levels(flips, seen, correct_errors)
    changes = (levels[:, :, 1] - levels[:, :, 0]).mean(axis=0)  # (V, V)
    first, f_statistic = np.full(response.shape, np.nan), np.full(len(names), np.nan)
    first[np.ix_(seen, seen)] = changes
    kept, dropped = list(range(len(seen))), []
    while kept:
        strength = conditional_f(levels[:, kept][..., kept], clusters)
        f_statistic[seen[kept]] = strength
        if strength.min() >= min_f:
            break
        worst = _worst(levels, kept, strength, clusters)
        reasons[seen[worst]] = f"flips hardly show in the images: conditional F {min(strength):.1f} < {min_f:g}"
        kept.remove(worst)
        dropped.append(worst)
    for k in dropped:
        for j, share in zip(kept, confusable(changes, kept, k), strict=True):
            if abs(share) > MAX_CONFUSION:
                reasons[seen[j]] = (
                    f"flips also move {names[seen[k]]!r} ({share:+.2f}), which can't be told apart from it"
                )
    return Strength(seen, seen[kept], tuple(reasons), first, f_statistic, response, error)


def _worst(levels: np.ndarray, kept: list[int], strength: np.ndarray, clusters: np.ndarray | None) -> int:
    """The concept without which the weakest of the others is strongest; of equals the one that is weakest itself.

    A concept whose flips don't show weakens those it can't be told apart from, so the weakest isn't always at fault.
    """
    without = []
    for k in kept:
        rest = [j for j in kept if j != k]
        without.append(conditional_f(levels[:, rest][..., rest], clusters).min() if rest else 0.0)
    return kept[int(np.lexsort((strength, -np.array(without)))[0])]


def _unseen(rise: float) -> str:
    rise = round(rise, 2) + 0.0  # no "-0.00"
    return f"the concept classifier doesn't see it: its score rises by {rise:.2f} < {MIN_DETECTION} in real images"


def confusable(changes: np.ndarray, kept: Sequence[int], dropped: int) -> np.ndarray:
    """How much of a dropped concept's effect each kept concept's estimate takes up, (len(kept),).

    Args:
        changes: (V, V) mean change of k when j is flipped.
        kept: concepts whose effects are estimated.
        dropped: one whose effect isn't.
    """
    return np.asarray(np.linalg.pinv(changes[np.ix_(kept, kept)]) @ changes[kept, dropped])
