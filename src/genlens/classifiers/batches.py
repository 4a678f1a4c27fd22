"""Batches of images in, checked outputs out: what all adapters have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.protocol import Images
from genlens.errors import GenlensError, UserError


def check_images(images: Images) -> list[NDArray[np.uint8]]:
    """Images as a list of contiguous uint8 (H, W, 3) arrays.

    Raises:
        UserError: one of them has another shape or type.
    """
    result = []
    for index, image in enumerate(images):
        array = np.asarray(image)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
            raise UserError(
                f"Image {index} must be a uint8 array (height, width, 3); got {array.dtype} with shape {array.shape}."
            )
        result.append(np.ascontiguousarray(array))
    return result


def check_outputs(outputs: Any, n_images: int, name: str, first: int = 0) -> NDArray[np.float32]:
    """Outputs of a classifier as float32 (B, C).

    Args:
        outputs: anything numpy can make an array of, (B,) or (B, C).
        n_images: B, how many images the classifier was given.
        name: the classifier, for the message.
        first: number of the batch's first image, for the message.

    Raises:
        UserError: the wrong number of rows or dimensions, values that aren't numbers, or NaN.
    """
    try:
        array = np.asarray(outputs, dtype=np.float32)
    except (TypeError, ValueError):
        raise UserError(f"{name} must return numbers; got {type(outputs).__name__}.") from None
    wanted = f"{name} must return an array ({n_images},) or ({n_images}, classes) for {n_images} images"
    if array.ndim not in (1, 2) or 0 in array.shape[1:]:
        raise UserError(f"{wanted}; got shape {array.shape}.")
    if len(array) != n_images:
        raise UserError(f"{wanted}; got {len(array)} rows, shape {array.shape}.")
    array = array.reshape(n_images, -1)
    bad = np.flatnonzero(np.isnan(array).any(axis=1))
    if len(bad):
        listed = ", ".join(str(first + index) for index in bad[:3]) + (", …" if len(bad) > 3 else "")
        raise UserError(f"{name} returned NaN for {len(bad)} of {n_images} images (image {listed}).")
    return array


def predict_batches(
    images: Images, batch_size: int, name: str, predict: Callable[[list[NDArray[np.uint8]]], Any]
) -> NDArray[np.float32]:
    """Check the images, hand them to `predict` in batches, check what comes back: float32 (B, C).

    Args:
        images: B images.
        batch_size: at most this many at a time, >= 1.
        name: the classifier, for messages.
        predict: list of uint8 images -> (b,) or (b, C).

    Raises:
        UserError: no images; images or outputs of the wrong form; `predict` raises an error.
    """
    checked = check_images(images)
    if not checked:
        raise UserError("`images` must hold at least one image; got none.")
    parts = []
    for first in range(0, len(checked), batch_size):
        batch = checked[first : first + batch_size]
        try:
            found = predict(batch)
        except GenlensError:
            raise
        except Exception as error:  # a classifier is the user's code: anything may come out of it
            where = f"a batch of {len(batch)} images, the first of shape {batch[0].shape}"
            raise UserError(f"{name} raised {describe_error(error)} on {where}.") from error
        parts.append(check_outputs(found, len(batch), name, first))
    widths = sorted({part.shape[1] for part in parts})
    if len(widths) > 1:
        raise UserError(f"{name} returned {widths[0]} columns for one batch and {widths[1]} for another.")
    return np.concatenate(parts)


def describe_error(error: BaseException) -> str:
    """Type and first line of an error's message, without a full stop at the end."""
    lines = str(error).strip().split("\n")
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines[0] else type(error).__name__
