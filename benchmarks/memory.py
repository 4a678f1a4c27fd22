"""Peak memory of a run of many images: it must not grow with their number beyond keys and scores.

    python benchmarks/memory.py [--images 100000]          # about two minutes

A trivial generator (64 x 64 pixels of noise) and a trivial classifier, so that everything beside them is genlens:
planning, keys, encoding, writing, scores. Prints the peak of the process at the start and at the end.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from genlens.classifiers.protocol import Outputs
from genlens.concepts import ConceptTable
from genlens.engine import Engine
from genlens.plan import make_plan
from genlens.run_folder import RunFolder

N_CONCEPTS = 9


class Noise:
    """Images of noise."""

    fingerprint, batch_size = "noise", 64

    def check_captions(self, captions: Sequence[str]) -> None:
        """Takes everything."""

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> Any:
        """uint8 (B, 64, 64, 3)."""
        rng = np.random.default_rng(list(seeds))
        return np.repeat(rng.integers(0, 256, (len(seeds), 64, 8, 3), dtype=np.uint8), 8, axis=2)


class Mean:
    """The mean of an image."""

    fingerprint = "mean"
    outputs: Outputs = "scores"

    def predict(self, images: Any) -> Any:
        """float32 (B, 1)."""
        return np.stack([image.mean(keepdims=True).reshape(1) for image in images]).astype(np.float32)


def peak() -> float:
    """Most memory the process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    chosen = parser.parse_args()
    n_rows = chosen.images // (1 + N_CONCEPTS)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"c{j}": rng.integers(0, 2, n_rows) for j in range(N_CONCEPTS)})
    names = list(frame.columns)
    frame["label"], frame["file_name"] = rng.integers(0, 2, n_rows), [f"{i}.png" for i in range(n_rows)]
    table = ConceptTable.from_frame(frame, names, "label")
    before, began = peak(), time.perf_counter()
    plan = make_plan(table, 0)
    planned, plan_seconds = peak(), time.perf_counter() - began
    with tempfile.TemporaryDirectory() as path:
        folder = RunFolder(path)
        folder.open_or_create({})
        scores = Engine(folder).run(plan, Noise(), {"mean": Mean()})["mean"]
        took = time.perf_counter() - began - plan_seconds
        print(
            f"{plan.n_images:,} images: planned in {plan_seconds:.1f} s, rendered, written and scored in {took:.0f} s"
        )
        print(f"peak memory: {before:.0f} MB at the start, {planned:.0f} MB with the plan, {peak():.0f} MB at the end")
        began = time.perf_counter()
        again = RunFolder(path)
        same = np.array_equal(Engine(again).run(plan, Noise(), {"mean": Mean()})["mean"], scores)
        print(f"opened again, nothing to do: {time.perf_counter() - began:.1f} s; same scores: {same}")


if __name__ == "__main__":
    main()
