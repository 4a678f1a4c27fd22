"""The two shipped concept nets of the shapes data set: ``python -m genlens.training.shapes_concepts OUT NET``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.concept_net import ConceptNet
from genlens.datasets import shapes
from genlens.training.concept_nets import Batches, Recipe, augment, concept_quality
from genlens.training.shapes_data import Rows, sample_rows
from genlens.training.shipped_nets import Quality, main, recipe_lines, train_and_write

RECIPES = {
    "shapes_concepts": Recipe("plain", width=16, steps=700, seed=11),
    "shapes_checker": Recipe("residual", width=24, steps=700, seed=23),
}
DATA_SEEDS = {"shapes_concepts": 3_000_000_000, "shapes_checker": 4_000_000_000}
"""First data seed of each net; the generator's and the judge's training data and all held-out data lie elsewhere."""
HELD_OUT_SEED = 7_000_001
BATCH = 128
VISIBLE = 0.25
"""A shape of which less is seen than this share, behind others, counts neither as present nor as absent."""


def visible_labels(rows: Rows) -> NDArray[np.float32]:
    """Labels (N, 6): presence, NaN for present shapes that others hide."""
    labels = rows.presence.astype(np.float32)
    half = shapes.half_extents(rows.slots)
    gaps = np.abs(rows.slots[:, :, None, :2] - rows.slots[:, None, :, :2]) - half[:, :, None] - half[:, None]
    crossing = (gaps.max(-1) < 0).sum((1, 2)) > len(shapes.CONCEPTS)  # each shape crosses itself
    presence = rows.presence[crossing]
    drawn = shapes.masks(presence, rows.slots[crossing])  # (n, 6, H, W), later concepts lie above earlier ones
    hidden = np.zeros_like(drawn[:, 0])  # (n, H, W)
    seen = np.zeros(presence.shape)
    for j in reversed(range(len(shapes.CONCEPTS))):
        seen[:, j] = (drawn[:, j] & ~hidden).sum((1, 2)) / np.maximum(drawn[:, j].sum((1, 2)), 1)
        hidden |= drawn[:, j]
    labels[crossing] = np.where((presence > 0) & (seen < VISIBLE), np.nan, presence)
    return labels


def shapes_batches(first_seed: int, batch: int = BATCH) -> Batches:
    """Fresh drawings at every step; a fifth of the rows have shapes that may overlap."""

    def batches(step: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rows = sample_rows(batch, first_seed + step)
        return rows.images(), visible_labels(rows)

    return batches


def measure(net: ConceptNet, n: int = 4000) -> Quality:
    """Quality on held-out drawings: clean, overlapping, and with the augmentation's faults."""
    clean = sample_rows(n, HELD_OUT_SEED, donors=0.0, crowded=0.0)
    overlapping = sample_rows(n, HELD_OUT_SEED + 1, donors=1.0, crowded=0.0)
    faulty = augment(clean.images(), np.random.default_rng(HELD_OUT_SEED))
    return {
        "clean": concept_quality(net, clean.images(), visible_labels(clean)),
        "overlapping": concept_quality(net, overlapping.images(), visible_labels(overlapping)),
        "faulty": concept_quality(net, faulty, visible_labels(clean)),
    }


def card(name: str, recipe: Recipe, quality: Quality, n_weights: int, seconds: float) -> str:
    """The model card, in Markdown."""
    data = (
        f"- Data: {recipe.steps * BATCH:,} drawings (`genlens.datasets.shapes`), data seeds from {DATA_SEEDS[name]},",
        "  a fifth of them with overlapping shapes, a quarter crowded; none is seen twice.",
    )
    lines = [
        f"# {name}",
        "",
        f"Says which of the six shapes a 64 x 64 picture shows, one log-odds each: {', '.join(shapes.CONCEPTS)}.",
        *recipe_lines(recipe, n_weights, seconds, batch=BATCH, data=data, command="runs/train_shapes_concepts.sh"),
        f"Quality on {quality['clean']['n']:,} held-out drawings of each kind (`quality.json` has every concept):",
        "",
        "| pictures | AUROC mean | AUROC min | right at probability 1/2 |",
        "|---|---|---|---|",
    ]
    for kind, found in quality.items():
        lines.append(f"| {kind} | {found['auroc_mean']:.5f} | {found['auroc_min']:.5f} | {found['accuracy']:.5f} |")
    lines += [
        "",
        f"Shapes hidden by others (less than {VISIBLE:.0%} to be seen) are left out of training and of these figures.",
        "It knows these drawings and what imitates them; on photographs its answers mean nothing.",
    ]
    return "\n".join(lines) + "\n"


def train(name: str, out: Path, log: Callable[[str], None] = print) -> ConceptNet:
    """Train one of the two nets and write weights, config, card and quality to `out`."""
    seed = DATA_SEEDS[name]
    return train_and_write(
        name, out, RECIPES[name], shapes.CONCEPTS, lambda: shapes_batches(seed), batch=BATCH, data_seed=seed,
        measure=measure, card=card, log=log,
    )  # fmt: skip


if __name__ == "__main__":
    main(train, RECIPES, __doc__)
