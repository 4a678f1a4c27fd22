"""Effects beyond the regression: what flips did to the target in rows that have the same other concepts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

MAX_LIKE = 8
"""Concepts, those of the largest effects, by which rows are alike."""
NEIGHBOUR = 0.1
"""Weight of a kind of row for another that differs in one concept; squared where it differs in two, and so on."""
CLEAR = 0.1
"""Farthest from 0 or 1 that a level may be in an image that counts as clear."""
_LITTLE = 1e-9  # weight that stands for none


@dataclass(frozen=True, eq=False)
class LikeRows:
    """Which flips tell about which rows. A kind is a combination of the concepts other than the one whose effect it is.

    Args:
        flipped: for each of U concepts (N, Q) one-hot, the kind of the images in which it was flipped.
        kinds: for each of them (N, Q) one-hot, the kind of the real row.
        near: for each of them (Q, Q) weight of a kind for another, 0 on the diagonal.
        caution: (U,) flips in a kind whose mean counts as much as that of the kinds near it.
        sharp: the concept classifier makes hardly any errors on real images, so that clear images are what they seem:
            only they are used, and their mean effect stands. Otherwise the regression's mean effect does.
    """

    flipped: tuple[np.ndarray, ...]
    kinds: tuple[np.ndarray, ...]
    near: tuple[np.ndarray, ...]
    caution: np.ndarray
    sharp: bool

    @classmethod
    def of(
        cls, present: np.ndarray, levels: np.ndarray, used: np.ndarray, strength: np.ndarray, sharp: bool
    ) -> LikeRows:
        """Compare images and rows by at most MAX_LIKE concepts.

        Args:
            present: (N, D) bool, the real rows.
            levels: (N, U, 2, U) levels of the concepts used in the images of their flips.
            used: (U,) concepts whose effects are estimated.
            strength: (D,) size of their effects.
            sharp: see above.
        """
        compared = np.sort(np.argsort(-strength[used], kind="stable")[:MAX_LIKE])  # numbers in `used`
        flipped, kinds, near = [], [], []
        for u in range(len(used)):
            others = compared[compared != u]
            rows = present[:, used[others]]
            images = levels[:, u][..., others].mean(axis=1) > 0.5 if sharp else rows  # (N, others)
            found, kind = np.unique(np.concatenate([images, rows]), axis=0, return_inverse=True)
            one_hot = np.eye(len(found))[kind.ravel()]
            distance = (found[:, None] != found[None]).sum(axis=2).astype(np.float64)
            flipped.append(one_hot[: len(rows)])
            kinds.append(one_hot[len(rows) :])
            near.append(np.where(distance > 0, NEIGHBOUR**distance, 0.0))
        return cls(tuple(flipped), tuple(kinds), tuple(near), np.zeros(len(used)), sharp)

    def clean(self, levels: np.ndarray) -> np.ndarray:
        """How far each flip shows and moves nothing else, (N, U) in [0, 1]; 0 where an image isn't clear."""
        changes = levels[:, :, 1] - levels[:, :, 0]  # (N, U, U)
        shown = np.clip(2 * np.einsum("nuu->nu", changes) - np.abs(changes).sum(axis=2), 0, 1)
        if not self.sharp:
            return np.asarray(shown)
        return np.asarray(shown * ~unclear(levels).any(axis=(2, 3)))

    def cautious(self, residuals: np.ndarray, levels: np.ndarray) -> LikeRows:
        """Learn how much the means of kinds are to be trusted: variance within kinds over variance between them.

        The ratio of the components of variance is the weight of the prior in an empirical Bayes mean.

        Args:
            residuals: (N, U) what the regression leaves of the target's changes.
            levels: (N, U, 2, U) levels of the concepts in the images of their flips.
        """
        weights = self.clean(levels)  # (N, U)
        caution = [_caution(kind, weights[:, u], residuals[:, u]) for u, kind in enumerate(self.flipped)]
        return replace(self, caution=np.array(caution))

    def beyond(self, residuals: np.ndarray, levels: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """What clean flips in images like the row say beyond the regression, (N, U).

        Residuals are averaged in each kind, with the kinds near it as a prior. Unless the concept classifier is sharp
        they are centred: the regression's mean effect is free of its errors, the choice of clean flips is not.

        Args:
            residuals: (N, U).
            levels: (N, U, 2, U).
            weights: (N,) of the rows.
        """
        clean = self.clean(levels) * weights[:, None]
        result = np.empty_like(residuals)
        for u, (flipped, kind, near) in enumerate(zip(self.flipped, self.kinds, self.near, strict=True)):
            mass, total = (flipped.T @ np.column_stack([clean[:, u], clean[:, u] * residuals[:, u]])).T  # (Q,)
            prior = (near @ total) / (near @ mass + _LITTLE)
            trust = self.caution[u] + _LITTLE
            local = (total + trust * prior) / (mass + trust)
            rows = weights @ kind
            result[:, u] = kind @ (local if self.sharp else local - rows @ local / rows.sum())
        return result


def unclear(levels: np.ndarray) -> np.ndarray:
    """Levels farther than CLEAR from both 0 and 1, bool of the same shape."""
    return np.asarray(np.minimum(np.abs(levels), np.abs(1 - levels)) >= CLEAR)


def _caution(kind: np.ndarray, weights: np.ndarray, residuals: np.ndarray) -> float:
    """Variance within kinds / variance between them, by the method of moments; large where nothing is between."""
    mass, squares = kind.T @ weights, kind.T @ weights**2  # (Q,)
    known = mass > _LITTLE
    mass, squares, total = mass[known], squares[known], (kind.T @ (weights * residuals))[known]
    means, all_mass = total / mass, mass.sum()
    spread = weights @ residuals**2 - mass @ means**2
    freedom = all_mass - (squares / mass).sum()
    if freedom <= _LITTLE or len(mass) < 2:
        return 0.0
    within = max(float(spread / freedom), 0.0)
    centre = mass @ means / all_mass
    expected = within * ((squares / mass).sum() - squares.sum() / all_mass)
    between = float((mass @ (means - centre) ** 2 - expected) / (all_mass - (mass**2).sum() / all_mass))
    return min(within / between, float(all_mass)) if between > 0 else float(all_mass)
