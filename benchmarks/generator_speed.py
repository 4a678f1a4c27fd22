"""Images a second of a shapes pipeline, decoding included, with the step count against quality and speed in a table.

    python benchmarks/generator_speed.py [PIPELINE] [--threads 2] [--images 1000]

Every caption is a different one and is encoded; images come out as uint8. Quality is read from the quality.json beside
the weights (`runs/quality_card.sh` measures it). Run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

import genlens
from genlens.datasets import shapes
from genlens.training.quality import generate, held_out, load_pipeline

ASSETS = Path(genlens.__file__).parent / "assets"


def images_per_second(pipeline: object, captions: list[str], steps: int, batch: int) -> float:
    """Speed of one pass over `captions`, after a warm-up batch."""
    generate(pipeline, captions[:batch], range(batch), steps, batch)
    start = time.perf_counter()
    generate(pipeline, captions, range(len(captions)), steps, batch)
    return len(captions) / (time.perf_counter() - start)


def quality_at(folder: Path, template: str, steps: int) -> str:
    """The measured columns of the table, or dashes where the card has none."""
    card = folder / "quality.json"
    for row in json.loads(card.read_text())["cards"] if card.exists() else []:
        if (row["template"], row["steps"]) == (template, steps):
            values = (row["auroc_mean"], row["auroc_min"], row["flips_shown"], row["others_stay"])
            return " | ".join(f"{value:.4f}" for value in values)
    return " | ".join(["-"] * 4)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pipeline", type=Path, nargs="?", default=ASSETS / "shapes_generator")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4, 8])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pipeline = load_pipeline(options.pipeline)
    print(f"{options.threads} threads, float32, batches of {options.batch}, {shapes.IMAGE_SIZE} x {shapes.IMAGE_SIZE}")
    print("| template | steps | images/s | AUROC mean | AUROC min | flips shown | others stay |")
    print("|---|---|---|---|---|---|---|")
    for template in ("segments", "presence"):
        rows = held_out(template, options.images)
        for steps in options.steps:
            speed = images_per_second(pipeline, rows.captions(rows.presence), steps, options.batch)
            quality = quality_at(options.pipeline, template, steps)
            print(f"| {template} | {steps} | {speed:.0f} | {quality} |", flush=True)


if __name__ == "__main__":
    main()
