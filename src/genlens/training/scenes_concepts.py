"""The two shipped nets that say what a scene shows: ``python -m genlens.training.scenes_concepts OUT NET``.

`scenes_concepts` answers for the ten classes, the kind and colour of the background and the frame. `scenes_judge`, of
another architecture and other rows, measures generators: it also says whether there are two and three of a class. Both
learn from real photographs only; no generated picture and no prototype is among them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.concept_net import ConceptNet
from genlens.datasets.idx import Split, load_photos
from genlens.datasets.scenes import Scene, draw, sample_counts, sample_scenes
from genlens.datasets.scenes_captions import CONCEPTS, caption_of
from genlens.datasets.scenes_drawing import COLOURS, KINDS
from genlens.generators.scenes_drawer import ScenesDrawer
from genlens.training.concept_nets import Recipe, augment, concept_quality
from genlens.training.shipped_nets import Quality, main, recipe_lines, train_and_write

GROUND = (*KINDS, *COLOURS, "frame")
"""Names of what the background may be."""
COUNTS = tuple(f"{copies} {name}" for copies in (2, 3) for name in CONCEPTS)
"""Names of "at least two" and "three" of each class."""
NAMES = {"scenes_concepts": (*CONCEPTS, *GROUND), "scenes_judge": (*CONCEPTS, *GROUND, *COUNTS)}
RECIPES = {
    "scenes_concepts": Recipe("residual", width=40, steps=2600, seed=31),
    "scenes_judge": Recipe("plain", width=32, steps=2600, seed=47),
}
DATA_SEEDS = {"scenes_concepts": 5_000_000, "scenes_judge": 6_000_000}
HELD_OUT_SEED = 7_000_002
BATCH = 64
POOL = 4096
_FRESH = 12


def truth(scenes: list[Scene], names: tuple[str, ...]) -> NDArray[np.float32]:
    """Labels (N, D) of 0 and 1 for the outputs `names`."""
    counts = np.stack([scene.counts() for scene in scenes])
    columns = {name: counts[:, j] > 0 for j, name in enumerate(CONCEPTS)}
    columns |= {f"{k} {name}": counts[:, j] >= k for k in (2, 3) for j, name in enumerate(CONCEPTS)}
    columns |= {kind: np.array([scene.kind == kind for scene in scenes]) for kind in KINDS}
    columns |= {colour: np.array([scene.colour == colour for scene in scenes]) for colour in COLOURS}
    columns["frame"] = np.array([scene.frame for scene in scenes])
    return np.stack([columns[name] for name in names], axis=1).astype(np.float32)


def varied_scenes(n: int, seed: int, split: Split = "train") -> list[Scene]:
    """Scenes of the data set, from a third of which some classes are taken out, and a third in the drawer's layout."""
    photos, rng = load_photos(split), np.random.default_rng((seed, 7))
    scenes = sample_scenes(n, seed, photos, split)
    drawer = ScenesDrawer(photos)
    for i, scene in enumerate(scenes):
        if i % 3 == 0:
            for concept in np.flatnonzero(scene.counts()):
                scenes[i] = scenes[i].without(int(concept)) if rng.random() < 0.5 else scenes[i]
        elif i % 3 == 1:
            caption = caption_of(sample_counts(rng), f"{scene.kind} {scene.colour}", bool(rng.random() < 0.3), "full")
            scenes[i] = drawer.scene(caption, int(rng.integers(2**40)))
    return scenes


class PooledBatches:
    """Batches from a rolling pool of drawn scenes; every step replaces a few by fresh ones."""

    def __init__(self, names: tuple[str, ...], first_seed: int) -> None:
        self.names, self.seed = names, first_seed
        self.images, self.labels = self._drawn(POOL)

    def _drawn(self, n: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        scenes = varied_scenes(n, self.seed)
        self.seed += 1
        return draw(scenes, load_photos("train")), truth(scenes, self.names)

    def __call__(self, step: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Images and labels of a step."""
        rng = np.random.default_rng((self.seed, step))
        where = rng.choice(POOL, _FRESH, replace=False)
        self.images[where], self.labels[where] = self._drawn(_FRESH)
        rows = rng.choice(POOL, BATCH, replace=False)
        return self.images[rows], self.labels[rows]


def measure(net: ConceptNet, n: int = 2000) -> Quality:
    """Quality on the test photographs: scenes of the data set, and the same with the augmentation's faults."""
    photos = load_photos("test")
    scenes = sample_scenes(n, HELD_OUT_SEED, photos, "test")
    images, labels = draw(scenes, photos), truth(scenes, net.concept_names)
    faulty = augment(images, np.random.default_rng(HELD_OUT_SEED))
    return {"clean": concept_quality(net, images, labels), "faulty": concept_quality(net, faulty, labels)}


def card(name: str, recipe: Recipe, quality: Quality, n_weights: int, seconds: float) -> str:
    """The model card, in Markdown."""
    rows = POOL + recipe.steps * _FRESH
    extra = ", and whether two and three of a class are there" if name == "scenes_judge" else ""
    data = (
        f"- Data: {rows:,} scenes of the 50,000 training photographs of Fashion-MNIST, data seeds from",
        f"  {DATA_SEEDS[name]}, a third in the drawer's layout; each is used about five times.",
    )
    command = f"python -m genlens.training.scenes_concepts OUT {name}"
    lines = [
        f"# {name}",
        "",
        "Says what a 64 x 64 scene (`genlens.datasets.scenes`) shows, one log-odds each: the ten classes",
        f"({', '.join(CONCEPTS)}), kind ({', '.join(KINDS)}) and",
        f"colour ({', '.join(COLOURS)}) of the background, a white frame{extra}.",
        *recipe_lines(recipe, n_weights, seconds, batch=BATCH, data=data, command=command),
        f"Quality on {quality['clean']['n']:,} scenes of the test photographs (`quality.json` has every output):",
        "",
        "| output | AUROC, clean | AUROC, with faults |",
        "|---|---|---|",
    ]
    for output in (*CONCEPTS, *GROUND):
        clean, faulty = (quality[kind]["auroc"][output] for kind in ("clean", "faulty"))
        lines.append(f"| {output} | {clean:.4f} | {faulty:.4f} |")
    lines += ["", "It knows these scenes and what imitates them; on other photographs its answers mean nothing."]
    return "\n".join(lines) + "\n"


def train(name: str, out: Path, log: Callable[[str], None] = print) -> ConceptNet:
    """Train one of the two nets and write weights, config, card and quality to `out`."""
    names, seed = NAMES[name], DATA_SEEDS[name]
    return train_and_write(
        name, out, RECIPES[name], names, lambda: PooledBatches(names, seed), batch=BATCH, data_seed=seed,
        measure=measure, card=card, log=log,
    )  # fmt: skip


if __name__ == "__main__":
    main(train, RECIPES, __doc__)
