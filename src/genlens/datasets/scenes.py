"""Scenes: one to six real photographs of clothes, shoes and bags on varied backgrounds, everything known exactly.

Ten concepts, the classes of Fashion-MNIST, in counts of 0 to 3. A scene is plain data (`Scene`), and `draw` a pure
function of it: take an item out, put the frame on or change the background with `dataclasses.replace`, and everything
else stays as it was to the last pixel that isn't concerned. Row i of a split is a pure function of (split, seed, i).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from genlens.datasets.idx import Photos, Split
from genlens.datasets.scenes_captions import CONCEPTS as CONCEPTS
from genlens.datasets.scenes_captions import Style, background_words, caption_of
from genlens.datasets.scenes_drawing import (
    COLOURS,
    IMAGE_SIZE,
    KINDS,
    backgrounds,
    composite,
    placed,
    stamps_of,
    tight_boxes,
)
from genlens.datasets.scenes_labels import LABELS as LABELS
from genlens.errors import UserError, check_integer

Layout = Literal["anywhere", "page"]
"""Where things are: see `sample_scenes` and `on_page`."""
MOST_ITEMS = 6
PRESENCE = 0.36
"""Chance that a class is in a scene, before scenes without items or with more than six are drawn again (then .30)."""
COPY_SHARES = (0.7, 0.2, 0.1)
"""Shares of one, two and three copies of a class that is there."""
FRAME_SHARE = 0.25
MOST_OVERLAP = 0.15
"""Largest part of the smaller box that two items of a scene share."""

PAGE_SIDE = 18.0
"""Largest side of a photograph on a page."""
PAGE_PLACES = ((12, 11), (32, 11), (52, 11), (9, 32), (24, 32), (40, 32), (55, 32), (12, 53), (32, 53), (52, 53))
"""Middle of each class on a page, in pixels."""

_SIDES = {1: (20.0, 26.0), 2: (20.0, 26.0), 3: (18.0, 23.0), 4: (17.0, 22.0), 5: (15.0, 20.0), 6: (14.0, 19.0)}
_TINT = 0.12
_CANDIDATES = 40
_SMALLEST = 11.0


@dataclass(frozen=True)
class Item:
    """One photograph in a scene.

    Attributes:
        concept: class, position in `CONCEPTS`.
        photo: position in the `Photos` the scene is drawn with.
        x, y: where the middle of the photograph is, in pixels.
        side: side of the photograph in pixels; what it shows fills a part of it.
        tint: factors of red, green and blue.
    """

    concept: int
    photo: int
    x: float
    y: float
    side: float
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Scene:
    """A picture as plain data.

    Attributes:
        items: in drawing order, each above those before it.
        kind: of the background, one of `KINDS`.
        colour: of the background, one of `COLOURS`.
        phase: shift of the background's pattern to the right and down, in pixels.
        frame: whether there is a white frame at the border.

    Raises:
        UserError: the kind or the colour is unknown.
    """

    items: tuple[Item, ...] = ()
    kind: str = "plain"
    colour: str = "grey"
    phase: tuple[int, int] = (0, 0)
    frame: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"`kind` must be one of {', '.join(KINDS)}; got {self.kind!r}.")
        if self.colour not in COLOURS:
            raise UserError(f"`colour` must be one of {', '.join(COLOURS)}; got {self.colour!r}.")

    def counts(self) -> NDArray[np.int64]:
        """Items of each class, (10,)."""
        return np.bincount([item.concept for item in self.items], minlength=len(CONCEPTS)).astype(np.int64)

    def without(self, concept: int) -> Scene:
        """The same scene with all items of one class taken out."""
        return replace(self, items=tuple(item for item in self.items if item.concept != concept))

    def caption(self, style: Style = "default") -> str:
        """``"2 sneaker, 1 bag"``; in full also ``", striped blue background"`` and, if there is one, ``", frame"``."""
        return caption_of(self.counts(), background_words(self.kind, self.colour), self.frame, style)


def draw(scenes: Sequence[Scene], photos: Photos) -> NDArray[np.uint8]:
    """Draw scenes: uint8 (N, 64, 64, 3). Equal scenes and photographs give equal pictures.

    Raises:
        UserError: an item names a photograph that isn't there.
    """
    kinds = np.array([KINDS.index(scene.kind) for scene in scenes], dtype=np.int64)
    colours = np.array([list(COLOURS).index(scene.colour) for scene in scenes], dtype=np.int64)
    phases = np.array([scene.phase for scene in scenes], dtype=np.int64).reshape(-1, 2)
    pictures = backgrounds(kinds, colours, phases, [scene.frame for scene in scenes])
    owner, items = _flat(scenes)
    tints = np.array([item.tint for item in items], dtype=np.float32).reshape(-1, 3)
    return composite(pictures, _stamps(items, photos), owner, _places(items), tints)


def item_masks(scene: Scene, photos: Photos) -> NDArray[np.bool_]:
    """Pixels that belong to each item and no item above it: bool (M, 64, 64)."""
    solid = placed(_stamps(scene.items, photos), _places(scene.items))[:, 1] >= 0.5
    above: NDArray[np.int64] = np.cumsum(solid[::-1], axis=0)[::-1] - solid
    result: NDArray[np.bool_] = solid & (above == 0)
    return result


def masks(scenes: Sequence[Scene], photos: Photos) -> NDArray[np.bool_]:
    """Where each class is seen: bool (N, 10, 64, 64), all False where it is absent."""
    result = np.zeros((len(scenes), len(CONCEPTS), IMAGE_SIZE, IMAGE_SIZE), dtype=bool)
    for row, scene in enumerate(scenes):
        for item, mask in zip(scene.items, item_masks(scene, photos), strict=True):
            result[row, item.concept] |= mask
    return result


def _flat(scenes: Sequence[Scene]) -> tuple[NDArray[np.int64], tuple[Item, ...]]:
    owner = np.repeat(np.arange(len(scenes)), [len(scene.items) for scene in scenes]).astype(np.int64)
    return owner, tuple(item for scene in scenes for item in scene.items)


def _places(items: Sequence[Item]) -> NDArray[np.float32]:
    return np.array([(item.x, item.y, item.side) for item in items], dtype=np.float32).reshape(-1, 3)


def _stamps(items: Sequence[Item], photos: Photos) -> NDArray[np.float32]:
    wanted = np.array([item.photo for item in items], dtype=np.int64)
    if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(photos.images):
        raise UserError(f"`photo` must be in [0, {len(photos.images)}); got {wanted.min()} to {wanted.max()}.")
    return stamps_of(photos.images[wanted])


def sample_scenes(n: int, seed: int, photos: Photos, split: Split = "train", first: int = 0) -> list[Scene]:
    """Random scenes.

    Args:
        n: number of scenes, >= 1.
        seed: any integer >= 0; with `split` and the row's number it settles a row whatever `n` is.
        photos: of the split, so that splits share no photograph.
        split: which.
        first: number of the first row.

    Raises:
        UserError: `n`, `seed` or `first` is out of range, or the split is unknown.
    """
    n, seed, first = check_integer("n", n, 1), check_integer("seed", seed, 0), check_integer("first", first, 0)
    if split not in get_args(Split):
        raise UserError(f"`split` must be one of {', '.join(get_args(Split))}; got {split!r}.")
    stream = get_args(Split).index(split)
    of_class = [photos.of(concept) for concept in range(len(CONCEPTS))]
    streams = (np.random.default_rng((seed, stream, row)) for row in range(first, first + n))
    return [_sample(rng, photos, of_class) for rng in streams]


def on_page(scene: Scene) -> Scene:
    """A scene as a page of a catalogue: one item of each class, in the class's own place, in class order.

    So a caption says where things are, which that of a scene doesn't.
    """
    first: dict[int, Item] = {}
    for item in scene.items:
        first.setdefault(item.concept, item)
    items = [
        replace(first[concept], x=x, y=y, side=min(first[concept].side, PAGE_SIDE))
        for concept, (x, y) in enumerate(PAGE_PLACES)
        if concept in first
    ]
    return replace(scene, items=tuple(items))


def _sample(rng: np.random.Generator, photos: Photos, of_class: Sequence[NDArray[np.int64]]) -> Scene:
    """One scene; what is in it, then the background, then the places."""
    counts = sample_counts(rng)
    kind, colour = KINDS[rng.integers(len(KINDS))], list(COLOURS)[rng.integers(len(COLOURS))]
    phase = (int(rng.integers(16)), int(rng.integers(16)))
    frame = bool(rng.random() < FRAME_SHARE)
    concepts = rng.permutation(np.repeat(np.arange(len(CONCEPTS)), counts))
    chosen = [int(of_class[concept][rng.integers(len(of_class[concept]))]) for concept in concepts]
    low, high = _SIDES[len(chosen)]
    places = _free_places(rng, tight_boxes(stamps_of(photos.images[chosen])), rng.uniform(low, high, len(chosen)))
    tints = 1 - _TINT * rng.random((len(chosen), 3))
    items = tuple(
        Item(int(concept), photo, *place, (float(tint[0]), float(tint[1]), float(tint[2])))
        for concept, photo, place, tint in zip(concepts, chosen, places, tints.round(3), strict=True)
    )
    return Scene(items, kind, colour, phase, frame)


def sample_counts(rng: np.random.Generator) -> NDArray[np.int64]:
    """Counts (10,) of a scene of one to six items."""
    while True:
        copies = 1 + np.searchsorted(np.cumsum(COPY_SHARES)[:-1], rng.random(len(CONCEPTS)), side="right")
        counts = np.where(rng.random(len(CONCEPTS)) < PRESENCE, copies, 0)
        if 1 <= counts.sum() <= MOST_ITEMS:
            return counts.astype(np.int64)


def _free_places(
    rng: np.random.Generator, extents: NDArray[np.float32], sides: NDArray[np.float64]
) -> list[tuple[float, float, float]]:
    """Centre and side of each item: inside the picture, with little overlap; an item without room gets smaller."""
    boxes = np.zeros((0, 4))
    places = []
    for extent, side in zip(extents, sides, strict=True):
        while True:
            low, high = -extent[:2] * side, IMAGE_SIZE - extent[2:] * side
            centres = rng.uniform(low, high, (_CANDIDATES, 2))
            found = np.concatenate([centres + extent[:2] * side, centres + extent[2:] * side], axis=1)
            shared = _shared(found, boxes)
            if shared.min() <= MOST_OVERLAP or side <= _SMALLEST:
                break
            side = max(_SMALLEST, 0.92 * side)
        best = int(np.argmax(shared <= MOST_OVERLAP)) if shared.min() <= MOST_OVERLAP else int(shared.argmin())
        boxes = np.concatenate([boxes, found[best : best + 1]])
        places.append((round(float(centres[best, 0]), 2), round(float(centres[best, 1]), 2), round(float(side), 2)))
    return places


def _shared(found: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Largest part of the smaller box that each of the boxes (K, 4) shares with any of `boxes` (M, 4)."""
    if not len(boxes):
        return np.zeros(len(found))
    sides = np.minimum(found[:, None, 2:], boxes[:, 2:]) - np.maximum(found[:, None, :2], boxes[:, :2])
    area = np.prod(np.maximum(sides, 0), axis=2)
    sizes = [np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (found, boxes)]
    result: NDArray[np.float64] = (area / np.minimum(sizes[0][:, None], sizes[1])).max(axis=1)
    return result
