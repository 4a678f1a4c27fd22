"""What every segmenter offers."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from genlens.errors import UserError


@runtime_checkable
class Segmenter(Protocol):
    """Marks what a text names.

    An image's mask must not depend on the other images of the batch.
    """

    @property
    def fingerprint(self) -> str:
        """Text that changes whenever the masks would."""

    def segment(self, images: NDArray[np.uint8], text: str) -> NDArray[np.float32]:
        """Probability that a pixel belongs to what `text` names: (B, H, W) in [0, 1] of images (B, H, W, 3).

        Raises:
            UserError: the text is empty, too long or has a word the segmenter doesn't know.
        """


def check_text(text: str) -> str:
    """Return the text.

    Raises:
        UserError: it is empty or no text.
    """
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"`text` must name what to look for; got {text!r}.")
    return text


def check_masks(masks: Any, images: NDArray[np.uint8], name: str) -> NDArray[np.float32]:
    """Masks as float32 (B, H, W).

    Raises:
        UserError: another shape, no numbers, or values outside [0, 1].
    """
    try:
        array = np.asarray(masks, dtype=np.float32)
    except (TypeError, ValueError):
        raise UserError(f"{name} must return numbers; got {type(masks).__name__}.") from None
    if array.shape != images.shape[:3]:
        raise UserError(f"{name} must return masks {images.shape[:3]}, one an image; got shape {array.shape}.")
    if not ((array >= 0) & (array <= 1)).all():  # NaN is refused as well
        raise UserError(f"{name} must return probabilities in [0, 1]; got {array.min():.4g} to {array.max():.4g}.")
    return array


def check_picture_batch(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images uint8 (B, H, W, 3).

    Raises:
        UserError: another type or shape.
    """
    array = np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3 or 0 in array.shape:
        raise UserError(f"`images` must be uint8 (B, height, width, 3), B >= 1; got {array.dtype} {array.shape}.")
    return array
