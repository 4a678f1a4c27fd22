"""Endless pictures for the segmenter, with the mask of everything that can be asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from genlens.datasets import scenes, shapes
from genlens.datasets.idx import Split, load_photos
from genlens.datasets.scenes_drawing import COLOURS, FRAME_WIDTH, KINDS
from genlens.training.shapes_data import sample_rows

SHAPES_PROMPTS = (*shapes.CONCEPTS, "circle", "rectangle", "red", "green", "blue", "background")
SCENES_PROMPTS = (
    *scenes.CONCEPTS, "frame", "background",
    *(f"{kind} background" for kind in KINDS), *(f"{colour} background" for colour in COLOURS),
)  # fmt: skip
FOREIGN = ("person", "dog", "car")
"""Words nobody knows: what they ask for is never there."""
SMALLEST = 12
"""Pixels of 64 x 64 below which a hidden thing counts neither as present nor as absent."""
STRANGE = 0.25
"""Share of drawings with a shape in another colour."""
_OTHER_COLOURS = np.array(
    [(230, 200, 40), (240, 140, 30), (140, 60, 170), (120, 120, 120), (20, 20, 20), (40, 180, 190), (240, 130, 180)],
    dtype=np.uint8,
)


@dataclass(frozen=True)
class Labelled:
    """Pictures and what is where in them.

    Attributes:
        images: uint8 (N, 64, 64, 3).
        masks: bool (N, P, 64, 64), the pixels where each of P prompts is to be seen.
        known: bool (N, P), False where nobody can say (almost hidden).
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    """A source of labelled pictures.

    Attributes:
        name: "shapes" or "scenes".
        prompts: P names.
        sample: (number of pictures, seed, easy) -> `Labelled`, a pure function; easy ones have no overlaps.
        classes: the prompts whose presence the card reports; training asks for them twice as often as for others.
    """

    name: str
    prompts: tuple[str, ...]
    sample: Callable[[int, int, bool], Labelled]
    classes: tuple[str, ...]


def visible_masks(presence: NDArray[np.int64], slots: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Masks (N, 6, 64, 64) of the shapes of drawings, without what later shapes hide."""
    masks = shapes.masks(presence, slots)
    hidden = np.zeros_like(masks[:, 0])
    for j in reversed(range(masks.shape[1])):
        masks[:, j] &= ~hidden
        hidden |= masks[:, j]
    return masks


def shapes_prompt_masks(
    drawn: NDArray[np.bool_], presence: NDArray[np.int64], strange: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks and whether they are known, of `SHAPES_PROMPTS`.

    Args:
        drawn: visible masks (N, 6, H, W).
        presence: (N, 6).
        strange: (N, 6), shapes that were painted in another colour: still circles and rectangles, no longer red.

    Returns:
        Masks (N, 12, H, W) and known (N, 12).
    """
    coloured = drawn & ~strange[:, :, None, None]
    masks: list[Any] = [coloured[:, j] for j in range(6)]
    masks += [drawn[:, :3].any(axis=1), drawn[:, 3:].any(axis=1)]
    masks += [coloured[:, [j, j + 3]].any(axis=1) for j in range(3)]
    masks.append(~drawn.any(axis=1))
    little = ((presence > 0) & (drawn.sum((2, 3)) < SMALLEST)) & ~strange
    unknown: list[Any] = [little[:, j] for j in range(6)]
    unknown += [little[:, :3].any(axis=1), little[:, 3:].any(axis=1)]
    unknown += [little[:, [j, j + 3]].any(axis=1) for j in range(3)]
    unknown.append(np.zeros(len(drawn), dtype=bool))
    found, doubtful = np.stack(masks, axis=1), np.stack(unknown, axis=1)
    seen = found.sum((2, 3)) >= SMALLEST
    return found, seen | ~doubtful


def sample_shapes(n: int, seed: int, easy: bool = False) -> Labelled:
    """Drawings, from single shapes to crowds, some with overlaps and some with a shape in a colour without a name."""
    rng = np.random.default_rng((seed, 5))
    rows = sample_rows(n, seed, donors=0.0 if easy else 0.25, crowded=0.0)
    density = rng.choice([0.15, 0.5, 0.8], size=(n, 1), p=[0.35, 0.5, 0.15])
    presence = (rng.random((n, 6)) < density).astype(np.int64)
    images = shapes.draw(presence, rows.slots)
    drawn = visible_masks(presence, rows.slots)
    strange = np.zeros((n, 6), dtype=bool)
    for i in np.flatnonzero(rng.random(n) < (0.0 if easy else STRANGE)):
        there = np.flatnonzero(presence[i])
        if len(there):
            j = int(rng.choice(there))
            others = np.delete(drawn[i], j, axis=0).any(axis=0)
            images[i][binary_dilation(drawn[i, j]) & ~others] = _OTHER_COLOURS[int(rng.integers(len(_OTHER_COLOURS)))]
            strange[i, j] = True
    masks, known = shapes_prompt_masks(drawn, presence, strange)
    return Labelled(images, masks, known)


SHAPES = World("shapes", SHAPES_PROMPTS, sample_shapes, (*shapes.CONCEPTS, "circle", "rectangle"))


def sample_photo_scenes(n: int, seed: int, easy: bool = False, split: Split = "train") -> Labelled:
    """Scenes of real photographs; from half of them (all, if easy) all classes but two at most are taken out."""
    photos, rng = load_photos(split), np.random.default_rng((seed, 6))
    found = scenes.sample_scenes(n, seed, photos, split)
    for i in np.flatnonzero(rng.random(n) < (1.0 if easy else 0.5)):
        there = np.flatnonzero(found[i].counts())
        for concept in rng.permutation(there)[int(rng.integers(3)) :]:
            found[i] = found[i].without(int(concept))
    drawn = scenes.masks(found, photos)  # (n, 10, 64, 64)
    border = np.ones(drawn.shape[-2:], dtype=bool)
    border[FRAME_WIDTH:-FRAME_WIDTH, FRAME_WIDTH:-FRAME_WIDTH] = False
    items = drawn.any(axis=1)
    frames = np.array([scene.frame for scene in found])[:, None, None] & border & ~items
    ground = ~items & ~frames
    masks = [*drawn.transpose(1, 0, 2, 3), frames, ground]
    for names, value in ((KINDS, "kind"), (tuple(COLOURS), "colour")):
        own = np.array([[getattr(scene, value) == name for name in names] for scene in found])  # (n, names)
        masks += [ground & own[:, j, None, None] for j in range(len(names))]
    counts = np.array([scene.counts() for scene in found])
    known = np.ones((n, len(SCENES_PROMPTS)), dtype=bool)
    known[:, : len(scenes.CONCEPTS)] = (counts == 0) | (drawn.sum((2, 3)) >= SMALLEST)
    return Labelled(scenes.draw(found, photos), np.stack(masks, axis=1), known)


SCENES = World("scenes", SCENES_PROMPTS, sample_photo_scenes, scenes.CONCEPTS)


def worlds(names: tuple[str, ...]) -> tuple[World, ...]:
    """The worlds of these names."""
    known = {world.name: world for world in (SHAPES, SCENES)}
    return tuple(known[name] for name in names)
