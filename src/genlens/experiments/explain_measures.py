"""What the pictures of a class are worth: measured by the classifier, its peers and an independent concept net."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genlens.classifiers.concept_net import CONFIG_FILE, ConceptNet
from genlens.classifiers.gradients import PENULTIMATE, differentiable
from genlens.experiments.explain_cases import Case
from genlens.experiments.explain_methods import METHODS
from genlens.experiments.planted_worlds import World
from genlens.experiments.stages import Arrays
from genlens.prompts.measures import (
    frechet_infinity,
    given_to,
    kernel_distance,
    mean_distance,
    vendi_score,
)
from genlens.training.concept_nets import Recipe, train_concept_net

REAL = "real pictures"
"""Other real pictures of the class: what the measures can reach."""
N_REAL = 1000
"""Real pictures of a class that others are compared with."""
_REFEREE_SEED, _REAL_SEED = 4_200_000_000, 4_100_000_000
_REFEREE_STEPS, _REFEREE_BATCH = 900, 64

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Referee:
    """A network that no method was optimised against.

    Attributes:
        features: pictures (N, H, W, 3) -> features (N, F), scaled to mean 0 and variance 1 over real pictures.
        sees: pictures -> bool (N, W), which of the world's words it sees.
        kept: features that `real_features` has computed.
    """

    features: Callable[[Images], NDArray[np.float64]]
    sees: Callable[[Images], NDArray[np.bool_]]
    kept: dict[tuple[str, int], NDArray[np.float64]] = field(default_factory=dict)

    def real_features(self, case: Case) -> NDArray[np.float64]:
        """Features of `N_REAL` real pictures of the case's class, computed once for all architectures."""
        key = (case.kind, case.target)
        if key not in self.kept:
            self.kept[key] = self.features(case.planted.planting.pictures(N_REAL, _REAL_SEED, case.target)[0])
        return self.kept[key]


def load_referee(world: World, folder: Path, log: Callable[[str], None]) -> Referee:
    """The shipped judge for shapes; for other worlds a concept net trained on its drawings, kept in `folder`."""
    net: Any = None
    if world.name == "shapes":
        from genlens.training.shapes_judge import load_judge
        from genlens.training.shapes_vae import to_tensor

        judge: Any = load_judge()

        def raw(images: Images) -> NDArray[np.float64]:
            with torch.no_grad():
                maps = judge.features(to_tensor(images))  # (N, F, 8, 8)
            return np.asarray(torch.cat([maps.amax((2, 3)), maps.mean((2, 3))], dim=1).double().numpy())

        return Referee(_scaled(raw, world), lambda images: np.asarray(judge.score(images) > 0))
    net = _trained(world, folder, log)
    model = differentiable(net)

    def pooled(images: Images) -> NDArray[np.float64]:
        with torch.no_grad():
            found = model.activations(torch.as_tensor(images).permute(0, 3, 1, 2).float() / 255, PENULTIMATE)
        return np.asarray(found.double().numpy())

    return Referee(_scaled(pooled, world), lambda images: np.asarray(net.predict(images) > 0))


def random_pictures(world: World, n: int, seed: int) -> tuple[Images, NDArray[np.float32]]:
    """Pictures of random words, each in about half of them as far as its group allows, and what they show (n, W)."""
    rng = np.random.default_rng((seed, n))
    presence = np.zeros((n, len(world.words)), dtype=np.int64)
    for word in rng.permutation(world.words):
        chosen = rng.random(n) < (0.25 if any(word in group for group in world.groups) else 0.3)
        presence[chosen] = world.switch(presence[chosen], str(word), True)
    return world.draw(presence, rng.integers(0, 2**62, n)), presence.astype(np.float32)


def _trained(world: World, folder: Path, log: Callable[[str], None]) -> ConceptNet:
    if not (folder / CONFIG_FILE).is_file():
        recipe = Recipe("plain", 16, _REFEREE_STEPS, seed=99)
        net = train_concept_net(
            lambda step: random_pictures(world, _REFEREE_BATCH, _REFEREE_SEED + step), world.words, recipe,
            size=(world.size, world.size), log=log,
        )  # fmt: skip
        net.save(folder)
    return ConceptNet.load(folder)


def _scaled(raw: Callable[[Images], NDArray[np.float64]], world: World) -> Callable[[Images], NDArray[np.float64]]:
    known = raw(random_pictures(world, 500, _REFEREE_SEED - 1)[0])
    mean, spread = known.mean(axis=0), known.std(axis=0)
    used = spread > 1e-6
    return lambda images: (raw(images)[:, used] - mean[used]) / spread[used]


def referee_accuracy(world: World, referee: Referee) -> float:
    """Share of right answers over words, on drawings the referee never saw."""
    images, shown = random_pictures(world, 500, _REFEREE_SEED - 2)
    return float((referee.sees(images) == (shown > 0)).mean())


def measure_case(case: Case, found: Arrays, referee: Referee) -> Arrays:
    """Measures of every method and of real pictures of the class; arrays with one row a method (see `METHODS`, `REAL`).

    Returns:
        given (M, n) by the classifier; log_probability (M, n); transfer (M, peers, n); kid, kid_error, frechet,
        distance, vendi (M,); core, shortcut (M, n), whether the referee sees the class's object and its shortcut;
        others (M, n), how many other words it sees.
    """
    planting, n = case.planted.planting, len(found[METHODS[0]])
    held_out, real = planting.pictures(n, _REAL_SEED + 1, case.target)[0], referee.real_features(case)
    rows = [_measured(case, images, referee, real) for images in (*(found[m] for m in METHODS), held_out)]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _measured(case: Case, images: Images, referee: Referee, real: NDArray[np.float64]) -> Arrays:
    outputs = case.planted.classifier.predict(images).astype(np.float64)  # (n, C)
    log_probability = outputs[:, case.target] - np.logaddexp.reduce(outputs, axis=1)
    peers = [given_to(peer.classifier.predict(images), "logits", case.target) for peer in case.peers]
    features, seen = referee.features(images), referee.sees(images)
    kid, error = kernel_distance(features, real)
    words = case.planted.planting.world.words
    core = seen[:, words.index(case.word)]
    shortcut = seen[:, words.index(case.shortcut)] if case.shortcut else np.zeros(len(images), dtype=bool)
    return {
        "given": given_to(outputs, "logits", case.target),
        "log_probability": log_probability,
        "transfer": np.stack(peers),
        "kid": np.array(kid),
        "kid_error": np.array(error),
        "frechet": np.array(frechet_infinity(features, real)),
        "distance": np.array(mean_distance(features)),
        "vendi": np.array(vendi_score(features)),
        "core": core,
        "shortcut": shortcut,
        "others": seen.sum(axis=1) - core - shortcut,
    }
