"""Segmenters that are plain Python functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.batches import describe_error
from genlens.classifiers.fingerprint import hash_function, hash_parts
from genlens.errors import GenlensError, UserError, check_integer
from genlens.segmenters.protocol import check_masks, check_picture_batch, check_text


class CallableSegmenter:
    """A function from images and a text to masks.

    The function gets a uint8 array (B, H, W, 3) and the text; it returns (B, H, W): probabilities, or bool masks.

    Args:
        function: the segmenter.
        batch_size: images at a time.
        fingerprint: text that changes whenever the masks would. By default a hash of the function's name and code,
            which doesn't cover files or globals that it reads.
        name: what messages call it.

    Raises:
        UserError: not a callable; or no plain function, and no `fingerprint`.
    """

    def __init__(
        self,
        function: Callable[[NDArray[np.uint8], str], Any],
        *,
        batch_size: int = 64,
        fingerprint: str | None = None,
        name: str | None = None,
    ) -> None:
        if not callable(function):
            raise UserError(f"`function` must be callable; got {type(function).__name__}.")
        self.function = function
        self.batch_size = check_integer("batch_size", batch_size, 1)
        self.name = f"The segmenter {name or getattr(function, '__qualname__', type(function).__qualname__)!r}"
        identity = hash_function(function) if fingerprint is None else fingerprint
        self._fingerprint = hash_parts("callable segmenter", identity)

    @property
    def fingerprint(self) -> str:
        """Hash of what identifies the function."""
        return self._fingerprint

    def segment(self, images: NDArray[np.uint8], text: str) -> NDArray[np.float32]:
        """See `Segmenter.segment`.

        Raises:
            UserError: the function fails, or returns something of the wrong shape or range.
        """
        text, pictures = check_text(text), check_picture_batch(images)
        parts = []
        for first in range(0, len(pictures), self.batch_size):
            batch = pictures[first : first + self.batch_size]
            try:
                found = self.function(batch, text)
            except GenlensError:
                raise
            except Exception as error:  # the user's code may raise anything
                raise UserError(f"{self.name} raised {describe_error(error)} for {text!r}.") from error
            plain = found.detach().cpu().numpy() if hasattr(found, "detach") else found
            parts.append(check_masks(plain, batch, self.name))
        return np.concatenate(parts)
