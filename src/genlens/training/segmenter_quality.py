"""Quality of a segmenter on pictures whose truth is known: ``python -m genlens.training.segmenter_quality FOLDER``.

Four kinds of pictures. Drawings that no training saw: clean, and with the faults of `augment`. Pictures of the shipped
generator from captions that say where each shape is, held against the drawing of the same caption (so its own errors
count too). Drawings with a colour nobody named. For each class: overlap (intersection over union) where it is there,
AUROC of presence, and how often it is seen where it isn't, or missed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.datasets import shapes
from genlens.generators.protocol import Generator
from genlens.segmenters.load import load_segmenter
from genlens.segmenters.presence import Presence
from genlens.segmenters.protocol import Segmenter
from genlens.training.concept_nets import augment
from genlens.training.segmenter_data import SHAPES_PROMPTS, Labelled, World, shapes_prompt_masks, visible_masks, worlds

HELD_OUT_SEED = 7_100_001
"""Far below the training's seeds."""


def measure_segmenter(segmenter: Segmenter, found: Labelled, prompts: Sequence[str], classes: Sequence[str]) -> Any:
    """Figures of each class and their means, JSON-able.

    Args:
        segmenter: what is measured.
        found: pictures and their truth.
        prompts: names of the masks, P.
        classes: which of them are measured.
    """
    rule, rows = Presence(), {}
    for name in classes:
        j = prompts.index(name)
        masks = segmenter.segment(found.images, name)
        rows[name] = _figures(masks, found.masks[:, j], found.known[:, j], rule)
    means = {
        key: round(float(np.nanmean([row[key] for row in rows.values() if row[key] is not None])), 4)
        for key in ("iou", "auroc", "false_present", "false_absent")
    }
    return {"n": len(found.images), "mean": means, "classes": rows}


def _figures(masks: NDArray[np.float32], truth: NDArray[np.bool_], known: NDArray[np.bool_], rule: Presence) -> Any:
    from sklearn.metrics import roc_auc_score

    there, scores = np.asarray(truth.any(axis=(1, 2))), rule.scores(masks)
    seen, solid = scores >= rule.threshold, masks >= rule.threshold
    union = (solid | truth).sum(axis=(1, 2))
    overlaps = (solid & truth).sum(axis=(1, 2)) / np.maximum(union, 1)
    with_it, without = there & known, ~there & known
    both = with_it.any() and without.any()
    return {
        "iou": round(float(overlaps[with_it].mean()), 4) if with_it.any() else None,
        "auroc": round(float(roc_auc_score(there[known], scores[known])), 4) if both else None,
        "false_present": round(float(seen[without].mean()), 4) if without.any() else None,
        "false_absent": round(float((~seen)[with_it].mean()), 4) if with_it.any() else None,
    }


def generated_shapes(generator: Generator, n: int, seed: int = HELD_OUT_SEED) -> Labelled:
    """Generated pictures of captions with positions, and the masks of their drawings."""
    slots = shapes.sample_slots(n, seed).params
    presence = shapes.sample_presence(n, seed, 0.4)
    captions = [shapes.segment_caption(p, s) for p, s in zip(presence, slots, strict=True)]
    images = generator.generate(captions, range(seed, seed + n))
    masks, known = shapes_prompt_masks(visible_masks(presence, slots), presence, np.zeros((n, 6), dtype=bool))
    return Labelled(images, masks, known)


def kinds_of_pictures(world: World, n: int, generator: Generator | None) -> dict[str, Labelled]:
    """Kind -> pictures of a world, held out."""
    clean, hard = world.sample(n, HELD_OUT_SEED, True), world.sample(n, HELD_OUT_SEED + 1, False)
    faulty = Labelled(augment(hard.images, np.random.default_rng(HELD_OUT_SEED), shift=0), hard.masks, hard.known)
    found = {"drawings": clean, "drawings with overlaps and strangers": hard, "the same with faults": faulty}
    if generator is not None and world.prompts == SHAPES_PROMPTS:
        found["generated pictures"] = generated_shapes(generator, n)
    return found


