"""Endless training rows for the shapes models: layouts, captions and drawings, made as they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.datasets import shapes

GENERATOR_SEEDS = 1_000_000_000
"""Data seeds of the generator's training start here; the judge's start at 2e9 and held-out seeds lie far below."""
JUDGE_SEEDS = 2_000_000_000


@dataclass(frozen=True)
class Rows:
    """A batch of rows: presence (N, 6) and slots (N, 6, 4), whose segments may overlap if they come from donors."""

    presence: NDArray[np.int64]
    slots: NDArray[Any]

    def images(self) -> NDArray[np.uint8]:
        """Drawings, uint8 (N, 64, 64, 3)."""
        return shapes.draw(self.presence, self.slots)

    def captions(self) -> list[str]:
        """Segment captions, one a row."""
        return [shapes.segment_caption(p, s) for p, s in zip(self.presence, self.slots, strict=True)]


def sample_rows(n: int, seed: int, donors: float = 0.2, crowded: float = 0.25) -> Rows:
    """Rows of random layout.

    Args:
        n: number of rows.
        seed: any integer >= 0.
        donors: share of rows whose concepts take their slots from other rows, as permuted captions do.
        crowded: share of rows drawn with presence probability .8 instead of .5.
    """
    rng = np.random.default_rng(seed)
    slots = shapes.sample_slots(n, seed).params
    mixed = np.flatnonzero(rng.random(n) < donors)
    source = rng.integers(0, n, (len(mixed), 6))
    slots = slots.copy()
    slots[mixed] = slots[source, np.arange(6)]
    probability = np.where(rng.random((n, 1)) < crowded, 0.8, 0.5)
    return Rows((rng.random((n, 6)) < probability).astype(np.int64), slots)
