"""What caption flips do to images, and what that does to the target: an instrumental regression over rows.

A caption flip is an instrument: it pushes a concept in the image, imperfectly (weak generation) and not alone
(leakage), and it reaches the target model only through the image. A concept classifier measures the push. Changes
between the two states of a row are regressed on one another by two-stage least squares; its own errors are taken out
with the help of labelled real images. Levels of concepts are on the scale of presence: 0 and 1 are what is seen, on
average, in real images without and with the concept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genlens.importance.flips import FlipScores
from genlens.importance.inference import cluster_sums

Pairs = tuple[tuple[int, int], ...]
"""Concepts (k, l), k < l, whose interaction is in the model."""

MIN_DETECTION = 0.2
"""Least rise of a concept's score with its presence in real images that still counts as seeing it."""
MAX_CONFUSION = 0.1
"""Most of a withheld concept's effect that another concept's estimate may take up."""
LIKENESS = 0.02
"""Weight of a row for another that differs in one concept, where effects beyond the regression are averaged."""
_LITTLE = 0.01  # weight of flips at which that average is halved
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
    """

    seen: np.ndarray
    used: np.ndarray
    withheld: tuple[str, ...]
    first_stage: np.ndarray
    f_statistic: np.ndarray
    detection: np.ndarray

    def levels(self, flips: FlipScores, correct_errors: bool) -> np.ndarray:
        """Levels (n, U, 2, U) of the used concepts in the images of their flips."""
        kept = np.searchsorted(self.seen, self.used)
        return presence_levels(flips, self.seen, correct_errors)[:, kept][..., kept]


def detection(present: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How the concept classifier's scores answer to true presence: scores = base + presence @ response.

    Args:
        present: (N, D) bool.
        scores: (N, D) on the same images.

    Returns:
        base (D,), and response (D, D): entry [j, k] is the rise of score k when concept j is present. For a classifier
        that says 0 or 1 and mixes up nothing it is the diagonal of true positive rate - false positive rate.
    """
    design = np.column_stack([np.ones(len(present)), present])  # (N, 1 + D)
    coefficients = np.linalg.lstsq(design, scores, rcond=None)[0]
    return coefficients[0], coefficients[1:]


def presence_levels(flips: FlipScores, seen: np.ndarray, correct_errors: bool) -> np.ndarray:
    """Levels (N, V, 2, V) of the V concepts seen, unbiased for presence where errors are as on real images."""
    scores = flips.concepts[:, seen][..., seen]
    if not correct_errors:
        return scores
    base, response = detection(flips.present[:, seen], flips.real_concepts[:, seen])
    return np.asarray((scores - base) @ np.linalg.pinv(response))


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
    reasons = [_unseen(rise) if rise < MIN_DETECTION else "" for rise in np.diag(response)]
    seen = np.flatnonzero([not reason for reason in reasons])
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
    return Strength(seen, seen[kept], tuple(reasons), first, f_statistic, response)


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
    return f"the concept classifier doesn't see it: its score rises by {rise:.2f} < {MIN_DETECTION} in real images"


def confusable(changes: np.ndarray, kept: Sequence[int], dropped: int) -> np.ndarray:
    """How much of a dropped concept's effect each kept concept's estimate takes up, (len(kept),).

    Args:
        changes: (V, V) mean change of k when j is flipped.
        kept: concepts whose effects are estimated.
        dropped: one whose effect isn't.
    """
    return np.asarray(np.linalg.pinv(changes[np.ix_(kept, kept)]) @ changes[kept, dropped])


