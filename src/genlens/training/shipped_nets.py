"""How a shipped concept net becomes a folder: trained, measured, with weights, card and quality."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from genlens.classifiers.concept_net import ConceptNet
from genlens.training.concept_nets import Batches, Recipe, train_concept_net

Quality = dict[str, Any]
"""Kind of pictures -> what `concept_quality` says of them."""


def train_and_write(
    name: str,
    out: Path,
    recipe: Recipe,
    concept_names: Sequence[str],
    batches: Callable[[], Batches],
    *,
    batch: int,
    data_seed: int,
    measure: Callable[[ConceptNet], Quality],
    card: Callable[[str, Recipe, Quality, int, float], str],
    log: Callable[[str], None] = print,
) -> ConceptNet:
    """Train a net and write weights, config, card and quality to `out`.

    Args:
        name: of the net.
        out: folder to write.
        recipe: architecture, length, rate and seed.
        concept_names: D outputs.
        batches: makes what it is trained on; its time counts as training.
        batch: images a step.
        data_seed: first seed of the training data.
        measure: the quality of the net as it is read back from `out`.
        card: the model card in Markdown, from name, recipe, quality, number of weights and seconds of processor time.
        log: gets a line every 100 steps, and one a kind of picture at the end.
    """
    start = time.process_time()
    net = train_concept_net(batches(), concept_names, recipe, log=log)
    seconds = time.process_time() - start
    net.save(out, recipe={**recipe.spec(), "batch": batch, "data_seed": data_seed})
    quality = measure(ConceptNet.load(out, device="cpu"))
    n_weights = sum(weight.numel() for weight in net.module.parameters())
    (out / "quality.json").write_text(json.dumps(quality, indent=2) + "\n", encoding="utf-8")
    (out / "CARD.md").write_text(card(name, recipe, quality, n_weights, seconds), encoding="utf-8")
    for kind, found in quality.items():
        log(f"{name} {kind}: AUROC mean {found['auroc_mean']:.5f}, min {found['auroc_min']:.5f}")
    return net


def recipe_lines(
    recipe: Recipe, n_weights: int, seconds: float, *, batch: int, data: Sequence[str], command: str
) -> list[str]:
    """The part of a card that says how the net was trained.

    Args:
        recipe: architecture, length, rate and seed.
        n_weights: how many weights it has.
        seconds: of processor time.
        batch: images a step.
        data: lines on the training data.
        command: trains it again.
    """
    return [
        "Weights are safetensors; `genlens.classifiers.ConceptNet.load(folder)` reads them.",
        "",
        f"- Network: `{recipe.architecture}`, width {recipe.width}, {n_weights:,} weights; float32.",
        *data,
        "- Augmentation: shift, blur, colour cast, fine and coarse noise (`genlens.training.concept_nets.augment`).",
        f"- Training: {recipe.steps} steps of {batch}, AdamW, rate {recipe.rate}, seed {recipe.seed};",
        f"  {seconds:.0f} s of processor time. Repeat it with `{command}`.",
        "",
    ]


def main(train: Callable[[str, Path], ConceptNet], names: Iterable[str], description: str | None) -> None:
    """Train the net named on the command line: ``OUT NET``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("net", choices=sorted(names))
    arguments = parser.parse_args()
    train(arguments.net, arguments.out)
