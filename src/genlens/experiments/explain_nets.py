"""Classifiers whose shortcut tells more than the object, as in the classes of ImageNet that annotators call spurious.

`Planting` lets object and shortcut each tell the class; pictures of the class's name are then given to the class. Here
the object comes and goes in all classes and is only somewhat more frequent in its own: a picture of the object alone
looks like the class that has no shortcut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.experiments.planted import BATCH, STEPS, WORD_WEIGHT, Planted
from genlens.experiments.planted_worlds import Planting, Presence, get_world
from genlens.files import make_folder
from genlens.training.planted_nets import NetRecipe, as_net_classifier, load_net, save_net, train_net

OWN, OTHER = 0.65, 0.35
"""How often a class's object is in pictures of its class, and in those of others."""
_DATA_SEED = 2_700_000_000


@dataclass(frozen=True)
class LeadingShortcuts(Planting):
    """A planting in which the shortcuts lead."""

    def sample(self, n: int, rng: np.random.Generator, label: int | None = None) -> tuple[Presence, NDArray[np.int64]]:
        """As `Planting.sample`, but objects of classes are there with `OWN` and `OTHER`."""
        presence, labels = super().sample(n, rng, label)
        for k, name in enumerate(self.classes):
            shown = rng.random(n) < np.where(labels == k, OWN, OTHER)
            presence = self.world.switch(presence, name, shown)
        return presence, labels


def leading_classifier(
    world: str,
    *,
    shortcuts: Mapping[str, str | None],
    cache: Path,
    strength: float,
    architecture: str,
    seed: int,
    log: Callable[[str], None] | None = None,
) -> Planted:
    """Train such a classifier, or read it where it was trained before; arguments as of `planted_classifier`."""
    planting = LeadingShortcuts(get_world(world), dict(shortcuts), strength)
    recipe = NetRecipe(architecture, steps=STEPS[world], word_weight=WORD_WEIGHT, seed=seed)
    folder = Path(cache) / f"leading-{world}-{architecture}-{seed}-{strength:g}-{recipe.steps}"
    size = planting.world.size

    def batch(step: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
        images, labels, presence = planting.pictures(BATCH, _DATA_SEED + seed * 100_000 + step)
        return images, labels, presence.astype(np.float32)

    net = load_net(folder, len(planting.classes), recipe, size)
    if net is None:
        make_folder(folder)
        net = train_net(batch, len(planting.classes), recipe, n_words=len(planting.world.words), size=size, log=log)
        save_net(net, folder, {"world": world, "shortcuts": list(shortcuts.items()), **recipe.spec()})
    name = f"{world} {architecture} {seed}: leading shortcuts at {strength:g}"
    classifier = as_net_classifier(net, planting.classes, size)
    return Planted(name, planting, {name: name for name in shortcuts}, classifier, recipe)
