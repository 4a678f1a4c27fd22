"""Attributes that a segmenter labels: the value whose pixels fill most of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.callable import CallableClassifier
from genlens.classifiers.fingerprint import hash_parts
from genlens.classifiers.protocol import Images
from genlens.errors import UserError
from genlens.findings.bias import Attribute
from genlens.segmenters.protocol import Segmenter

LEAST = 0.01
"""Share of a picture's pixels that a value must fill to be there."""


def segmenter_attribute(name: str, values: Sequence[str], segmenter: Segmenter, *, least: float = LEAST) -> Attribute:
    """An attribute whose values are texts for a segmenter.

    A picture has the value that fills the most pixels (probability >= 1/2), and none where no value fills `least`.

    Args:
        name: of the attribute.
        values: K >= 2 texts, such as "long hair" and "short hair".
        segmenter: language-driven.
        least: share in (0, 1].

    Raises:
        UserError: fewer than two values, or `least` out of range.
    """
    if not 0 < least <= 1:
        raise UserError(f"`least` must be a share in (0, 1]; got {least}.")

    def scores(images: Images) -> NDArray[np.float32]:
        pixels = np.stack(list(images))
        filled = [(segmenter.segment(pixels, value) >= 0.5).mean(axis=(1, 2)) for value in values]  # K of (B,)
        return (np.stack(filled, axis=1) / least - 1).astype(np.float32)

    fingerprint = hash_parts("segmenter attribute", segmenter.fingerprint, str(least), *values)
    return Attribute(name, tuple(values), CallableClassifier(scores, outputs="scores", fingerprint=fingerprint))
