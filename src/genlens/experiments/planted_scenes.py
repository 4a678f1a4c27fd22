"""The world "scenes" of planted shortcuts: real photographs of clothes on varied backgrounds.

Its words are ten items, the kinds and the colours of backgrounds (without any, a plain grey one) and the frame. A row's
layout is a place, a photograph and a tint for each of the ten items, and the shift of the background's pattern.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from genlens.datasets.idx import load_photos
from genlens.datasets.scenes import CONCEPTS
from genlens.datasets.scenes_captions import caption_of
from genlens.datasets.scenes_drawing import COLOURS, IMAGE_SIZE, KINDS, backgrounds, composite, stamps_of
from genlens.experiments.planted_worlds import World

TEXTURES, TINTS, FRAME = KINDS[1:], tuple(COLOURS)[1:], "frame"
WORDS = (*CONCEPTS, *TEXTURES, *TINTS, FRAME)
SIDES = (19.0, 23.0)
"""Smallest and largest side of a photograph in pixels; what it shows fills a part of it."""
_N_LAYOUTS, _LAYOUT_SEED = 8192, 5_000_000_011
_COLUMNS, _ROWS = 4, 3
_JITTER, _TINT = 2.0, 0.12


def scenes_world() -> World:
    """Ten items are possible classes; other items, backgrounds and the frame are incidental.

    Raises:
        UserError: Fashion-MNIST's photographs aren't on this machine.
    """
    load_photos("train")
    return World("scenes", WORDS, (CONCEPTS,), _draw, _caption, IMAGE_SIZE, (TEXTURES, TINTS), base_rate=0.2)


@cache
def _layouts() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Places (n, 10, 3), photographs (n, 10), tints (n, 10, 3) and phases (n, 2) of a pool of rows.

    Items take ten of twelve cells of the picture, so that the few that are there seldom overlap.
    """
    rng, photos = np.random.default_rng(_LAYOUT_SEED), load_photos("train")
    n, d = _N_LAYOUTS, len(CONCEPTS)
    cells = rng.permuted(np.tile(np.arange(_COLUMNS * _ROWS), (n, 1)), axis=1)[:, :d]
    places = np.empty((n, d, 3), dtype=np.float32)
    for axis, (cell, count) in enumerate(((cells % _COLUMNS, _COLUMNS), (cells // _COLUMNS, _ROWS))):
        edge = SIDES[1] / 2 + 1
        places[:, :, axis] = edge + cell * (IMAGE_SIZE - 2 * edge) / (count - 1)
    places[:, :, :2] += rng.uniform(-_JITTER, _JITTER, (n, d, 2))
    places[:, :, 2] = rng.uniform(*SIDES, (n, d))
    chosen = np.stack([rng.choice(photos.of(concept), n) for concept in range(d)], axis=1)
    tints = (1 - _TINT * rng.random((n, d, 3))).astype(np.float32)
    return places, chosen, tints, rng.integers(0, 16, (n, 2))


def _draw(presence: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.uint8]:
    places, chosen, tints, phases = _layouts()
    rows = np.asarray(seeds) % _N_LAYOUTS
    present, d = np.asarray(presence), len(CONCEPTS)
    kinds = _position(present[:, d : d + len(TEXTURES)])
    colours = _position(present[:, d + len(TEXTURES) : d + len(TEXTURES) + len(TINTS)])
    pictures = backgrounds(kinds, colours, phases[rows], present[:, -1] > 0)
    owner, item = np.nonzero(present[:, :d])
    where = (rows[owner], item)
    stamps = stamps_of(load_photos("train").images[chosen[where]])
    return composite(pictures, stamps, owner.astype(np.int64), places[where], tints[where])


def _position(columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """1 + the first column that is on; 0 where none is."""
    result: NDArray[np.int64] = np.where(columns.any(axis=1), 1 + columns.argmax(axis=1), 0)
    return result


def _caption(row: NDArray[np.int64]) -> str:
    """``"1 sneaker, 1 bag, striped blue background, frame"``."""
    on = [word for word, here in zip(WORDS, row, strict=True) if here]
    kind = next((word for word in on if word in TEXTURES), KINDS[0])
    colour = next((word for word in on if word in TINTS), next(iter(COLOURS)))
    return caption_of(row[: len(CONCEPTS)], f"{kind} {colour} background", FRAME in on, "full")
