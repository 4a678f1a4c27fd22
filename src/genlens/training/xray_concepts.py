"""Concept nets of the X-ray experiment: the target models' bottleneck, and the independent checker."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.concept_net import ConceptNet
from genlens.datasets.xray import CONCEPTS, concept_values, grain, sample
from genlens.datasets.xray_drawing import N_ANATOMY, SIGNS, Bodies, draw
from genlens.training.concept_nets import Batches, Recipe, train_concept_net

NET_SEED, CHECKER_SEED = 4_000_000_000, 5_000_000_000
"""Seeds of the training rows start here, far from those of data sets and of the generator's training."""
POOL_ROWS = 6000
"""Training rows of a net, drawn once and used several times with other augmentation."""
INDEPENDENT_RATE = 0.2
"""How often each finding is there in the checker's training drawings, whatever age, BMI and sex are."""
_BATCH = 64


def observed_rows(n: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pictures (N, 64, 64) and concepts (N, 16) of the phantom: findings hang on age, BMI and sex, as in hospitals."""
    rows = sample(n, NET_SEED + seed)
    return rows.images(), rows.concepts().astype(np.float32)


def independent_rows(n: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The same of drawings in which nothing hangs on anything, which only a phantom has; an eighth has no finding."""
    number = CHECKER_SEED + seed
    rng = np.random.default_rng(number)
    signs = (rng.random((n, len(SIGNS))) < INDEPENDENT_RATE).astype(np.int64)
    signs[rng.random(n) < 1 / 8] = 0
    sides = rng.choice([-1, 1], (n, len(SIGNS)))
    bodies = Bodies(rng.integers(0, 2, (n, 3)), signs, sides, rng.random((n, N_ANATOMY)))
    images = draw(bodies, grain([(number, row) for row in range(n)]))
    return images, concept_values(bodies).astype(np.float32)


def pooled(images: NDArray[np.uint8], labels: NDArray[np.float32], seed: int) -> Batches:
    """Batches of 64 rows drawn from a pool, RGB."""

    def batches(step: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rows = np.random.default_rng((seed, step)).choice(len(images), min(_BATCH, len(images)), replace=False)
        return rgb(images[rows]), labels[rows]

    return batches


def rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, H, W) -> (N, H, W, 3)."""
    return np.repeat(grey[..., None], 3, axis=3)


def train_bottleneck(steps: int, seed: int, log: Callable[[str], None] | None = None) -> ConceptNet:
    """The concept net that the target models stand on."""
    batches = pooled(*observed_rows(POOL_ROWS, seed), seed)
    return train_concept_net(batches, CONCEPTS, Recipe("plain", 24, steps, 4e-3, seed), log=log)


def train_checker(steps: int, seed: int, log: Callable[[str], None] | None = None) -> ConceptNet:
    """The independent concept classifier: another architecture, another start, other drawings."""
    batches = pooled(*independent_rows(POOL_ROWS, seed), seed)
    return train_concept_net(batches, CONCEPTS, Recipe("residual", 16, steps, 4e-3, seed + 1), log=log)