def card(quality: dict[str, Any], recipe: dict[str, Any], n_weights: int, seconds: str) -> str:
    """The model card, in Markdown."""
    name, first = "_".join(recipe["worlds"]), recipe.get("start")
    before = "" if first is None else f" Before: vision {first['vision_steps']}, decoder {first['decoder_steps']}."
    text = [
        f"# {name}_segmenter",
        "",
        "A tiny CLIPSeg (Lüddecke and Ecker, CVPR 2022): marks what a text names in a 64 x 64 picture. Read it with",
        f"`genlens.segmenters.load_segmenter(\"{name}\")` or transformers' `CLIPSegForImageSegmentation`. Weights are",
        "safetensors. It knows the words of its tokenizer; other words are refused.",
        "",
        f"- Network: {n_weights:,} weights, patches of 8 pixels, masks of 32 x 32 scaled to the picture.",
        f"- Worlds: {', '.join(recipe['worlds'])}. Steps: words {recipe['text_steps']}, vision",
        f"  {recipe['vision_steps']}, decoder {recipe['decoder_steps']}, of {recipe['batch']} pictures; AdamW, rate",
        f"  {recipe['rate']}{seconds}.{before}",
        f"  Repeat it with `runs/train_segmenter.sh {name}`.",
        "- Presence: at least 0.5% of the pixels at a probability of one half.",
        "",
    ]
    for world, kinds in quality.items():
        n = next(iter(kinds.values()))["n"]
        text += [
            f"Quality on {n} pictures of each kind of {world} (`quality.json` has every class):", "",
            "| pictures | IoU | presence AUROC | seen though absent | missed though there |", "|---|---|---|---|---|",
        ]  # fmt: skip
        text += [f"| {kind} | {_row(found['mean'])} |" for kind, found in kinds.items()]
        last = list(kinds)[-1]
        text += ["", f"By class, {last}:", "", "| class | IoU | presence AUROC | seen though absent | missed |",
                 "|---|---|---|---|---|"]  # fmt: skip
        text += [f"| {name} | {_row(row)} |" for name, row in kinds[last]["classes"].items()] + [""]
    return "\n".join([*text, "On other pictures, and on words it wasn't trained with, its masks mean nothing."]) + "\n"


def _row(row: dict[str, float | None]) -> str:
    values = [row[key] for key in ("iou", "auroc", "false_present", "false_absent")]
    return " | ".join("-" if value is None else f"{value:.3f}" for value in values)


def main(argv: Sequence[str] | None = None, load: Callable[[str], Segmenter] = load_segmenter) -> None:
    """Measure a segmenter and write quality.json and CARD.md into its folder."""
    from safetensors import safe_open

    from genlens.generators.diffusers import DiffusersGenerator

    parser = argparse.ArgumentParser(prog="python -m genlens.training.segmenter_quality", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=400, help="of each kind")
    parser.add_argument("--generator", type=Path, help="pipeline of the generated pictures; none: no such pictures")
    parser.add_argument("--seconds", default="", help="what the training took, for the card, such as \"; 20 minutes\"")
    given = parser.parse_args(argv)
    segmenter, recipe = load(str(given.folder)), json.loads((given.folder / "recipe.json").read_text())
    generator = None if given.generator is None else DiffusersGenerator.from_pretrained(given.generator)
    quality = {
        world.name: {
            kind: measure_segmenter(segmenter, found, world.prompts, world.classes)
            for kind, found in kinds_of_pictures(world, given.pictures, generator).items()
        }
        for world in worlds(tuple(recipe["worlds"]))
    }
    with safe_open(str(given.folder / "model.safetensors"), framework="np") as weights:
        n_weights = sum(int(np.prod(weights.get_slice(name).get_shape())) for name in list(weights.keys()))
    (given.folder / "quality.json").write_text(json.dumps(quality, indent=1) + "\n", encoding="utf-8")
    text = card(quality, recipe, n_weights, given.seconds)
    (given.folder / "CARD.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
