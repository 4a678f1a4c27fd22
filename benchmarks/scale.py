"""The plan and the image store at a million keys and more: seconds, memory, files.

    python benchmarks/scale.py [--keys 1000000] [--batch 64] [--part all|plan|store|lookup]

plan: so many images planned (rows of six binary concepts, seven images a row). store: that many tiny images appended,
the process's view thrown away, and the folder opened again (what a resumed run does). lookup: what is missing of a plan
when half of it is there, without files: the manifest alone, for sizes whose images would not fit here.
Each part runs in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from genlens.captions import ListTemplate
from genlens.concepts import Concept, ConceptTable
from genlens.plan import make_plan
from genlens.store import ImageStore, image_key

PARTS = ("plan", "store", "lookup")


def main() -> None:
    """Run the parts and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=64, help="images in one file")
    parser.add_argument("--part", choices=["all", *PARTS], default="all")
    arguments = parser.parse_args()
    if arguments.part == "all":
        for part in PARTS:
            command = [sys.executable, __file__, "--keys", str(arguments.keys), "--batch", str(arguments.batch)]
            subprocess.run([*command, "--part", part], check=True)
        return
    before = memory()
    line = {"plan": plan, "store": store, "lookup": lookup}[arguments.part](arguments.keys, arguments.batch)
    print(f"{arguments.part}, {arguments.keys:,} keys: {line}; {memory() - before:.2f} GB more at the peak", flush=True)


def memory() -> float:
    """Peak memory of this process so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def plan(n_keys: int, _: int) -> str:
    """Seconds to plan so many images."""
    n_rows = -(-n_keys // 7)
    rng = np.random.default_rng(0)
    concepts = tuple(Concept(f"concept {j}", "binary", (rng.random(n_rows) < 0.5).astype(np.int64)) for j in range(6))
    ids = tuple(f"row {i}" for i in range(n_rows))
    table = ConceptTable(ids, concepts, rng.integers(0, 2, n_rows), caption_template=ListTemplate())
    began = time.perf_counter()
    made = make_plan(table, 0)
    return f"{made.n_images:,} images of {n_rows:,} rows planned in {time.perf_counter() - began:.0f} s"


def keys_of(n_keys: int) -> list[str]:
    """So many keys."""
    return [image_key("benchmark", "caption", seed) for seed in range(n_keys)]


def store(n_keys: int, batch: int) -> str:
    """Seconds to append so many images, and to open the folder again."""
    images = np.random.default_rng(0).integers(0, 256, (batch, 8, 8, 3), dtype=np.uint8)
    keys = keys_of(n_keys)
    with tempfile.TemporaryDirectory() as folder:
        held = ImageStore(folder)
        began = time.perf_counter()
        for start in range(0, n_keys, batch):
            some = keys[start : start + batch]
            held.append(some, ["caption"] * len(some), range(start, start + len(some)), images[: len(some)])
        appended = time.perf_counter() - began
        del held
        began = time.perf_counter()
        again = ImageStore(folder)
        missing = sum(key not in again for key in keys)
        resumed = time.perf_counter() - began
        assert missing == 0 and len(again) == n_keys
        files = list(Path(folder).glob("*.parquet"))
        size = sum(path.stat().st_size for path in files) / 2**20
    written = f"appended in {appended:.0f} s ({len(files):,} files, {size:.0f} MB)"
    return f"{written}, opened again and looked up in {resumed:.0f} s"


def lookup(n_keys: int, batch: int) -> str:
    """Seconds to learn of half the keys and to say which of all are missing."""
    began = time.perf_counter()
    keys = keys_of(n_keys)
    made = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        held = ImageStore(folder)
        began = time.perf_counter()
        for start in range(0, n_keys // 2, batch):
            held.adopt(keys[start : start + batch])
        learned = time.perf_counter() - began
        began = time.perf_counter()
        missing = sum(key not in held for key in keys)
        found = time.perf_counter() - began
    known = f"keys hashed in {made:.0f} s, half of them learned in {learned:.0f} s"
    return f"{known}, {missing:,} found missing in {found:.1f} s"


if __name__ == "__main__":
    main()
