"""From masks to a yes or no: is the object in the picture?"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.errors import UserError


@dataclass(frozen=True)
class Presence:
    """When an object counts as present.

    Attributes:
        threshold: probability in (0, 1) from which a pixel belongs to the object.
        min_share: share in (0, 1] of the picture's pixels that must belong to it.
    """

    threshold: float = 0.5
    min_share: float = 0.005

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0 < self.threshold < 1:
            raise UserError(f"`threshold` must be a probability between 0 and 1; got {self.threshold}.")
        if not 0 < self.min_share <= 1:
            raise UserError(f"`min_share` must be a share in (0, 1]; got {self.min_share}.")

    def scores(self, masks: NDArray[np.floating]) -> NDArray[np.float64]:
        """How surely the object is there: (B,) in [0, 1] of masks (B, H, W).

        It is the k-th largest probability of the picture, k the pixels that `min_share` asks for, so the object is
        present exactly where the score reaches the threshold.
        """
        flat = np.asarray(masks, dtype=np.float64).reshape(len(masks), -1)
        k = max(1, math.ceil(self.min_share * flat.shape[1]))
        result: NDArray[np.float64] = np.partition(flat, flat.shape[1] - k, axis=1)[:, flat.shape[1] - k]
        return result

    def present(self, masks: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether the object is there: (B,) of masks (B, H, W)."""
        found: NDArray[np.bool_] = self.scores(masks) >= self.threshold
        return found

    def spec(self) -> dict[str, Any]:
        """The rule as a JSON-able mapping."""
        return asdict(self)
