"""A hundred heads of one bottleneck on the images of a finished run: seconds, beside a hundred runs of their own.

    python benchmarks/compare.py [--rows 1000] [--heads 100]

Renders a run with the shipped generator (or takes the one in --run), then times `genlens compare` on that many heads of
the shipped concept net, on three classifiers of other kinds, and, for the ratio, scoring one head after the other as if
they shared nothing (on a few of them, scaled up).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from genlens.classifiers import CallableClassifier, ConceptBottleneck, load_shapes_checker, load_shapes_concepts
from genlens.cli.loading import load_generator
from genlens.compare import compare
from genlens.concepts import ConceptTable
from genlens.datasets.shapes import CONCEPTS, write_imagefolder
from genlens.depict import permutation_importance
from genlens.importance.comparison import Comparison
from genlens.reports.comparison import headline, write_comparison

APART = 3
"""Heads that are scored one by one for the ratio."""


def main() -> None:
    """Print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--heads", type=int, default=100)
    parser.add_argument("--run", type=Path, help="a finished run of the shapes data; rendered if not given")
    arguments = parser.parse_args()
    net = load_shapes_concepts()
    weights = np.random.default_rng(0).random((arguments.heads, len(CONCEPTS)))
    heads = {f"head {k}": ConceptBottleneck(net, row) for k, row in enumerate(weights)}
    with tempfile.TemporaryDirectory() as folder:
        run = arguments.run or render(Path(folder), arguments.rows, heads["head 0"])
        began = time.perf_counter()
        found = compare(run, heads)
        page = write_comparison(found, Path(folder) / "comparison")
        seconds = time.perf_counter() - began
        n_pairs = len(found.differences())
        print(
            f"{len(heads)} heads of one bottleneck, {n_pairs:,} differences: {seconds:.1f} s (bound 30 s), {page.name}"
        )
        apart = one_by_one(run, heads)
        print(f"the same heads one by one, from {APART} of them: {apart:.1f} s, {apart / seconds:.1f} times as long")
        three(run, heads["head 0"])


def render(folder: Path, rows: int, target: ConceptBottleneck) -> Path:
    """A finished run of the shapes data."""
    write_imagefolder(folder / "data", rows, 0)
    table = ConceptTable.from_metadata(folder / "data", list(CONCEPTS), "label")
    began = time.perf_counter()
    permutation_importance(target, table, load_generator("shapes"), store=folder / "run")
    print(f"rendered and ranked once: {rows:,} rows, {time.perf_counter() - began:.1f} s")
    return folder / "run"


def one_by_one(run: Path, heads: dict[str, ConceptBottleneck]) -> float:
    """Seconds of all heads, from a few that are scored as classifiers which share nothing, two a comparison."""
    some = list(heads.items())[1 : APART + 1]
    models = {name: CallableClassifier(head.predict, fingerprint=f"apart {name}") for name, head in some}
    began = time.perf_counter()
    compare(run, models)
    return (time.perf_counter() - began) / len(some) * len(heads)


def three(run: Path, head: ConceptBottleneck) -> None:
    """Three classifiers of other kinds."""
    checker = load_shapes_checker()
    models = {
        "bottleneck": head,
        "sum of the checker's log-odds": CallableClassifier(
            lambda x: checker.predict(x).sum(axis=1), fingerprint="sum"
        ),
        "redness": CallableClassifier(lambda x: np.asarray(x)[..., 1].mean(axis=(1, 2)) * -1.0, fingerprint="redness"),
    }
    began = time.perf_counter()
    found: Comparison = compare(run, models)
    print(f"three classifiers: {time.perf_counter() - began:.1f} s. {headline(found, found.differences())}")


if __name__ == "__main__":
    main()
