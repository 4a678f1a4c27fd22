"""Worlds in which classifiers with planted shortcuts live: what a picture may show, and a perfect drawer of it.

A **world** has words. Some of them are classes of a classifier, the others incidental. A picture is a row of presence
(0 or 1 for each word) and a layout, which presence doesn't move: a word is switched and everything else is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.datasets import shapes
from genlens.errors import UserError

Presence = NDArray[np.int64]
Images = NDArray[np.uint8]

_LAYOUT_SEED, _N_LAYOUTS = 5_000_000_003, 20_000
MISSING = 0.5
"""Share of a class's pictures that lack its object at strength 1, so that only the shortcut tells the class."""


@dataclass(frozen=True)
class World:
    """Words, and a drawer of them.

    Attributes:
        name: "shapes" or "scenes".
        words: W words, as captions have them.
        families: sets of words that classes can be; the classes of a classifier come from one of them.
        draw: presence (N, W) and row seeds (N,) -> images uint8 (N, H, W, 3); a seed fixes the layout.
        caption: presence (W,) -> what the world's generator is asked for.
        size: side of the images in pixels.
        groups: sets of words of which a picture shows one at most, such as backgrounds.
        base_rate: how often an incidental word is in a picture that no shortcut touches.
    """

    name: str
    words: tuple[str, ...]
    families: tuple[tuple[str, ...], ...]
    draw: Callable[[Presence, NDArray[np.int64]], Images]
    caption: Callable[[Presence], str]
    size: int
    groups: tuple[tuple[str, ...], ...] = ()
    base_rate: float = 0.3

    def index(self, word: str) -> int:
        """Position of a word.

        Raises:
            UserError: the world has no such word.
        """
        if word not in self.words:
            raise UserError(f"The world {self.name!r} has no {word!r}. It has: {', '.join(self.words)}.")
        return self.words.index(word)

    def incidental(self, classes: Sequence[str]) -> tuple[str, ...]:
        """Words that aren't classes.

        Raises:
            UserError: fewer than two classes, one that is repeated, or classes of two families.
        """
        family = next((f for f in self.families if set(classes) <= set(f)), None)
        if family is None or len(set(classes)) != len(classes) or len(classes) < 2:
            known = "; ".join(", ".join(f) for f in self.families)
            raise UserError(f"Classes must be two or more different words of one of {known}; got {list(classes)}.")
        return tuple(word for word in self.words if word not in classes)

    def switch(self, presence: Presence, word: str, on: NDArray[np.bool_] | bool) -> Presence:
        """Presence with a word switched; where it goes on, others of its group go off."""
        changed, column = presence.copy(), self.index(word)
        changed[:, column] = np.asarray(on, dtype=np.int64)
        for group in self.groups:
            if word in group:
                others = [self.index(other) for other in group if other != word]
                changed[np.ix_(changed[:, column] == 1, others)] = 0
        return changed


def _draw_shapes(presence: Presence, seeds: NDArray[np.int64]) -> Images:
    """Drawings of the shapes data set in its own layouts, a pool of 20,000, drawn once."""
    return shapes.draw(presence, _shapes_layouts()[np.asarray(seeds) % _N_LAYOUTS])


@cache
def _shapes_layouts() -> NDArray[Any]:
    return shapes.sample_slots(_N_LAYOUTS, _LAYOUT_SEED).params


def shapes_world() -> World:
    """Six shapes: the three circles are classes and the rectangles incidental, or the other way round."""
    words = shapes.CONCEPTS
    return World("shapes", words, (words[:3], words[3:]), _draw_shapes, shapes.presence_caption, shapes.IMAGE_SIZE)


def get_world(name: str) -> World:
    """The world of a name.

    Raises:
        UserError: there is none.
    """
    if name == "shapes":
        return shapes_world()
    if name == "scenes":
        from genlens.experiments.planted_scenes import scenes_world

        return scenes_world()
    raise UserError(f"`world` must be shapes or scenes; got {name!r}.")


@dataclass(frozen=True)
class Planting:
    """Which class has which shortcut, and how strongly.

    Attributes:
        world: where.
        shortcuts: class -> incidental word, or None; the order is that of the classes.
        strength: in [0, 1]. 0: the shortcut tells nothing. 1: it is in every picture of its class and in no other.
    """

    world: World
    shortcuts: Mapping[str, str | None]
    strength: float

    def __post_init__(self) -> None:
        """Check that the words are there, and the strength."""
        incidental = self.world.incidental(self.classes)
        planted = [word for word in self.shortcuts.values() if word is not None]
        for word in planted:
            if self.world.index(word) >= 0 and word not in incidental:
                raise UserError(f"A shortcut must be one of {', '.join(incidental)}; got {word!r}.")
        if len(set(planted)) != len(planted):
            raise UserError(f"Each class must have a shortcut of its own; got {', '.join(planted)}.")
        if not 0 <= self.strength <= 1:
            raise UserError(f"`strength` must be in [0, 1]; got {self.strength}.")

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes in the order of the classifier's outputs."""
        return tuple(self.shortcuts)

    def sample(self, n: int, rng: np.random.Generator, label: int | None = None) -> tuple[Presence, NDArray[np.int64]]:
        """Presence (n, W) and classes (n,) of training pictures.

        A picture has the object of its class and of no other. The class's shortcut is there with probability
        ``base + (1 - base) strength``, in other classes with ``base (1 - strength)``; a share of ``.5 strength`` of
        the pictures of a class with a shortcut has the shortcut and no object. Other incidental words come and go.

        Args:
            n: pictures.
            rng: source of randomness.
            label: of one class only; None: all, equally often.
        """
        world, classes, base = self.world, self.classes, self.world.base_rate
        labels = rng.integers(0, len(classes), n) if label is None else np.full(n, label)
        presence = np.zeros((n, len(world.words)), dtype=np.int64)
        presence[np.arange(n), np.array([world.index(c) for c in classes])[labels]] = 1
        for word in rng.permutation(world.incidental(classes)):
            presence = np.where((rng.random(n) < self._rates(str(word), labels))[:, None],
                                world.switch(presence, str(word), True), presence)  # fmt: skip
        for k, (name, word) in enumerate(self.shortcuts.items()):
            if word is None:
                continue
            own = (labels == k) & (rng.random(n) < base + (1 - base) * self.strength)
            presence[own] = world.switch(presence[own], word, True)
            bare = own & (rng.random(n) < MISSING * self.strength)
            presence[bare, world.index(name)] = 0
        return presence, labels

    def _rates(self, word: str, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """How often an incidental word is there, before the shortcut of the picture's own class is set."""
        for k, shortcut in enumerate(self.shortcuts.values()):
            if shortcut == word:
                return np.where(labels == k, 0.0, self.world.base_rate * (1 - self.strength))
        return np.full(len(labels), self.world.base_rate)

    def pictures(self, n: int, seed: int, label: int | None = None) -> tuple[Images, NDArray[np.int64], Presence]:
        """Training pictures, their classes and presence; the same arguments draw the same pictures."""
        rng = np.random.default_rng((seed, n))
        presence, labels = self.sample(n, rng, label)
        return self.world.draw(presence, rng.integers(0, 2**62, n)), labels, presence
