"""Shapes: drawings whose concepts, masks and layout are known exactly.

Six concepts (three colours times two shapes) on a plain light background. A row of the data set has six **slots**,
one a concept, that never overlap one another; its **presence** says which of them are drawn. Slots are drawn before and
independently of presence, so switching a concept on or off moves nothing else.

Everything is a pure function of ``(seed, row)``: row 7 of 10 rows and row 7 of 10,000 rows are the same. Coordinates
are pixels of a 64 x 64 picture, x to the right, y down, the origin in the upper left corner.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genlens.errors import UserError, check_integer

COLOURS: dict[str, tuple[int, int, int]] = {"red": (214, 48, 49), "green": (39, 160, 76), "blue": (45, 93, 205)}
KINDS = ("circle", "rectangle")
CONCEPTS = ("red circle", "green circle", "blue circle", "red rectangle", "green rectangle", "blue rectangle")
IMAGE_SIZE = 64
BACKGROUND = (242, 240, 236)
RADII = (6, 9)
"""Smallest and largest radius of a circle, in pixels."""
SIDES = (10, 18)
"""Smallest and largest side of a rectangle, in pixels."""
DEFAULT_WEIGHTS = (0.48, 0.93, 0.13, 0.63, 0.33, 0.77)
"""Weights of the task that `write_imagefolder` labels and of the demo's target model, in concept order: at least .14
apart, and no two sets of shapes have the same sum, so "score above the median" splits rows without ties."""
GAP = 1
"""Free pixels between the bounding boxes of two slots of a row."""

_MAX_ATTEMPTS = 200
_CANDIDATES = 24
_N = len(CONCEPTS)
_IS_CIRCLE = np.array([concept.endswith("circle") for concept in CONCEPTS])
_RGB = np.array([COLOURS[concept.split()[0]] for concept in CONCEPTS], dtype=np.float32)
_SEGMENT = re.compile(
    r"\b(?P<colour>red|green|blue)\s+(?P<kind>circle|rectangle)\b"
    r"(?:\s*\(\s*(?P<x>\d+)\s*,\s*(?P<y>\d+)\s*\)\s*(?P<a>\d+)(?:\s+(?P<b>\d+))?)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Slots:
    """Where each of the six shapes of a row is, or would be.

    Attributes:
        params: int array (N, 6, 4) in concept order: centre x, centre y, then (radius, 0) for circles or
            (width, height) for rectangles, in pixels. The six slots of a row never overlap one another.
    """

    params: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.params)


def _hash(*parts: Any) -> NDArray[np.uint64]:
    """Splitmix64 over the broadcast integer parts: counter-based random bits, the same for a row in any batch."""
    state: NDArray[np.uint64] = np.zeros((), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            state = (state ^ np.asarray(part, dtype=np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return state


def _uniform(*parts: Any) -> NDArray[np.float64]:
    """Numbers in [0, 1) that depend only on the integer parts."""
    result: NDArray[np.float64] = (_hash(*parts) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return result


def half_extents(params: ArrayLike) -> NDArray[Any]:
    """Half width and half height (..., 6, 2) of slots (..., 6, 4), in pixels."""
    array = np.asarray(params)
    radius = np.stack([array[..., 2], array[..., 2]], axis=-1)
    return np.where(_IS_CIRCLE[:, None], radius, array[..., 2:] / 2)


def sample_slots(n: int, seed: int) -> Slots:
    """Draw six slots a row by rejection.

    Args:
        n: number of rows, >= 1.
        seed: any integer >= 0; row i depends only on (seed, i).

    Raises:
        UserError: `n` or `seed` isn't a whole number or is out of range.
    """
    n, seed = check_integer("n", n, 1), check_integer("seed", seed, 0)
    params = np.zeros((n, _N, 4), dtype=np.int64)
    pending = np.arange(n)
    for attempt in range(_MAX_ATTEMPTS):
        placed, rows = _place(pending, seed, attempt)
        params[pending[placed]] = rows[placed]
        pending = pending[~placed]
        if not len(pending):
            return Slots(params)
    raise RuntimeError(f"no free layout for {len(pending)} rows after {_MAX_ATTEMPTS} attempts")


def _place(rows: NDArray[np.int64], seed: int, attempt: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """One attempt for many rows: shape after shape takes the first of its candidate places that is free."""
    params = np.zeros((len(rows), _N, 4), dtype=np.int64)
    good = np.ones(len(rows), dtype=bool)
    index = np.arange(len(rows))
    for j in range(_N):
        low, high = RADII if _IS_CIRCLE[j] else SIDES
        size = low + (_uniform(seed, 1, rows[:, None], attempt, j, np.arange(2)) * (high - low + 1)).astype(np.int64)
        params[:, j, 2:] = size * [1, 0] if _IS_CIRCLE[j] else size
        half = half_extents(params)
        edge = np.ceil(half[:, j]).astype(np.int64)[:, None] + 1
        where = _uniform(seed, 2, rows[:, None, None], attempt, j, np.arange(2 * _CANDIDATES).reshape(1, -1, 2))
        centres = edge + (where * (IMAGE_SIZE - 2 * edge + 1)).astype(np.int64)
        apart = np.abs(centres[:, :, None] - params[:, None, :j, :2]) >= (half[:, j, None] + half[:, :j] + GAP)[:, None]
        free = apart.any(axis=-1).all(axis=-1)
        good &= free.any(axis=1)
        params[:, j, :2] = centres[index, free.argmax(axis=1)]
    return good, params


def sample_presence(n: int, seed: int, p: float = 0.5) -> NDArray[np.int64]:
    """Independent presence of the six concepts: int array (n, 6) of 0 and 1, each 1 with probability `p`.

    Raises:
        UserError: `n` < 1, `seed` < 0, or `p` outside [0, 1].
    """
    n, seed = check_integer("n", n, 1), check_integer("seed", seed, 0)
    if not 0 <= p <= 1:
        raise UserError(f"`p` must be a probability in [0, 1]; got {p}.")
    return (_uniform(seed, 3, np.arange(n)[:, None], np.arange(_N)) < p).astype(np.int64)


def segment(concept_index: int, params: ArrayLike) -> str:
    """Text of one slot: ``"red circle (12, 40) 9"`` or ``"red rectangle (12, 40) 14 10"`` (centre, then size)."""
    index = check_integer("concept_index", concept_index, 0)
    if index >= _N:
        raise UserError(f"`concept_index` must be an integer in 0..{_N - 1}; got {index}.")
    x, y, a, b = (int(value) for value in np.asarray(params))
    size = f"{a}" if _IS_CIRCLE[index] else f"{a} {b}"
    return f"{CONCEPTS[index]} ({x}, {y}) {size}"


def segment_caption(presence_row: ArrayLike, slots_row: ArrayLike) -> str:
    """Segments of the shapes that are present, in concept order, joined by ``", "``; ``""`` if there are none.

    Args:
        presence_row: (6,) of 0 and 1.
        slots_row: (6, 4), one row of `Slots.params`.
    """
    slots = np.asarray(slots_row)
    return ", ".join(segment(int(j), slots[j]) for j in np.flatnonzero(np.asarray(presence_row)))


def presence_caption(presence_row: ArrayLike) -> str:
    """Names of the shapes that are present, e.g. ``"red circle, blue rectangle"``; ``""`` if there are none."""
    return ", ".join(CONCEPTS[j] for j in np.flatnonzero(np.asarray(presence_row)))


def parse_caption(caption: str) -> list[tuple[int, tuple[int, ...] | None]]:
    """Inverse of both templates, tolerant: text that names no shape is ignored.

    Returns:
        One (concept index, slot) for each shape named, in the caption's order. The slot is (x, y, radius, 0) or
        (x, y, width, height), as in `Slots.params`, or None where the caption gives no complete position and size.
    """
    if not isinstance(caption, str):
        raise UserError(f"`caption` must be a string; got {caption!r}.")
    found: list[tuple[int, tuple[int, ...] | None]] = []
    for match in _SEGMENT.finditer(caption):
        index = CONCEPTS.index(f"{match['colour']} {match['kind']}".lower())
        numbers = [match[name] for name in "xyab"]
        if _IS_CIRCLE[index]:
            numbers[3] = "0"
        complete = all(number is not None for number in numbers)
        found.append((index, tuple(int(number) for number in numbers) if complete else None))
    return found


def _coverage(slots: ArrayLike, concept: int, size: int) -> NDArray[np.float32]:
    """How much of each pixel one shape covers: float32 (N, size, size) in [0, 1], from its signed distance."""
    scale = np.float32(size / IMAGE_SIZE)
    x, y, a, b = (np.asarray(slots)[:, concept].astype(np.float32) * scale).T[:, :, None]
    pixels = np.arange(size, dtype=np.float32) + np.float32(0.5)
    dx, dy = np.abs(pixels - x)[:, None, :], np.abs(pixels - y)[:, :, None]
    if _IS_CIRCLE[concept]:
        distance = np.sqrt(dx * dx + dy * dy) - a[:, :, None]
    else:
        distance = np.maximum(dx - a[:, :, None] / 2, dy - b[:, :, None] / 2)
    cover: NDArray[np.float32] = np.clip(np.float32(0.5) - distance, 0, 1, out=distance)
    return cover


def _params(slots: Slots | ArrayLike) -> NDArray[Any]:
    array = slots.params if isinstance(slots, Slots) else np.asarray(slots)
    if array.ndim != 3 or array.shape[1:] != (_N, 4):
        raise UserError(f"`slots` must have the shape (N, {_N}, 4); got {array.shape}.")
    return array


def _drawn(presence: ArrayLike, slots: Slots | ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    params, present = _params(slots), np.asarray(presence)
    if present.shape != params.shape[:2]:
        raise UserError(f"`presence` must have the shape {params.shape[:2]} of its slots; got {present.shape}.")
    return present, params


def draw(presence: ArrayLike, slots: Slots | ArrayLike, size: int = IMAGE_SIZE) -> NDArray[np.uint8]:
    """Draw rows, anti-aliased, later concepts above earlier ones.

    Args:
        presence: (N, 6) of 0 and 1.
        slots: `Slots` or an (N, 6, 4) array in 64-pixel coordinates (whole or real numbers).
        size: side of the pictures in pixels.

    Returns:
        uint8 array (N, size, size, 3).
    """
    present, params = _drawn(presence, slots)
    size = check_integer("size", size, 1)
    images = np.empty((len(params), 3, size, size), dtype=np.float32)
    images[:] = np.array(BACKGROUND, dtype=np.float32)[:, None, None]
    for j in range(_N):
        rows = np.flatnonzero(present[:, j])
        if len(rows):
            cover = _coverage(params[rows], j, size)[:, None]
            images[rows] += cover * (_RGB[j][:, None, None] - images[rows])
    return np.ascontiguousarray((images + np.float32(0.5)).astype(np.uint8).transpose(0, 2, 3, 1))


def masks(presence: ArrayLike, slots: Slots | ArrayLike, size: int = IMAGE_SIZE) -> NDArray[np.bool_]:
    """Pixels at least half covered by each present shape: bool (N, 6, size, size), all False where it is absent."""
    present, params = _drawn(presence, slots)
    size = check_integer("size", size, 1)
    cover = np.stack([_coverage(params, j, size) >= 0.5 for j in range(_N)], axis=1)
    result: NDArray[np.bool_] = cover & (present[:, :, None, None] != 0)
    return result


def draw_caption(caption: str, seed: int, size: int = IMAGE_SIZE) -> NDArray[np.uint8]:
    """Perfect rendering of a caption of either template: uint8 (size, size, 3).

    A shape named without a position takes its slot from `seed`, whatever else the caption names, so switching one
    concept moves no other. A shape named twice is drawn where it was named last. Other text draws nothing.
    """
    params = sample_slots(1, seed).params.copy()
    presence = np.zeros((1, _N), dtype=np.int64)
    for index, slot in parse_caption(caption):
        presence[0, index] = 1
        if slot is not None:
            params[0, index] = slot
    image: NDArray[np.uint8] = draw(presence, params, size)[0]
    return image


def task_labels(presence: ArrayLike, weights: ArrayLike = DEFAULT_WEIGHTS) -> NDArray[np.int64]:
    """The paper's task: 1 where the weighted sum of the shapes present is above its median over these rows, else 0.

    Args:
        presence: (N, 6) of 0 and 1.
        weights: (6,), drawn from [0, 1] in the paper.
    """
    score = np.asarray(presence) @ np.asarray(weights, dtype=np.float64)
    labels: NDArray[np.int64] = (score > np.median(score)).astype(np.int64)
    return labels


def write_imagefolder(out: Path, n: int, seed: int) -> None:
    """Write `n` rows as a Hugging Face imagefolder; the same arguments write the same bytes.

    Files: ``images/000000.png`` ...; ``masks/000000.png`` ..., grey pictures in whose pixels bit j says that concept j
    is there (see `read_masks`); ``metadata.csv`` with the columns file_name, the six concepts (0 or 1), ``"<concept>
    slot"`` (the slot's text whether or not the shape is present), caption (segments), label (`task_labels`).

    Raises:
        UserError: `n` or `seed` is out of range, or `out` holds a metadata.csv already.
    """
    from PIL import Image

    slots, presence = sample_slots(n, seed), sample_presence(n, seed)
    out = Path(out)
    if (out / "metadata.csv").exists():
        raise UserError(f"`out` must not hold a data set yet; got {out} with a metadata.csv. Choose another folder.")
    for name in ("images", "masks"):
        (out / name).mkdir(parents=True, exist_ok=True)
    labels = task_labels(presence)
    header = ["file_name", *CONCEPTS, *(f"{concept} slot" for concept in CONCEPTS), "caption", "label"]
    lines: list[list[Any]] = [header]
    for i, (row, params) in enumerate(zip(presence, slots.params, strict=True)):
        name = f"{i:06d}.png"
        Image.fromarray(draw(row[None], params[None])[0]).save(out / "images" / name)
        bits = (masks(row[None], params[None])[0] * (1 << np.arange(_N))[:, None, None]).sum(axis=0)
        Image.fromarray(bits.astype(np.uint8)).save(out / "masks" / name)
        places = [segment(j, params[j]) for j in range(_N)]
        lines.append([f"images/{name}", *row, *places, segment_caption(row, params), labels[i]])
    with (out / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def read_masks(path: Path) -> NDArray[np.bool_]:
    """Masks of one row, bool (6, H, W) in concept order, from a file that `write_imagefolder` wrote."""
    from PIL import Image

    with Image.open(path) as picture:
        bits = np.asarray(picture)
    result: NDArray[np.bool_] = (bits[None] >> np.arange(_N)[:, None, None]) & 1 == 1
    return result
