"""What every annotator offers: scores of concepts in images, several of one concept where it counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Found: TypeAlias = list[list[NDArray[np.float32]]]
"""Image -> concept -> scores, descending; one a detection, or exactly one where the annotator doesn't count."""


class Annotator(Protocol):
    """Says which concepts images show."""

    threshold: float
    """Score above which a concept counts as present unless something better is known."""
    counts: bool
    """Whether a concept may have several scores, one an instance."""

    @property
    def fingerprint(self) -> str:
        """Text that changes whenever the scores would."""

    def check(self, concepts: Sequence[str]) -> None:
        """Refuse concepts that it can't look for, before anything is scored.

        Raises:
            UserError: names one of them.
        """

    def find(self, images: Sequence[NDArray[np.uint8]], concepts: Sequence[str]) -> Found:
        """Scores of D concepts in B images (H, W, 3).

        Raises:
            UserError: a concept that it can't look for, or a model that fails.
        """
