"""PIL's resizing as two matrices, so that gradients pass through it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from genlens.classifiers.preprocess import ImagePreprocess, Interpolation


def preprocess_tensor(images: Tensor, how: ImagePreprocess) -> Tensor:
    """What `ImagePreprocess` does to uint8 pictures, for pictures (B, 3, H, W) in [0, 1], with gradient.

    The result differs from it by PIL's rounding to whole grey levels.
    """
    if how.size is not None:
        scaled = scaled_size((images.shape[-2], images.shape[-1]), how)
        images = resize(images, scaled, how.interpolation)
        top, left = (round((extent - side) / 2) for extent, side in zip(scaled, how.size, strict=True))
        images = images[..., top : top + how.size[0], left : left + how.size[1]]
    mean, std = (images.new_tensor(values)[:, None, None] for values in (how.mean, how.std))
    return (images - mean) / std


def scaled_size(size: tuple[int, int], how: ImagePreprocess) -> tuple[int, int]:
    """(height, width) to which a picture of `size` is resized before it is cropped."""
    assert how.size is not None
    height, width = (math.floor(side / how.crop_pct) for side in how.size)
    if how.resize == "center" and height * size[1] >= width * size[0]:
        width = height * size[1] // size[0]
    elif how.resize == "center":
        height = width * size[0] // size[1]
    return height, width


def resize(images: Tensor, size: tuple[int, int], interpolation: Interpolation) -> Tensor:
    """Pictures (B, C, H, W) in [0, 1] resized as PIL resizes them, to (B, C, *size)."""
    if tuple(images.shape[-2:]) == size:
        return images
    height, width = images.shape[-2:]
    passes = [("bchw,vw->bchv", width, size[1]), ("bchw,vh->bcvw", height, size[0])]
    if size[0] < height and size[1] > width:  # Pillow 13 takes the pass first that leaves less
        passes.reverse()
    for equation, length, wanted in passes:
        if length != wanted:
            images = torch.einsum(equation, images, weights(length, wanted, interpolation).to(images)).clamp(0, 1)
    return images


@lru_cache(maxsize=32)
def weights(length: int, wanted: int, interpolation: Interpolation) -> Tensor:
    """(wanted, length): how PIL makes a line of `wanted` pixels of one of `length`; rows sum to 1.

    `precompute_coeffs` of PIL's Resample.c: the filter is stretched by the factor of shrinking.
    """
    scale = length / wanted
    table = torch.zeros(wanted, length, dtype=torch.float64)
    if interpolation == "nearest":
        place = 0.5 * scale
        for row in range(wanted):
            table[row, int(place)] = 1
            place += scale  # added up as PIL does, whose rounding decides at whole numbers
        return table.float()
    kernel, support = _KERNELS[interpolation]
    stretch = max(scale, 1.0)
    for row in range(wanted):
        centre = (row + 0.5) * scale
        first = max(int(centre - support * stretch + 0.5), 0)
        last = min(int(centre + support * stretch + 0.5), length)
        for column in range(first, last):
            table[row, column] = kernel((column - centre + 0.5) / stretch)
    return (table / table.sum(dim=1, keepdim=True)).float()


def _box(x: float) -> float:
    return 1.0 if -0.5 < x <= 0.5 else 0.0


def _triangle(x: float) -> float:
    return max(1 - abs(x), 0.0)


def _hamming(x: float) -> float:
    return _sinc(x) * (0.54 + 0.46 * math.cos(math.pi * x)) if abs(x) < 1 else 0.0


def _bicubic(x: float) -> float:
    x, a = abs(x), -0.5
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if -3 <= x < 3 else 0.0


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


_KERNELS: dict[str, tuple[Callable[[float], float], float]] = {
    "box": (_box, 0.5),
    "bilinear": (_triangle, 1.0),
    "hamming": (_hamming, 1.0),
    "bicubic": (_bicubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}
"""Filter and the distance at which it ends."""
