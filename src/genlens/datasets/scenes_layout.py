"""A place for every item a caption may name: ten classes with up to three copies each, settled by a few numbers.

The first copies lie on a rounded square around the middle, one after another in class order, and move round it with an
angle. Second and third copies share four places in the middle, below the others, where two classes with several copies
may hide one another. So whatever a caption names, an item's place depends on the numbers alone, and taking one out or
in moves nothing else. The drawer takes the numbers from its seed, the generator from its noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

LAYOUT_NUMBERS = 5
COPIES = 3
_CLASSES = 10
_ORDER = (0, 5, 1, 7, 3, 8, 2, 9, 6, 4)
"""Place on the ring -> class: wide things between tall ones, and classes that look alike apart."""
_POSITION = np.argsort(_ORDER)
_RADIUS = 22.0
_INNER_RADIUS = 9.5
_SIDE, _INNER_SIDE = 18.5, 16.0


def layout_places(numbers: ArrayLike, sway: float | None = None) -> NDArray[np.float32]:
    """Places of all items.

    Args:
        numbers: (N, 5 or more), standard normal: the first two give the ring's angle (uniform), then a shift to the
            right, a shift down and the size of everything.
        sway: None: the ring may have any angle; else an angle within plus or minus `sway`, in radians, from the first
            number alone, so that each class keeps to its own part of the picture.

    Returns:
        float32 (N, 10, 3, 3): for each class and copy centre x, centre y and side, in pixels.
    """
    values = np.asarray(numbers, dtype=np.float64)
    squashed = np.tanh(0.8 * values[:, 2:LAYOUT_NUMBERS])  # about uniform in (-1, 1)
    if sway is None:
        angle = np.arctan2(values[:, 1], values[:, 0])[:, None]
    else:
        angle = sway * np.tanh(0.8 * values[:, :1])
    result = np.zeros((len(values), _CLASSES, COPIES, 3), dtype=np.float32)
    first = angle + 2 * np.pi / _CLASSES * _POSITION
    rounded = _RADIUS / (np.cos(first) ** 4 + np.sin(first) ** 4) ** 0.25
    result[:, :, 0, 0] = rounded * np.cos(first)
    result[:, :, 0, 1] = rounded * np.sin(first)
    for copy in (1, 2):
        inner = angle + np.pi / 4 + np.pi / 2 * ((_POSITION + 2 * (copy - 1)) % 4)
        result[:, :, copy, 0] = _INNER_RADIUS * np.cos(inner)
        result[:, :, copy, 1] = _INNER_RADIUS * np.sin(inner)
    result[..., :2] += 32 + 1.5 * squashed[:, None, None, :2]
    size = 1 + 0.07 * squashed[:, 2, None]
    result[:, :, 0, 2] = _SIDE * size
    result[:, :, 1:, 2] = _INNER_SIDE * size[..., None]
    return result
