"""How often do 95% intervals of adjusted importance hold the truth? `python benchmarks/adjusted_coverage.py [--quick]`.

A simulation without images: six concepts, a generator that ignores up to 70% of a concept's flips and leaks up to 60%
of another's into the next, linear and curved target models on concept predictions that are nearly certain, and concept
classifiers from sharp to poor. Truth is the importance in the population: a very large sample of rows whose concept
predictions are permuted at the bottleneck. A fresh sample of rows is drawn for every interval.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from genlens.importance.adjusted import adjusted_importance
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring

D = 6
IGNORED = np.array((0.0, 0.7, 0.2, 0.55, 0.35, 0.1))
LEAKS = np.array((0.55, 0.0, 0.5, 0.0, 0.6, 0.0))
CELLS = ((300, 1.0), (500, 1.0), (1000, 1.0), (500, 0.97), (500, 0.93), (500, 0.87))
"""Rows, and the concept classifier's rate of right answers; 1: scores near 0 and 1."""
ROUNDING = 0.0005
"""An interval holds the truth to the third decimal: importances of 0 have intervals of width 0."""
Head = Callable[[np.ndarray], np.ndarray]


def make_head(kind: str, rng: np.random.Generator) -> Head:
    """A weighted sum, or a sigmoid of one with all pairwise interactions."""
    weights, pairs = rng.uniform(0, 1, D), np.triu(rng.uniform(-0.5, 0.5, (D, D)), 1)
    if kind == "linear":
        return lambda concepts: np.asarray(concepts @ weights)

    def inner(concepts: np.ndarray) -> np.ndarray:
        return np.asarray(concepts @ weights + ((concepts @ pairs) * concepts).sum(axis=-1))

    centre = inner(np.full(D, 0.5))
    return lambda concepts: 1 / (1 + np.exp(-3 * (inner(concepts) - centre)))


def read(presence: np.ndarray, rng: np.random.Generator, right: float) -> np.ndarray:
    """What a net says of images: nearly 0 or 1, or 0 and 1 with errors."""
    if right < 1:
        return (rng.random(presence.shape) < np.where(presence, right, 1 - right)).astype(float)
    return np.asarray(1 / (1 + np.exp(6 - 12 * presence - rng.normal(size=presence.shape))))


def draw_flips(present: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Presence (N, D, 2, D) in both states of every flip."""
    n_rows = len(present)
    drawn = np.broadcast_to(present[:, None, None], (n_rows, D, 2, D)).copy()
    for j in range(D):
        shows, leaks = rng.random(n_rows) >= IGNORED[j], rng.random(n_rows) < LEAKS[j]
        for state in (0, 1):
            flipped = present[:, j] != state
            drawn[flipped & shows, j, state, j] = state
            drawn[flipped & leaks, j, state, (j + 1) % D] = state
    return drawn


def read_all(present: np.ndarray, drawn: np.ndarray, rng: np.random.Generator, right: float) -> np.ndarray:
    """What a net says of all images (N, D, 2, D); a row's reference image is one image for all concepts."""
    found, reference = read(drawn, rng, right), read(present, rng, right)
    for j in range(D):
        found[np.arange(len(present)), j, present[:, j]] = reference
    return found


def population(head: Head, n_rows: int) -> tuple[np.ndarray, float]:
    """Importance (D,) and median score in the population."""
    rng, auroc = np.random.default_rng(99), get_scoring("roc_auc")
    present = rng.integers(0, 2, (n_rows, D))
    score = head(present.astype(float))
    median = float(np.median(score))
    y, seen = (score > median).astype(int), read(present, rng, 1.0)
    own, drops = auroc(y, head(seen)), np.empty(D)
    for j in range(D):
        permuted = seen.copy()
        permuted[:, j] = seen[rng.permutation(n_rows), j]
        drops[j] = own - auroc(y, head(permuted))
    return drops, median


def sample(head: Head, median: float, n_rows: int, right: float, n_resamples: int, seed: int) -> np.ndarray:
    """Importance and interval of a fresh sample of rows, (D, 3)."""
    rng = np.random.default_rng(seed)
    present = rng.integers(0, 2, (n_rows, D))
    drawn = draw_flips(present, rng)
    target, seen = head(read_all(present, drawn, rng, 1.0)), read_all(present, drawn, rng, right)

    def states(scores: np.ndarray) -> list[StateScores]:
        own = present.T
        return [
            StateScores(str(j), scores[:, j, :, None], np.arange(2), np.bincount(own[j], minlength=2), own[j])
            for j in range(D)
        ]

    result = adjusted_importance(
        (head(present.astype(float)) > median).astype(int), head(read(present, rng, 1.0)), read(present, rng, right),
        states(target), states(seen), n_resamples=n_resamples, seed=seed,
    )  # fmt: skip
    return np.column_stack([result.importance, result.ci])


def cell(n_rows: int, right: float, kind: str, n_heads: int, n_samples: int, n_resamples: int, size: int) -> str:
    """Coverage, bias, error and what is withheld, over heads and samples; `size` rows make the population."""
    found, truth = np.empty((n_heads, n_samples, D, 3)), np.empty((n_heads, 1, D))
    for number in range(n_heads):
        head = make_head(kind, np.random.default_rng(500 + number))
        truth[number], median = population(head, size)
        for k in range(n_samples):
            found[number, k] = sample(head, median, n_rows, right, n_resamples, 1000 * number + k)
    value, low, high = np.moveaxis(found, 3, 0)
    told = np.isfinite(value)
    if not told.any():
        return f"{'all withheld':>36}{100:7.0f}"
    held = (low - ROUNDING <= truth) & (truth <= high + ROUNDING)
    often = told.sum(axis=1) >= n_samples / 2
    lowest = (held.sum(axis=1)[often] / told.sum(axis=1)[often]).min() if often.any() else np.nan
    error = (value - truth)[told]
    return (
        f"{100 * held[told].mean():10.1f}{100 * lowest:9.0f}{error.mean():+9.4f}{np.abs(error).mean():8.4f}"
        f"{100 * (1 - told.mean()):7.0f}"
    )


def main() -> None:
    """Print a line for each pair of rows and concept classifier, and kind of head."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10 samples of each head, smaller population")
    parser.add_argument("--samples", type=int, default=60, help="samples of rows for each head")
    parser.add_argument("--heads", type=int, default=3, help="heads of each kind")
    parser.add_argument("--resamples", type=int, default=100)
    parser.add_argument("--cell", type=int, choices=range(len(CELLS)), help="only this pair of rows and classifier")
    options = parser.parse_args()
    n_samples, size = (10, 50_000) if options.quick else (options.samples, 400_000)
    print(f"{options.heads} heads of each kind, {n_samples} samples of rows each, {options.resamples} resamples")
    print(f"{'rows':>6}{'right':>7} {'head':8}{'coverage%':>10}{'lowest%':>9}{'bias':>9}{'error':>8}{'held%':>7}")
    for n_rows, right in CELLS if options.cell is None else [CELLS[options.cell]]:
        for kind in ("linear", "curved"):
            start = time.perf_counter()
            figures = cell(n_rows, right, kind, options.heads, n_samples, options.resamples, size)
            print(f"{n_rows:6d}{right:7.2f} {kind:8}{figures}   ({time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
