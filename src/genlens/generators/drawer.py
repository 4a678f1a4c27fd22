"""A perfect generator for the shapes data set: it draws what the caption says, and knows how to misbehave.

The switches for harm are negative controls: each breaks one thing that a check of the method must catch, and nothing
else. `ignore_flips` and `leak` act only on images whose caption differs from the reference caption of their seed, so
reference images stay perfect; `blur` acts on every image; `fresh_noise` breaks the seed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from genlens.datasets.shapes import CONCEPTS, IMAGE_SIZE, draw, parse_caption, sample_slots
from genlens.errors import UserError

_DRAWING = "shapes drawing 1"

Slots = dict[int, tuple[int, ...] | None]  # concept index -> where the caption puts it, None where it doesn't say


class DrawerGenerator:
    """Draws captions of the shapes data set; see `genlens.datasets.shapes.draw_caption`.

    Args:
        size: side of the images in pixels.
        ignore_flips: share in [0, 1] of concept flips that don't show: the concept stays as in the reference caption.
        leak: (from, into, share): where concept `from` was flipped, concept `into` takes its new state as well, in
            this share of the rows.
        blur: standard deviation of a Gaussian blur of every image, in pixels.
        fresh_noise: draw another layout at every call, even for the same caption and seed.
        references: seed -> reference caption of that seed; needed by `ignore_flips` and `leak`.

    Raises:
        UserError: an argument is out of range, or names no concept.
    """

    def __init__(
        self,
        size: int = IMAGE_SIZE,
        *,
        ignore_flips: float = 0.0,
        leak: tuple[str, str, float] | None = None,
        blur: float = 0.0,
        fresh_noise: bool = False,
        references: Mapping[int, str] | None = None,
    ) -> None:
        _check_share("ignore_flips", ignore_flips)
        if leak is not None:
            _check_leak(leak)
        if blur < 0:
            raise UserError(f"`blur` must be a number of pixels >= 0; got {blur}.")
        if isinstance(size, bool) or not isinstance(size, int) or size < 8:
            raise UserError(f"`size` must be an integer >= 8; got {size!r}.")
        if (ignore_flips or leak) and references is None:
            raise UserError("`references` must map seeds to reference captions when `ignore_flips` or `leak` is set.")
        self.size, self.ignore_flips, self.leak, self.blur = size, ignore_flips, leak, blur
        self.fresh_noise = fresh_noise
        self.references = {int(seed): caption for seed, caption in (references or {}).items()}
        self._images_drawn = 0

    @property
    def fingerprint(self) -> str:
        """Hash of the size and the switches."""
        harm = bool(self.ignore_flips or self.leak)
        references = sorted(self.references.items()) if harm else []
        fields = [_DRAWING, self.size, self.ignore_flips, self.leak, self.blur, self.fresh_noise, references]
        return blake2b(json.dumps(fields).encode(), digest_size=16).hexdigest()

    def check_captions(self, captions: Sequence[str]) -> None:
        """Nothing is too long for the drawer; text that names no shape draws nothing."""

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Draw uint8 images (B, size, size, 3). Raises UserError for a seed that `references` lacks but needs."""
        presence = np.zeros((len(captions), len(CONCEPTS)), dtype=np.int64)
        params = np.zeros((len(captions), len(CONCEPTS), 4), dtype=np.int64)
        layouts = [self._layout(int(seed)) for seed in seeds]
        for i, (caption, seed, layout) in enumerate(zip(captions, seeds, layouts, strict=True)):
            slots = self._misread(caption, int(seed))
            if None in slots.values():
                params[i] = sample_slots(1, layout).params[0]
            for concept, slot in slots.items():
                presence[i, concept] = 1
                params[i, concept] = params[i, concept] if slot is None else slot
        return self._spoil(draw(presence, params, self.size), layouts)

    def _layout(self, seed: int) -> int:
        """Seed of the layout: the image's own, or another at every call."""
        if not self.fresh_noise:
            return seed
        self._images_drawn += 1
        return _hash(seed, "fresh", self._images_drawn)

    def _spoil(self, images: NDArray[np.uint8], layouts: list[int]) -> NDArray[np.uint8]:
        if self.fresh_noise:  # captions with positions fix the layout, so turn and mirror the whole picture
            turned = [np.rot90(image, layout % 4) for image, layout in zip(images, layouts, strict=True)]
            images = np.stack([image[:, ::-1] if k & 4 else image for image, k in zip(turned, layouts, strict=True)])
        if self.blur:
            from scipy.ndimage import gaussian_filter

            images = gaussian_filter(images, sigma=(0, self.blur, self.blur, 0), mode="nearest")
        return images

    def _misread(self, caption: str, seed: int) -> Slots:
        """What is drawn when `caption` is asked for."""
        asked = dict(parse_caption(caption))
        if not (self.ignore_flips or self.leak):
            return asked
        if seed not in self.references:
            raise UserError(f"`references` must have a caption for every seed; seed {seed} has none.")
        drawn, reference = dict(asked), dict(parse_caption(self.references[seed]))
        flipped = [j for j in range(len(CONCEPTS)) if (j in asked) != (j in reference)]
        if self.leak and CONCEPTS.index(self.leak[0]) in flipped and _share(seed, "leak", 0) < self.leak[2]:
            source, target = (CONCEPTS.index(name) for name in self.leak[:2])
            _set(drawn, target, source in asked, asked, reference)
        for j in flipped:
            if _share(seed, "ignore", j) < self.ignore_flips:
                _set(drawn, j, j in reference, reference)
        return drawn


def _set(drawn: Slots, concept: int, on: bool, *sources: Slots) -> None:
    """Switch a concept; when on, where the first source that names it puts it."""
    drawn.pop(concept, None)
    if on:
        drawn[concept] = next((source[concept] for source in sources if concept in source), None)


def _hash(seed: int, purpose: str, number: int) -> int:
    digest = blake2b(f"{seed}:{purpose}:{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _share(seed: int, purpose: str, number: int) -> float:
    """A number in [0, 1) that depends only on the arguments."""
    return _hash(seed, purpose, number) / 2**63


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise UserError(f"`{name}` must be a share in [0, 1]; got {share}.")


def _check_leak(leak: tuple[str, str, float]) -> None:
    if len(leak) != 3:
        raise UserError(f"`leak` must be (from_concept, into_concept, share); got {leak!r}.")
    for concept in leak[:2]:
        if concept not in CONCEPTS:
            raise UserError(f"`leak` names '{concept}', which is no shape. Shapes: {', '.join(CONCEPTS)}.")
    _check_share("leak", leak[2])
