"""A perfect generator for scenes: it draws what the caption says from real photographs.

The seed settles a place, a photograph and a tint for every class and copy, and a background for captions that name
none, whatever the caption says: switching one concept moves and changes nothing else. A frame is drawn where it is
named.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.datasets.idx import Photos, Split, load_photos
from genlens.datasets.scenes import Item, Scene, draw
from genlens.datasets.scenes_captions import CONCEPTS, MOST_COPIES, parse_caption
from genlens.datasets.scenes_drawing import COLOURS, IMAGE_SIZE, KINDS
from genlens.datasets.scenes_layout import LAYOUT_NUMBERS, layout_places

_DRAWING = "scenes drawing 1"
_TINT = 0.12


class ScenesDrawer:
    """Draws captions of the scenes data set, of either style; see `genlens.datasets.scenes_captions.parse_caption`.

    Args:
        photos: the photographs; None: those of `split` on this machine.
        split: which photographs.
        folder: of Fashion-MNIST's IDX files; None: where systems put them.

    Raises:
        UserError: the photographs aren't found.
    """

    def __init__(
        self, photos: Photos | None = None, *, split: Split = "test", folder: str | Path | None = None
    ) -> None:
        self.photos = photos or load_photos(split, folder)
        self._of_class = [self.photos.of(concept) for concept in range(len(CONCEPTS))]

    @property
    def fingerprint(self) -> str:
        """Hash of the photographs."""
        digest = blake2b(json.dumps([_DRAWING, IMAGE_SIZE]).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.photos.images).tobytes() + self.photos.labels.tobytes())
        return digest.hexdigest()

    def check_captions(self, captions: Sequence[str]) -> None:
        """Nothing is too long for the drawer; words it doesn't know draw nothing."""

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Draw uint8 images (B, 64, 64, 3)."""
        return draw([self.scene(c, int(seed)) for c, seed in zip(captions, seeds, strict=True)], self.photos)

    def scene(self, caption: str, seed: int) -> Scene:
        """What is drawn for a caption and a seed."""
        asked, rng = parse_caption(caption), np.random.default_rng(seed)
        places = layout_places(rng.standard_normal((1, LAYOUT_NUMBERS)))[0]  # (10, 3, 3)
        chances = rng.random((len(CONCEPTS), MOST_COPIES))
        tints = 1 - _TINT * rng.random((len(CONCEPTS), MOST_COPIES, 3))
        kind, colour = KINDS[rng.integers(len(KINDS))], list(COLOURS)[rng.integers(len(COLOURS))]
        items = []
        for copy in reversed(range(MOST_COPIES)):  # first copies on top
            for concept in (j for j, count in enumerate(asked.counts) if count > copy):
                photo = self._of_class[concept][int(chances[concept, copy] * len(self._of_class[concept]))]
                x, y, side = (float(value) for value in places[concept, copy])
                red, green, blue = (float(value) for value in tints[concept, copy])
                items.append(Item(concept, int(photo), x, y, side, (red, green, blue)))
        return Scene(tuple(items), asked.kind or kind, asked.colour or colour, (0, 0), asked.frame)
