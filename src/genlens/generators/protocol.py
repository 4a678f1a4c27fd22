"""What genlens asks of a text-to-image model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

DEFAULT_BATCH = 64
"""Images a batch where a generator has no preference."""


class Generator(Protocol):
    """A text-to-image model: an image is a function of (caption, seed) alone, whatever else is in its batch.

    A generator may have an attribute `batch_size`, the number of images it prefers to render at once, and an attribute
    `device`: where that begins with "cuda", images are scored on a thread of their own while the next are rendered.
    """

    @property
    def fingerprint(self) -> str:
        """Hash of everything an image depends on but caption and seed: weights, adapters, steps, guidance, size …"""

    def check_captions(self, captions: Sequence[str]) -> None:
        """Refuse captions which the model can't take whole, before anything is rendered.

        Raises:
            CaptionError: some captions are too long; the message says how many, which, and the limit.
        """

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Render one image for each pair of caption and seed.

        Args:
            captions: B texts; "" is legal.
            seeds: B integers in [0, 2**63).

        Returns:
            uint8 array (B, H, W, 3).
        """


def preferred_batch(generator: Generator) -> int:
    """The generator's own `batch_size`, or `DEFAULT_BATCH` where it has none."""
    return int(getattr(generator, "batch_size", None) or DEFAULT_BATCH)
