"""Photographs that depend smoothly on a few numbers: what the scenes generator learns to draw.

The generator's noise must settle which photograph of a class is drawn, and a network can only learn a smooth choice. So
each class has a **prototype**: principal components of photographs that lie close together and far from other classes,
and ten numbers, the same for all classes of a picture but turned round for each class and copy, are their coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from genlens.datasets.idx import Photos, load_photos
from genlens.datasets.scenes import CONCEPTS
from genlens.datasets.scenes_drawing import PHOTO_SIZE, stamps_of

COMPONENTS = 10
_A_CLASS = 2000
_CANDIDATES = 150
_NEIGHBOURS = 200
_CLOSE = 500
_SHRINK = 0.9
_PIXELS = 2 * PHOTO_SIZE * PHOTO_SIZE


@dataclass(frozen=True)
class Prototypes:
    """Mean (10, 1568) and components (10, 10, 1568), scaled to one standard deviation, of the classes' stamps."""

    mean: NDArray[np.float32]
    components: NDArray[np.float32]

    def stamps(
        self, concepts: NDArray[np.int64], copies: NDArray[np.int64], numbers: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Stamps (M, 2, 28, 28) of items.

        Args:
            concepts: (M,) classes.
            copies: (M,) 0 for the first copy; later ones look different.
            numbers: (M, 10) standard normal.
        """
        turned = np.take_along_axis(numbers, (np.arange(COMPONENTS) - concepts[:, None]) % COMPONENTS, axis=1)
        signs = np.array([[1] * COMPONENTS, [-1] * COMPONENTS, [1, -1] * (COMPONENTS // 2)], dtype=np.float32)
        weights = (_SHRINK * signs[copies] * turned).astype(np.float32)
        flat = np.empty((len(concepts), _PIXELS), dtype=np.float32)
        for concept in np.unique(concepts):
            rows = np.flatnonzero(concepts == concept)
            flat[rows] = self.mean[concept] + weights[rows] @ self.components[concept]
        stamps = flat.reshape(-1, 2, PHOTO_SIZE, PHOTO_SIZE)
        alpha = np.clip(stamps[:, 1], 0, 1)
        return np.stack([np.clip(stamps[:, 0], 0, alpha), alpha], axis=1)


@lru_cache(maxsize=1)
def load_prototypes() -> Prototypes:
    """Prototypes of the training photographs."""
    return make_prototypes(load_photos("train"))


def make_prototypes(photos: Photos) -> Prototypes:
    """For each class the components of the photographs around its most typical one."""
    kept = [photos.of(concept)[:_A_CLASS] for concept in range(len(CONCEPTS))]
    small = [_small(photos.images[rows]) for rows in kept]
    pool, owner = np.concatenate(small), np.repeat(np.arange(len(kept)), [len(rows) for rows in kept])
    means, components = [], []
    for concept, rows in enumerate(kept):
        middle = _typical(small[concept][:_CANDIDATES], pool, owner == concept)
        close = np.argsort(_distances(small[concept][middle][None], small[concept])[0])[:_CLOSE]
        stamps = stamps_of(photos.images[rows[close]]).reshape(-1, _PIXELS)
        mean = stamps.mean(axis=0)
        _, spread, directions = np.linalg.svd(stamps - mean, full_matrices=False)
        means.append(mean)
        components.append(directions[:COMPONENTS] * spread[:COMPONENTS, None] / np.sqrt(len(stamps)))
    return Prototypes(np.stack(means), np.stack(components).astype(np.float32))


def _small(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Photographs at half size, (N, 196)."""
    half = PHOTO_SIZE // 2
    small: NDArray[np.float32] = images.reshape(-1, half, 2, half, 2).mean(axis=(2, 4), dtype=np.float32)
    return small.reshape(len(images), -1)


def _distances(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances (N, M), up to a constant of each row."""
    result: NDArray[np.float32] = (second**2).sum(axis=1) - 2 * first @ second.T
    return result


def _typical(candidates: NDArray[np.float32], pool: NDArray[np.float32], own: NDArray[np.bool_]) -> int:
    """The candidate whose nearest photographs are most often of its own class."""
    near = np.argpartition(_distances(candidates, pool), _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
    return int(own[near].mean(axis=1).argmax())
