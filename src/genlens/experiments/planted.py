"""Classifiers with planted shortcuts, and the truth about what each of their neural features answers to.

    planted = planted_classifier("shapes", shortcuts={"red circle": "blue rectangle", "green circle": None,
                                                      "blue circle": "red rectangle"}, cache=folder)
    for feature in true_features(planted): print(feature.name, feature.feature, feature.truth)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.torch_module import TorchClassifier
from genlens.experiments.planted_worlds import Planting, Presence, get_world
from genlens.training.planted_nets import NetRecipe, as_net_classifier, load_net, penultimate, save_net, train_net

BATCH = 64
STEPS = {"shapes": 300, "scenes": 400}
WORD_WEIGHT = 1.0
"""With none, units of some architectures answer to a class's object and shortcut alike, and few pairs have a truth."""
CLASS_ROWS = 300
"""Pictures of a class over which its features are ranked."""
CONTEXTS = 200
"""Pictures on which each word is switched off and on."""
MAJORITY = 0.75
"""A feature is core (spurious) when this share of object and shortcut effect together is the object's (shortcut's)."""
FLOOR = 0.2
"""An effect below this share of the feature's mean over its class doesn't count."""
_HELD_OUT = 1_000_003

Truth = Literal["core", "spurious", "mixed", "other"]


