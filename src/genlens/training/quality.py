"""The quality card of a text-to-image pipeline for shapes, measured by the judge, which no generator was trained with.

    python -m genlens.training.quality src/genlens/assets/shapes_generator --rows 1000 --out quality.json

Three kinds of captions: `segments` (positions given, slots never overlap), `donors` (each segment from another row, as
permuted captions have them, so shapes may hide one another) and `presence` (names only). For each it reports the
concept AUROC on generated pictures and on drawings, and what happens when one concept of a caption is switched while
the seed stays: whether the judge's decision on that concept changes with it (shown), and on the others doesn't (stay).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from genlens.datasets import shapes
from genlens.training.shapes_judge import Judge, load_judge

TEMPLATES = ("segments", "donors", "presence")
HELD_OUT_SEED = 20_000
"""Seed of the held-out rows: outside the ranges that the generator's and the judge's training draw from."""


@dataclass(frozen=True)
class Card:
    """Quality of one template at one step count; AUROC lists are in the order of `shapes.CONCEPTS`."""

    template: str
    steps: int
    rows: int
    auroc: list[float]
    auroc_mean: float
    auroc_min: float
    auroc_real: list[float]
    flips: int
    flips_shown: float
    others_stay: float
    flips_shown_real: float
    others_stay_real: float
    images_per_second: float


@dataclass(frozen=True)
class HeldOut:
    """Rows of one template: presence (N, 6), slots (N, 6, 4), and how a presence row and a slots row become words."""

    template: str
    presence: NDArray[np.int64]
    slots: NDArray[np.int64]

    def captions(self, presence: NDArray[np.int64]) -> list[str]:
        """Captions of the rows with another presence (N, 6)."""
        if self.template == "presence":
            return [shapes.presence_caption(row) for row in presence]
        return [shapes.segment_caption(row, slots) for row, slots in zip(presence, self.slots, strict=True)]


def held_out(template: str, n: int, seed: int = HELD_OUT_SEED) -> HeldOut:
    """`n` rows of a template that no training has seen."""
    slots = shapes.sample_slots(n, seed).params
    if template == "donors":
        source = np.random.default_rng(seed).permuted(np.tile(np.arange(n), (6, 1)), axis=1).T
        slots = slots[source, np.arange(6)]
    return HeldOut(template, shapes.sample_presence(n, seed), slots)


def generate(pipeline: Any, captions: list[str], seeds: Sequence[int], steps: int, batch: int = 100) -> NDArray[Any]:
    """Pictures of captions through the pipeline's ordinary call: uint8 (N, 64, 64, 3), one noise a seed."""
    images = []
    for start in range(0, len(captions), batch):
        part = slice(start, start + batch)
        pictures = pipeline(
            prompt=captions[part],
            negative_prompt="",
            num_inference_steps=steps,
            guidance_scale=1.0,
            generator=[torch.Generator().manual_seed(int(seed)) for seed in seeds[part]],
            use_resolution_binning=False,
            clean_caption=False,
            max_sequence_length=pipeline.tokenizer.model_max_length,
            output_type="np",
        ).images
        images.append((pictures * 255).round().astype(np.uint8))
    return np.concatenate(images)


def flips_of(scores: NDArray[Any], flipped: NDArray[Any]) -> tuple[float, float]:
    """Shares of flips shown and of other concepts that stay, of logits (N, 6) and, after flip j, (6, N, 6)."""
    changed = (scores > 0) != (flipped > 0)
    own = np.eye(6, dtype=bool)[:, None, :].repeat(len(scores), axis=1)
    return float(changed[own].mean()), float(1 - changed[~own].mean())


def auroc(truth: NDArray[Any], scores: NDArray[Any]) -> list[float]:
    """Area under the ROC curve of each concept, to four places."""
    return [round(float(roc_auc_score(truth[:, j], scores[:, j])), 4) for j in range(6)]


def measure(pipeline: Any, judge: Judge, template: str, steps: int, n: int, seed: int = HELD_OUT_SEED) -> Card:
    """The card of one template: `n` reference pictures and 6 `n` flips at `steps` steps, and the same drawn."""
    rows = held_out(template, n, seed)
    states = [rows.presence] + [np.where(np.arange(6) == j, 1 - rows.presence, rows.presence) for j in range(6)]
    start = time.perf_counter()
    scores = [judge.score(generate(pipeline, rows.captions(state), range(seed, seed + n), steps)) for state in states]
    seconds = time.perf_counter() - start
    real = [judge.score(shapes.draw(state, rows.slots)) for state in states]
    shown, stay = flips_of(scores[0], np.stack(scores[1:]))
    shown_real, stay_real = flips_of(real[0], np.stack(real[1:]))
    areas = auroc(rows.presence, scores[0])
    return Card(
        template=template,
        steps=steps,
        rows=n,
        auroc=areas,
        auroc_mean=round(float(np.mean(areas)), 4),
        auroc_min=min(areas),
        auroc_real=auroc(rows.presence, real[0]),
        flips=6 * n,
        flips_shown=round(shown, 4),
        others_stay=round(stay, 4),
        flips_shown_real=round(shown_real, 4),
        others_stay_real=round(stay_real, 4),
        images_per_second=round(7 * n / seconds, 1),
    )


def load_pipeline(folder: Path) -> Any:
    """A pipeline by its folder, silent and in float32."""
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def line(card: Card) -> str:
    """One line for people."""
    return (
        f"{card.template:9s} {card.steps} steps  AUROC mean {card.auroc_mean:.4f} min {card.auroc_min:.4f} "
        f"(drawings {np.mean(card.auroc_real):.4f})  flips shown {card.flips_shown:.4f} ({card.flips_shown_real:.4f})  "
        f"others stay {card.others_stay:.4f} ({card.others_stay_real:.4f})  {card.images_per_second:.0f} judged/s"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and write the card."""
    parser = argparse.ArgumentParser(prog="python -m genlens.training.quality")
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("--judge", type=Path, help="folder of another judge than the shipped one")
    parser.add_argument("--rows", type=int, default=1000, help="held-out captions at the first step count")
    parser.add_argument("--more-rows", type=int, default=200, help="held-out captions at the other step counts")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--templates", nargs="+", choices=TEMPLATES, default=list(TEMPLATES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    pipeline, judge, cards = load_pipeline(options.pipeline), load_judge(options.judge), []
    for steps in options.steps:
        for template in options.templates:
            rows = options.rows if steps == options.steps[0] else options.more_rows
            cards.append(measure(pipeline, judge, template, steps, rows))
            print(line(cards[-1]), flush=True)
    if options.out:
        card = {"concepts": list(shapes.CONCEPTS), "seed": HELD_OUT_SEED, "cards": [asdict(c) for c in cards]}
        options.out.write_text(json.dumps(card, indent=1) + "\n")


if __name__ == "__main__":
    main()