@dataclass(frozen=True, eq=False)
class Effects:
    """Target score = ... + levels @ main + sum over pairs of interaction * level * level.

    Args:
        main: (D,), NaN for concepts that weren't used.
        interaction: (P,), one a pair.
        pairs: P pairs of concepts.
        influence: (N, P) influence of each row on the interactions.
        residuals: (N, U) what is left of the target's change for each concept used.
    """

    main: np.ndarray
    interaction: np.ndarray
    pairs: Pairs
    influence: np.ndarray
    residuals: np.ndarray

    def of_rows(self, present: np.ndarray) -> np.ndarray:
        """Effect (N, D) of each concept in rows whose other concepts are as given by present (N, D)."""
        result = np.tile(self.main, (len(present), 1))
        for (j, k), value in zip(self.pairs, self.interaction, strict=True):
            result[:, j] += value * present[:, k]
            result[:, k] += value * present[:, j]
        return result

    def z_values(self, clusters: np.ndarray | None = None) -> np.ndarray:
        """Interactions over their standard errors, (P,)."""
        sums = [cluster_sums(column, clusters) for column in self.influence.T]
        errors = np.array([np.sqrt((column**2).sum()) / len(self.influence) for column in sums])
        return np.asarray(self.interaction / np.maximum(errors, np.sqrt(_NO_NOISE)))


def two_stage(flips: FlipScores, levels: np.ndarray, used: np.ndarray, pairs: Pairs = ()) -> Effects:
    """Two-stage least squares of the target's change on the changes of levels and of products of levels.

    Instruments: the flip of concept j, and for each pair that j is in the flip times the other's presence in the row.

    Args:
        flips: scores of both states.
        levels: (N, U, 2, U) levels of the concepts used, see `Strength.levels`.
        used: (U,) their numbers.
        pairs: interactions to estimate, of concepts used.
    """
    n_rows, n_used = levels.shape[:2]
    first, second = np.searchsorted(used, np.array(pairs, dtype=np.int64).reshape(-1, 2)).T
    terms = np.concatenate([levels, levels[..., first] * levels[..., second]], axis=-1)  # (N, U, 2, K)
    changes = terms[:, :, 1] - terms[:, :, 0]  # (N, U, K)
    fitted = np.empty_like(changes)
    for u, j in enumerate(used):
        partners = [m if k == j else k for k, m in pairs if j in (k, m)]
        instruments = np.column_stack([np.ones(n_rows), flips.present[:, partners]])
        slopes = np.linalg.pinv(instruments.T @ instruments) @ (instruments.T @ changes[:, u])
        fitted[:, u] = instruments @ slopes
    answer = flips.target[:, used, 1] - flips.target[:, used, 0]  # (N, U)
    n_terms = changes.shape[-1]
    flat = fitted.reshape(n_rows * n_used, n_terms)
    bread = np.linalg.pinv(flat.T @ flat)
    coefficients = bread @ (flat.T @ answer.ravel())
    residuals = answer - changes @ coefficients
    scores = (fitted * residuals[..., None]).sum(axis=1)  # (N, K)
    main = np.full(flips.present.shape[1], np.nan)
    main[used] = coefficients[:n_used]
    return Effects(main, coefficients[n_used:], pairs, (n_rows * scores @ bread)[:, n_used:], residuals)


def row_effects(effects: Effects, present: np.ndarray, levels: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Effect (N, D) of each concept in each row: of the regression, plus what flips in like rows say beyond it.

    The residuals of flips that show, and move nothing else, are averaged over rows of like concepts (each concept that
    differs divides the weight by 1 / LIKENESS) and centred, so that the regression's mean effect stands: it is free of
    the concept classifier's errors, the choice of flips that show is not.

    Args:
        effects: see `two_stage`.
        present: (N, D) bool.
        levels: (N, U, 2, U) as for `two_stage`.
        used: (U,) concepts.
    """
    result = effects.of_rows(present)
    changes = levels[:, :, 1] - levels[:, :, 0]  # (N, U, U)
    own = np.einsum("nuu->nu", changes)
    shown = np.clip(own - (np.abs(changes).sum(axis=2) - np.abs(own)), 0, 1)  # (N, U)
    kinds, kind = np.unique(present[:, used], axis=0, return_inverse=True)  # (Q, U), (N,)
    differs = kinds[:, None] != kinds[None]  # (Q, Q, U)
    distance = differs.sum(axis=2)
    for u, j in enumerate(used):
        alike = LIKENESS ** (distance - differs[:, :, u])
        mass = alike @ np.bincount(kind, weights=shown[:, u])
        total = alike @ np.bincount(kind, weights=shown[:, u] * effects.residuals[:, u])
        local = (total / (mass + _LITTLE))[kind]
        result[:, j] += local - local.mean()
    return result
