"""Drawing of scenes: backgrounds, and photographs as stamps of any size at any place.

Everything is a smooth or plain function of its arguments, vectorised over scenes; nothing here is random. Coordinates
are pixels of a 64 x 64 picture, x to the right, y down, the origin in the upper left corner.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

IMAGE_SIZE = 64
PHOTO_SIZE = 28
KINDS = ("plain", "gradient", "striped", "checked", "dotted")
"""Kinds of background."""
COLOURS: dict[str, tuple[int, int, int]] = {
    "grey": (72, 72, 76),
    "red": (122, 34, 38),
    "green": (24, 88, 48),
    "blue": (32, 52, 128),
    "purple": (92, 38, 116),
}
"""Colours of backgrounds: name -> RGB of the darker tone."""
FRAME_WIDTH = 3
"""Width of the white frame, in pixels."""
_FRAME = 240
_LIGHT = 34
"""How much lighter a pattern's second tone is, per channel."""
_OPAQUE = 0.9999
_SOLID = 56
"""Grey value from which a photograph's pixel is opaque."""


def stamps_of(photos: ArrayLike) -> NDArray[np.float32]:
    """Cut photographs out of their black background.

    Args:
        photos: uint8 (M, 28, 28).

    Returns:
        float32 (M, 2, 28, 28): brightness times opacity, and opacity, both in [0, 1]. A pixel's opacity grows with its
        grey value up to 56; brightness lies in [.4, 1], so that dark clothes stay lighter than any background.
    """
    grey = np.asarray(photos, dtype=np.float32)
    alpha = np.minimum(grey / _SOLID, 1)
    return np.stack([alpha * (0.4 + 0.6 / 255 * grey), alpha], axis=1)


def tight_boxes(stamps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Extent of the opaque part of stamps (M, 2, 28, 28) about its middle, as shares of the side: (M, 4).

    Left, top, right and bottom in [-.5, .5].
    """
    solid: NDArray[np.bool_] = np.asarray(stamps[:, 1] >= 0.5)
    edges = []
    for axis in (1, 2):  # columns, then rows
        line: NDArray[np.bool_] = np.asarray(solid.any(axis=axis))
        line[~line.any(axis=1)] = True
        first, last = line.argmax(axis=1), PHOTO_SIZE - line[:, ::-1].argmax(axis=1)
        edges.append(np.stack([first, last], axis=1) / PHOTO_SIZE - 0.5)
    columns, rows = edges
    return np.stack([columns[:, 0], rows[:, 0], columns[:, 1], rows[:, 1]], axis=1).astype(np.float32)


def backgrounds(kinds: ArrayLike, colours: ArrayLike, phases: ArrayLike, frames: ArrayLike) -> NDArray[np.float32]:
    """Backgrounds of N scenes, float32 (N, 64, 64, 3) in [0, 255].

    Args:
        kinds: (N,) positions in `KINDS`.
        colours: (N,) positions in `COLOURS`.
        phases: (N, 2) shift of the pattern to the right and down, in pixels; a gradient ignores it.
        frames: (N,) whether there is a white frame at the border.
    """
    base = np.array(list(COLOURS.values()), dtype=np.float32)[np.asarray(colours)]  # (N, 3)
    cover = _patterns(np.asarray(kinds), np.asarray(phases))  # (N, 64, 64)
    pictures: NDArray[np.float32] = base[:, None, None, :] + np.float32(_LIGHT) * cover[..., None]
    inside = np.zeros((IMAGE_SIZE, IMAGE_SIZE), dtype=bool)
    inside[FRAME_WIDTH:-FRAME_WIDTH, FRAME_WIDTH:-FRAME_WIDTH] = True
    framed = np.asarray(frames, dtype=bool)[:, None, None] & ~inside
    pictures[framed] = _FRAME
    return pictures


def _patterns(kinds: NDArray[np.int64], phases: NDArray[np.int64]) -> NDArray[np.float32]:
    """Share of the second tone in each pixel, (N, 64, 64)."""
    place = np.arange(IMAGE_SIZE)
    x, y = (place[None, :] + IMAGE_SIZE - phases[:, axis, None] for axis in (0, 1))  # (N, 64)
    cover = np.zeros((len(kinds), IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)
    gradient, striped, checked, dotted = (np.flatnonzero(kinds == kind) for kind in range(1, 5))
    cover[gradient] = (2.0 / (IMAGE_SIZE - 1)) * place[:, None]
    cover[striped] = (x[striped] // 4 % 2)[:, None, :]
    cover[checked] = (x[checked] // 8 % 2)[:, None, :] ^ (y[checked] // 8 % 2)[:, :, None]
    apart = [(values[dotted] % 8 - 3.5) ** 2 for values in (x, y)]
    cover[dotted] = 1.5 * np.clip(3.0 - np.sqrt(apart[0][:, None, :] + apart[1][:, :, None]), 0, 1)
    return cover


def _weights(centre: NDArray[np.float32], side: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shares of photograph pixels in picture pixels where 28 are shown in `side` (area average): (M, 64, 28)."""
    step = np.float32(PHOTO_SIZE) / side[:, None, None]  # photograph pixels a picture pixel
    place = np.arange(IMAGE_SIZE, dtype=np.float32)[None, :, None]
    begin = (place - centre[:, None, None]) * step + PHOTO_SIZE / 2
    pixel = np.arange(PHOTO_SIZE, dtype=np.float32)
    shared = np.minimum(begin + step, pixel + 1) - np.maximum(begin, pixel)
    result: NDArray[np.float32] = (np.maximum(shared, 0) / step).astype(np.float32, copy=False)
    return result


def placed(stamps: NDArray[np.float32], places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Resize stamps (M, 2, 28, 28) and put them at `places` (M, 3): centre x, centre y, side. -> (M, 2, 64, 64)."""
    x, y, side = np.asarray(places, dtype=np.float32).T
    rows, columns = _weights(y, side), _weights(x, side)
    across = stamps @ columns[:, None].transpose(0, 1, 3, 2)  # (M, 2, 28, 64)
    result: NDArray[np.float32] = np.asarray(rows[:, None] @ across, dtype=np.float32)
    return result


def composite(
    pictures: NDArray[np.float32],
    stamps: NDArray[np.float32],
    scene: NDArray[np.int64],
    places: NDArray[np.float32],
    tints: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """Put items on backgrounds, each above those before it.

    Args:
        pictures: (N, 64, 64, 3) in [0, 255]; changed in place.
        stamps: (M, 2, 28, 28), see `stamps_of`.
        scene: (M,) ascending, the scene of each item.
        places: (M, 3) centre x, centre y and side of the whole photograph, in pixels.
        tints: (M, 3) factors of red, green and blue.

    Returns:
        uint8 (N, 64, 64, 3).
    """
    if len(scene):
        layers = placed(stamps, places)  # (M, 2, 64, 64)
        layers[:, 1][layers[:, 1] > _OPAQUE] = 1  # so that nothing behind shows through by rounding
        order = np.arange(len(scene)) - np.searchsorted(scene, scene)  # place of each item in its scene
        for depth in range(int(order.max()) + 1):
            items = np.flatnonzero(order == depth)
            light, alpha = layers[items, 0, :, :, None], layers[items, 1, :, :, None]
            shown = 255 * light * tints[items, None, None, :]
            pictures[scene[items]] = pictures[scene[items]] * (1 - alpha) + shown
    return (np.clip(pictures, 0, 255) + 0.5).astype(np.uint8)