@dataclass(frozen=True, eq=False)
class Planted:
    """A classifier whose shortcuts are known.

    Attributes:
        name: says the world, the shortcuts, strength, architecture and seed.
        planting: world, classes, shortcuts and strength.
        core: class -> the word of its object in captions.
        classifier: logits, one column a class; its module has the layers `features` (F units) and `head`.
        recipe: how it was trained.
    """

    name: str
    planting: Planting
    core: Mapping[str, str]
    classifier: TorchClassifier
    recipe: NetRecipe

    @property
    def world(self) -> str:
        """Name of the world."""
        return self.planting.world.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes in the order of the outputs."""
        return self.planting.classes

    @property
    def shortcut(self) -> Mapping[str, str | None]:
        """Class -> its shortcut's word, or None."""
        return self.planting.shortcuts

    @property
    def architecture(self) -> str:
        """Key of `genlens.training.planted_nets.BODIES`."""
        return self.recipe.architecture

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return self.recipe.seed

    @property
    def weights(self) -> NDArray[np.float32]:
        """Weights (C, F) of the head."""
        head: Any = self.classifier.module.head
        weights: NDArray[np.float32] = head.weight.detach().numpy()
        return weights

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Neural features (N, F) of images (N, H, W, 3)."""
        return penultimate(self.classifier, images)

    def class_images(self, name: str, n: int, seed: int = _HELD_OUT) -> NDArray[np.uint8]:
        """`n` pictures of a class, as the training saw them but none of those: uint8 (n, H, W, 3)."""
        return self.planting.pictures(n, seed, self.classes.index(name))[0]


def planted_classifier(
    world: str,
    *,
    shortcuts: Mapping[str, str | None],
    cache: Path,
    strength: float = 0.9,
    architecture: str = "plain",
    seed: int = 0,
    steps: int | None = None,
    log: Callable[[str], None] | None = None,
) -> Planted:
    """Train a classifier with planted shortcuts, or read it where it was trained before.

    Args:
        world: "shapes" or "scenes".
        shortcuts: class -> incidental word or None, in the order of the outputs; all classes come from one family of
            the world, such as the circles.
        cache: folder of all such classifiers; this one gets a folder of its own in it.
        strength: see `Planting`.
        architecture: "plain", "residual", "transformer" or "alexnet".
        seed: of weights and data.
        steps: batches of 64; None: 300 for shapes, 400 for scenes.
        log: gets the training's lines.

    Raises:
        UserError: an unknown world, word or architecture, or a strength outside [0, 1].
    """
    planting = Planting(get_world(world), dict(shortcuts), strength)
    recipe = NetRecipe(architecture, steps=steps or STEPS[world], word_weight=WORD_WEIGHT, seed=seed)
    config = {"world": world, "shortcuts": list(shortcuts.items()), "strength": strength, **recipe.spec()}
    key = blake2b(json.dumps([config, BATCH, planting.world.base_rate]).encode(), digest_size=6).hexdigest()
    folder = Path(cache) / f"{world}-{architecture}-{seed}-{key}"
    size = planting.world.size
    net = load_net(folder, len(planting.classes), recipe, size)
    if net is None:
        net = train_net(lambda step: _batch(planting, seed, step), len(planting.classes), recipe,
                        n_words=len(planting.world.words), size=size, log=log)  # fmt: skip
        save_net(net, folder, config)
    ties = ", ".join(f"{name} + {word}" for name, word in shortcuts.items() if word) or "none"
    name = f"{world} {architecture} {seed}: {ties} at {strength:g}"
    classifier = as_net_classifier(net, planting.classes, size)
    return Planted(name, planting, {word: word for word in shortcuts}, classifier, recipe)


def _batch(
    planting: Planting, seed: int, step: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    images, labels, presence = planting.pictures(BATCH, 2_000_000_000 + seed * 100_000 + step)
    return images, labels, presence.astype(np.float32)


@dataclass(frozen=True)
class TrueFeature:
    """A class-feature pair and what the feature answers to, by intervention with the perfect drawer.

    Attributes:
        name: the class.
        class_index: its output.
        feature: index of the neural feature.
        rank: 1 is the class's largest mean of feature times weight.
        contribution: that mean, over pictures of the class.
        core: mean change of the feature when the class's object is put in.
        shortcut: the same for the class's shortcut; 0 where it has none.
        other: the largest such change by any other word.
        other_word: which word that is.
        truth: "core", "spurious", "mixed" or "other"; see `true_features`.
    """

    name: str
    class_index: int
    feature: int
    rank: int
    contribution: float
    core: float
    shortcut: float
    other: float
    other_word: str
    truth: Truth


def true_features(planted: Planted, *, top_k: int = 5, contexts: int = CONTEXTS, seed: int = 0) -> list[TrueFeature]:
    """Truth of the top features of each class.

    Features are ranked by the mean of feature times weight over pictures of the class (as in Salient ImageNet); only
    those with a positive contribution count. On `contexts` pictures (the class's object in half of them, no other
    class's object, incidental words at their base rate) each word is taken out and put in, everything else kept; its
    effect is the mean change of the feature. With a = max(core effect, 0) and b = max(shortcut effect, 0):
    "core" when a / (a + b) >= .75, "spurious" when b / (a + b) >= .75, "mixed" in between; but "other" when another
    word's effect is as large as both or when both are below a fifth of the feature's mean over pictures of the class.

    Args:
        planted: the classifier.
        top_k: features a class.
        contexts: pictures a word is switched on.
        seed: of the pictures.

    Returns:
        At most `top_k` entries a class, in the order of classes and ranks.
    """
    found: list[TrueFeature] = []
    for index, name in enumerate(planted.classes):
        means = planted.features(planted.class_images(name, CLASS_ROWS, _HELD_OUT + 1 + seed)).mean(axis=0)  # (F,)
        contribution = means * planted.weights[index]
        effects = _effects(planted, name, contexts, seed)
        order = np.argsort(-contribution)[:top_k]
        for rank, feature in enumerate(order, start=1):
            if contribution[feature] <= 0:
                break
            own = {word: float(change[feature]) for word, change in effects.items()}
            part = (name, index, int(feature), rank, float(contribution[feature]))
            found.append(_judged(planted.shortcut[name], part, float(means[feature]), own))
    return found


def _effects(planted: Planted, name: str, contexts: int, seed: int) -> dict[str, NDArray[np.float32]]:
    """Word -> mean change (F,) of the features when it is put in."""
    world, rng = planted.planting.world, np.random.default_rng((seed, 17))
    presence: Presence = np.zeros((contexts, len(world.words)), dtype=np.int64)
    for word in rng.permutation(world.incidental(planted.classes)):
        chosen = rng.random(contexts) < world.base_rate
        presence[chosen] = world.switch(presence[chosen], str(word), True)
    presence[:, world.index(name)] = rng.random(contexts) < 0.5
    layouts = rng.integers(0, 2**62, contexts)
    words = [*planted.classes, *world.incidental(planted.classes)]
    effects = {}
    for word in words:
        states = [planted.features(world.draw(world.switch(presence, word, on), layouts)) for on in (False, True)]
        effects[word] = (states[1] - states[0]).mean(axis=0)
    return effects


def _judged(
    shortcut: str | None, part: tuple[str, int, int, int, float], mean: float, effects: Mapping[str, float]
) -> TrueFeature:
    """The entry of a pair: (class, index, feature, rank, contribution), the feature's mean and the words' effects."""
    core, tied = effects[part[0]], effects[shortcut] if shortcut else 0.0
    rest = {word: change for word, change in effects.items() if word not in (part[0], shortcut)}
    word = max(rest, key=lambda key: rest[key])
    return TrueFeature(*part, core, tied, rest[word], word, judge(core, tied, rest[word], mean))


def judge(core: float, shortcut: float, other: float, mean: float) -> Truth:
    """Truth of a feature from the effects of object, shortcut and the strongest other word, and its mean."""
    a, b = max(core, 0.0), max(shortcut, 0.0)
    if max(a, b) <= max(other, FLOOR * mean):
        return "other"
    if a >= MAJORITY * (a + b):
        return "core"
    return "spurious" if b >= MAJORITY * (a + b) else "mixed"


def balanced(features: Sequence[Sequence[TrueFeature]], seed: int = 0) -> list[tuple[int, TrueFeature]]:
    """As many core as spurious pairs: (index of the classifier, pair), the more frequent truth thinned out at random.

    Args:
        features: what `true_features` found for each classifier.
        seed: of the choice.
    """
    pairs = [(k, pair) for k, found in enumerate(features) for pair in found]
    sides = [[entry for entry in pairs if entry[1].truth == truth] for truth in ("core", "spurious")]
    n, rng = min(map(len, sides)), np.random.default_rng(seed)
    chosen = [side[int(i)] for side in sides for i in np.sort(rng.permutation(len(side))[:n])]
    return sorted(chosen, key=lambda entry: (entry[0], entry[1].class_index, entry[1].rank))


ARCHITECTURES = ("plain", "residual", "transformer", "alexnet")
SUITES: Mapping[str, Sequence[Mapping[str, str | None]]] = {
    "shapes": (
        {"red circle": "blue rectangle", "green circle": "red rectangle", "blue circle": "green rectangle"},
        {"red rectangle": "green circle", "green rectangle": "blue circle", "blue rectangle": "red circle"},
    ),
    "scenes": (
        {"sneaker": "striped", "bag": "frame", "trouser": "blue"},
        {"dress": "boot", "sandal": "dotted", "pullover": "red"},
    ),
}
"""World -> what is planted in each of its classifiers; every architecture is trained on every planting."""


def planted_suite(
    world: str,
    cache: Path,
    *,
    architectures: Sequence[str] = ARCHITECTURES,
    plantings: int | None = None,
    strength: float = 0.9,
    seed: int = 0,
    log: Callable[[str], None] | None = None,
) -> list[Planted]:
    """The classifiers on which findings about spurious features are tested: every planting by every architecture.

    Args:
        world: a key of `SUITES`.
        cache: as for `planted_classifier`, 15 to 25 s of one core each the first time.
        architectures: which.
        plantings: how many of the world's; None: all.
        strength: of all shortcuts.
        seed: of the first; the others follow.
        log: gets the training's lines.
    """
    chosen = [(shortcuts, name) for shortcuts in SUITES[world][:plantings] for name in architectures]
    return [
        planted_classifier(world, shortcuts=shortcuts, cache=cache, strength=strength, architecture=name,
                           seed=seed + k, log=log)
        for k, (shortcuts, name) in enumerate(chosen)
    ]  # fmt: skip
