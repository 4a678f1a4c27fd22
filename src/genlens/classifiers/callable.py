"""Classifiers that are plain Python functions: any black box."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.batches import predict_batches
from genlens.classifiers.fingerprint import hash_function, hash_parts, hash_spec
from genlens.classifiers.preprocess import ImagePreprocess, as_size
from genlens.classifiers.protocol import Images, Outputs, check_outputs_kind
from genlens.errors import UserError, check_integer


class CallableClassifier:
    """A function from a batch of uint8 images to scores.

    The function gets one uint8 array (B, H, W, 3) where all images of the batch have one size (always, if `size` is
    given), else a list of (H, W, 3) arrays. It returns (B,) or (B, C): an array, a tensor or a list of numbers.

    Args:
        function: the classifier.
        outputs: what it returns; "scores" are taken as they are.
        size: pixels, one number or (height, width), to which images are stretched first; None: as they come.
        batch_size: images at a time.
        fingerprint: text that changes whenever the outputs would. By default a hash of the function's name and code,
            which doesn't cover files or globals that it reads.
        name: what messages call it.

    Raises:
        UserError: not a callable; or no plain function, and no `fingerprint`.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        *,
        outputs: Outputs = "scores",
        size: int | Sequence[int] | None = None,
        batch_size: int = 64,
        fingerprint: str | None = None,
        name: str | None = None,
    ) -> None:
        if not callable(function):
            raise UserError(f"`function` must be callable; got {type(function).__name__}.")
        self.function = function
        self.outputs: Outputs = check_outputs_kind(outputs)
        self.batch_size = check_integer("batch_size", batch_size, 1)
        self.preprocess = ImagePreprocess(as_size(size))
        self.name = f"The classifier {name or getattr(function, '__qualname__', type(function).__qualname__)!r}"
        identity = hash_function(function) if fingerprint is None else fingerprint
        self._fingerprint = hash_parts("callable", identity, hash_spec(self.preprocess.spec()), self.outputs)

    @property
    def fingerprint(self) -> str:
        """Hash of what identifies the function, and of the preprocessing."""
        return self._fingerprint

    def predict(self, images: Images) -> NDArray[np.float32]:
        """Outputs float32 (B, C) of B uint8 images.

        Raises:
            UserError: the function fails, or returns something of the wrong shape or NaN.
        """
        return predict_batches(images, self.batch_size, self.name, self._predict_batch)

    def _predict_batch(self, batch: list[NDArray[np.uint8]]) -> Any:
        one_size = self.preprocess.size is not None or len({image.shape for image in batch}) == 1
        given: Any = self.preprocess.resized(batch) if one_size else batch
        found = self.function(given)
        return found.detach().cpu().numpy() if hasattr(found, "detach") else found
