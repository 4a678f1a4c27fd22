"""Endless training rows for the scenes generator, in which the noise settles all that the caption leaves open.

As in the shapes generator (`genlens.training.shapes_layout`) the channel means of the noise, 48 standard normal
numbers, are tied to one picture: 0-4 the layout (`genlens.datasets.scenes_layout`), 5-14 which photographs
(`genlens.training.scenes_prototypes`), 15-17 the tint, 18-19 the kind and 20-21 the colour of a background that the
caption doesn't name (an angle each, in five sectors); the others are unused. So a flip of one concept changes nothing
else, and one step can draw the picture. A frame is drawn only where it is named.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genlens.datasets.idx import load_photos
from genlens.datasets.scenes import CONCEPTS, COPY_SHARES, draw, sample_scenes
from genlens.datasets.scenes_drawing import COLOURS, KINDS, backgrounds, composite
from genlens.datasets.scenes_layout import COPIES, layout_places
from genlens.training.scenes_prototypes import load_prototypes

NUMBERS = 48
"""Channels of the latents, so numbers that the noise has to give."""
_PHOTO, _TINT, _KIND, _COLOUR = slice(5, 15), slice(15, 18), slice(18, 20), slice(20, 22)
SWAY = np.pi / 10
"""The ring of first copies turns by half the distance of two neighbours either way."""
_MOST_CLASSES = 8
_COLOUR_NAMES = tuple(COLOURS)

Segment = tuple[str, int, int]
""""item", class, count; or "background", kind, colour (-1: not said); or "frame", 0, 0."""


@dataclass(frozen=True)
class CoupledRows:
    """Rows whose pictures follow from caption and noise.

    Attributes:
        numbers: (N, 48), the channel means of the noise.
        counts: (N, 10), 0 to 3.
        kinds, colours: (N,) as drawn; said_kind, said_colour: (N,) whether the caption names them.
        frames: (N,) whether a frame is drawn and named.
    """

    numbers: NDArray[np.float32]
    counts: NDArray[np.int64]
    kinds: NDArray[np.int64]
    colours: NDArray[np.int64]
    said_kind: NDArray[np.bool_]
    said_colour: NDArray[np.bool_]
    frames: NDArray[np.bool_]

    def segments(self) -> list[list[Segment]]:
        """What the captions say, items in class order, then the background, then the frame."""
        result = []
        for row, counts in enumerate(self.counts):
            found: list[Segment] = [("item", int(j), int(counts[j])) for j in np.flatnonzero(counts)]
            if self.said_kind[row] or self.said_colour[row]:
                kind = int(self.kinds[row]) if self.said_kind[row] else -1
                found.append(("background", kind, int(self.colours[row]) if self.said_colour[row] else -1))
            if self.frames[row]:
                found.append(("frame", 0, 0))
            result.append(found)
        return result

    def captions(self) -> list[str]:
        """Captions in the data set's words."""
        return [", ".join(words_of(segment) for segment in row) for row in self.segments()]

    def images(self) -> NDArray[np.uint8]:
        """The pictures, uint8 (N, 64, 64, 3)."""
        return draw_coupled(self)


def words_of(segment: Segment) -> str:
    """Text of a segment."""
    what, first, second = segment
    if what == "frame":
        return "frame"
    if what == "item":
        return f"{second} {CONCEPTS[first]}"
    kind, colour = KINDS[first] if first >= 0 else "", _COLOUR_NAMES[second] if second >= 0 else ""
    return " ".join(word for word in (kind, colour, "background") if word)


def sectors(numbers: NDArray[np.floating], n: int) -> NDArray[np.int64]:
    """Sector of the angle of two numbers (N, 2): 0 to n - 1, equally likely."""
    turn = np.arctan2(numbers[:, 1], numbers[:, 0]) / (2 * np.pi) + 0.5
    result: NDArray[np.int64] = np.minimum((n * turn).astype(np.int64), n - 1)
    return result


def sample_coupled(n: int, seed: int, full_share: float) -> CoupledRows:
    """Fresh rows.

    Args:
        n: number of rows.
        seed: any integer >= 0.
        full_share: share of captions in the full style; of the others a fifth names the background in part or the
            frame alone.
    """
    rng = np.random.default_rng(seed)
    numbers = rng.standard_normal((n, NUMBERS)).astype(np.float32)
    full, partly = rng.random(n) < full_share, rng.random(n) < 0.2
    said = (rng.random((3, n)) < 0.4) & partly | full
    kinds = np.where(said[0], rng.integers(len(KINDS), size=n), sectors(numbers[:, _KIND], len(KINDS)))
    colours = np.where(said[1], rng.integers(len(COLOURS), size=n), sectors(numbers[:, _COLOUR], len(COLOURS)))
    frames = said[2] & (rng.random(n) < 0.4)
    return CoupledRows(numbers, _counts(n, rng), kinds, colours, said[0], said[1], frames)


def _counts(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Counts of the data set's kind, a tenth of the rows sparser (often empty) and a tenth fuller."""
    density = rng.choice([0.12, 0.32, 0.55], size=(n, 1), p=[0.15, 0.7, 0.15])
    copies = 1 + np.searchsorted(np.cumsum(COPY_SHARES)[:-1], rng.random((n, len(CONCEPTS))), side="right")
    order = rng.random((n, len(CONCEPTS)))
    present = (order < density) & (order.argsort(axis=1).argsort(axis=1) < _MOST_CLASSES)
    return np.where(present, copies, 0).astype(np.int64)


def draw_coupled(rows: CoupledRows) -> NDArray[np.uint8]:
    """Draw rows: third copies lowest, first copies on top."""
    n = len(rows.counts)
    pictures = backgrounds(rows.kinds, rows.colours, np.zeros((n, 2), dtype=np.int64), rows.frames)
    copy = np.arange(COPIES)[::-1]
    row, rank, concept = np.nonzero(rows.counts[:, None, :] > copy[None, :, None])
    copies = copy[rank]
    stamps = load_prototypes().stamps(concept, copies, rows.numbers[row, _PHOTO])
    places = layout_places(rows.numbers, SWAY)[row, concept, copies]
    tints = 0.94 + 0.06 * np.tanh(0.8 * rows.numbers[:, _TINT])
    return composite(pictures, stamps, row, places, tints[row].astype(np.float32))


def real_images(n: int, seed: int) -> NDArray[np.uint8]:
    """Scenes of the data set, uint8 (N, 64, 64, 3)."""
    photos = load_photos("train")
    return draw(sample_scenes(n, seed, photos), photos)


def mixed_images(n: int, seed: int) -> NDArray[np.uint8]:
    """Pictures for the autoencoder: a third scenes of the data set, the others coupled, uint8 (N, 64, 64, 3)."""
    return np.concatenate([real_images(n // 3, seed), sample_coupled(n - n // 3, seed, 0.5).images()])
