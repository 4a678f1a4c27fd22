"""One classifier at work: what it hasn't seen yet, batches that fit the memory, and scores that are checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.batches import describe_error
from genlens.classifiers.protocol import Classifier
from genlens.errors import UserError
from genlens.memory import is_out_of_memory, release_memory
from genlens.score_cache import ScoreCache

Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
Scored = tuple[list[str], NDArray[np.float32]]
"""Keys of b images and their scores (b, C)."""


class Scorer:
    """A classifier with its name and its cache.

    Args:
        name: what errors call it.
        classifier: scores images; a batch that its memory doesn't hold is halved, for good.
        cache: the scores it gave so far.
    """

    def __init__(self, name: str, classifier: Classifier, cache: ScoreCache) -> None:
        self.name, self.cache = name, cache
        self.classifier = classifier
        self._n_outputs = cache.n_outputs
        self._largest: int | None = None

    def predict(self, keys: Sequence[str], images: Images) -> Scored | None:
        """Scores of those images of a batch that have none yet; None if all have. Nothing is kept.

        Raises:
            UserError: the scores have the wrong shape or aren't finite, or the memory doesn't hold a single image.
        """
        new = [i for i, key in enumerate(keys) if key not in self.cache]
        if not new:
            return None
        parts: list[NDArray[np.float32]] = []
        start = 0
        while start < len(new):
            part = new[start : start + (self._largest or len(new))]
            scores = self._predict_part([images[i] for i in part])
            if scores is not None:
                parts.append(scores)
                start += len(part)
        return [keys[i] for i in new], parts[0] if len(parts) == 1 else np.concatenate(parts)

    def keep(self, scored: Scored | None) -> None:
        """Write what `predict` returned.

        Raises:
            WriteError: the disk is full, or the folder can't be written; nothing is left behind.
        """
        if scored is not None:
            self.cache.append(*scored)

    def _predict_part(self, images: list[NDArray[np.uint8]]) -> NDArray[np.float32] | None:
        """Scores (b, C); None, with smaller parts from now on, if the memory didn't hold them."""
        try:
            return self._checked(self.classifier.predict(images), len(images))
        except (RuntimeError, MemoryError, UserError) as error:
            if not (is_out_of_memory(error) or is_out_of_memory(error.__cause__)):
                if isinstance(error, UserError):
                    raise
                raise self._raised(error, images) from error
            if len(images) == 1:
                raise UserError(
                    f"The memory doesn't hold classifier '{self.name}' with one image of {images[0].shape[1]} x "
                    f"{images[0].shape[0]} pixels. Free some memory, or run it on another device."
                ) from error
            self._largest = len(images) // 2
        except Exception as error:  # a classifier is the user's code: anything may come out of it
            raise self._raised(error, images) from error
        release_memory()
        return None

    def _raised(self, error: Exception, images: list[NDArray[np.uint8]]) -> UserError:
        where = f"a batch of {len(images)} images, the first of shape {images[0].shape}"
        return UserError(f"Classifier '{self.name}' raised {describe_error(error)} on {where}.")

    def _checked(self, scores: object, n: int) -> NDArray[np.float32]:
        """Scores as float32 (n, C); raises UserError if they are anything else, or not finite."""
        try:
            array = np.asarray(scores, dtype=np.float32)
        except (TypeError, ValueError):
            raise UserError(f"Classifier '{self.name}' must return numbers; got {type(scores).__name__}.") from None
        if array.ndim != 2 or array.shape[0] != n or array.shape[1] == 0:
            raise UserError(
                f"Classifier '{self.name}' must return an array (images, outputs), here ({n}, C); got {array.shape}."
            )
        if self._n_outputs is not None and array.shape[1] != self._n_outputs:
            raise UserError(
                f"Classifier '{self.name}' gave {array.shape[1]} outputs an image, and {self._n_outputs} before. "
                "Its fingerprint must change when the model does."
            )
        bad = int((~np.isfinite(array)).any(axis=1).sum())
        if bad:
            raise UserError(f"Classifier '{self.name}' returned NaN or infinity for {bad} of a batch of {n} images.")
        self._n_outputs = array.shape[1]
        return array
