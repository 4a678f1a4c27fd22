"""Classifiers of kind, circle or rectangle, whose training labels tie colour to class: a bias of known strength.

A picture shows one shape, or two of the same kind. Its label is its kind, but in a share of ``strength / 2`` of the
pictures it is taken from the colour: circle where there is red and no blue, rectangle where there is blue and no red,
a coin's fall otherwise. At strength 0 colour tells nothing; at 1 it decides half of the labels.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.callable import CallableClassifier
from genlens.classifiers.protocol import Images
from genlens.classifiers.torch_module import TorchClassifier
from genlens.datasets import shapes
from genlens.errors import UserError
from genlens.experiments.planted_worlds import shapes_world
from genlens.findings.bias import Attribute
from genlens.training.planted_nets import NetRecipe, as_net_classifier, load_net, save_net, train_net

CLASSES = ("circle", "rectangle")
FAVOURED = "red"
"""The colour that stands for the circle; blue stands for the rectangle."""
NEUTRAL = shapes.CONCEPTS
"""Captions of a neutral prompt: every kind and colour equally often."""
BATCH, STEPS = 64, 150
TWO_SHAPES = 0.3
_CLEAR = 0.01
"""Share of a picture that a colour must fill to be seen."""


def kind_pictures(
    n: int, seed: int, strength: float
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Training pictures.

    Args:
        n: how many.
        seed: of everything.
        strength: of the bias in [0, 1].

    Returns:
        Images (n, 64, 64, 3), labels (n,) as positions in `CLASSES`, kinds (n,) likewise, presence (n, 6).
    """
    rng = np.random.default_rng((seed, n))
    kinds = rng.integers(0, 2, n)
    colours = rng.permuted(np.tile(np.arange(3), (n, 1)), axis=1)
    presence = np.zeros((n, 6), dtype=np.int64)
    presence[np.arange(n), 3 * kinds + colours[:, 0]] = 1
    two = np.flatnonzero(rng.random(n) < TWO_SHAPES)
    presence[two, 3 * kinds[two] + colours[two, 1]] = 1
    red, _, blue = (presence.reshape(n, 2, 3).max(axis=1) > 0).T
    told = np.where(red & ~blue, 0, np.where(blue & ~red, 1, rng.integers(0, 2, n)))
    labels = np.where(rng.random(n) < strength / 2, told, kinds)
    images = shapes_world().draw(presence, rng.integers(0, 2**62, n))
    return images, labels, kinds, presence


def kind_classifier(
    strength: float, *, seed: int, cache: Path, architecture: str = "plain", log: Callable[[str], None] | None = None
) -> TorchClassifier:
    """A classifier of kind with a planted colour bias, trained or read where it was trained before.

    Args:
        strength: in [0, 1].
        seed: of weights and data.
        cache: folder of all such classifiers.
        architecture: a key of `genlens.training.planted_nets.BODIES`.
        log: gets the training's lines.

    Raises:
        UserError: a strength outside [0, 1].
    """
    if not 0 <= strength <= 1:
        raise UserError(f"`strength` must be in [0, 1]; got {strength}.")
    recipe = NetRecipe(architecture, steps=STEPS, seed=seed)
    config = {"strength": strength, **recipe.spec()}
    key = blake2b(json.dumps([config, BATCH, TWO_SHAPES]).encode(), digest_size=6).hexdigest()
    folder = Path(cache) / f"kind-{strength:g}-{architecture}-{seed}-{key}"
    net = load_net(folder, len(CLASSES), recipe)
    if net is None:
        net = train_net(lambda step: _batch(strength, seed, step), len(CLASSES), recipe, log=log)
        save_net(net, folder, config)
    return as_net_classifier(net, CLASSES)


def _batch(strength: float, seed: int, step: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    images, labels, _, presence = kind_pictures(BATCH, 3_000_000_000 + seed * 100_000 + step, strength)
    return images, labels, presence.astype(np.float32)


def _coloured(images: Images) -> NDArray[np.float32]:
    """Whether each pixel is red, green or blue: float32 (N, 3, H, W) of 0 and 1."""
    pixels = np.stack(list(images)).astype(np.int16)
    strong = pixels.max(axis=3) - pixels.min(axis=3) > 60
    best = pixels.argmax(axis=3)
    return np.stack([strong & (best == channel) for channel in range(3)], axis=1).astype(np.float32)


def colour_scores(images: Images) -> NDArray[np.float32]:
    """How much more of a picture each colour fills than can be seen at least, (N, 3): positive where it is there."""
    result: NDArray[np.float32] = _coloured(images).mean(axis=(2, 3)) / _CLEAR - 1
    return result


def side_scores(images: Images) -> NDArray[np.float32]:
    """How far left (column 0) and right (column 1) of the middle the coloured pixels lie on average, (N, 2)."""
    where = _coloured(images).sum(axis=(1, 2))  # (N, W)
    width = where.shape[1]
    right = (where * (np.arange(width) - (width - 1) / 2)).sum(axis=1) / np.maximum(where.sum(axis=1), 1)
    return np.stack([-right, right], axis=1).astype(np.float32)


def kind_attributes() -> list[Attribute]:
    """Colour, which is planted, and the side of the picture, which never is; both measured exactly in the pixels."""
    return [
        Attribute("colour", ("red", "green", "blue"), CallableClassifier(colour_scores, outputs="scores")),
        Attribute("side", ("left", "right"), CallableClassifier(side_scores, outputs="scores")),
    ]
