"""How often do 95% intervals of the importance hold the truth? `python benchmarks/coverage.py [--quick]`.

A model with nine concepts: strong, weak and null, of prevalence .1, .3 and .5 (`statistics_world.py`). A generator with
noise: every image's score differs from what its caption asks for, partly by what all states of a row share, partly by
its own; K = 1 or 3 draws. Rows are independent, or come in clusters of one to four (patients) that share half the
variance of everything. The truth is the expected importance over very large populations.

Compared: influence function, bootstrap over rows or clusters (percentile, BCa), and what is usual: mean +- 1.96
standard errors over permutations, and quantiles of the permutations. The influence function is tried on
`--samples` samples of each size, the others on the first `--resampled` of them. Finished scenarios are kept in `--out`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np
import statistics_world
from statistics_world import Sample

from genlens.importance.bootstrap import bca_interval, bootstrap_importances, percentile_interval
from genlens.importance.exact import expected_importance
from genlens.importance.inference import cluster_sums, importance_influence, interval
from genlens.importance.sampled import sample_scores
from genlens.metrics import get_scoring

STRENGTHS = {"strong": 1.2, "weak": 0.35, "null": 0.0}
PREVALENCES = (0.1, 0.3, 0.5)
CELLS = [(name, share) for name in STRENGTHS for share in PREVALENCES]
METHODS = ("influence", "percentile", "BCa", "mean ± 1.96 se", "quantiles")
CONFIDENCE, N_RESAMPLES, N_REPEATS = 0.95, 300, 100
SCORING = get_scoring("roc_auc")


def draw(rng: np.random.Generator, n_rows: int, n_draws: int = 1, clustered: bool = False) -> Sample:
    """A sample of the population of nine concepts."""
    weights, shares = np.array([STRENGTHS[name] for name, _ in CELLS]), np.array([share for _, share in CELLS])
    return statistics_world.draw(rng, n_rows, weights, shares, n_draws, clustered=clustered)


def population_truth(n_rows: int, n_populations: int) -> np.ndarray:
    """(D,) importances; rows of all scenarios have the same distribution, hence the same truth."""
    rng = np.random.default_rng(0)
    populations = (draw(rng, n_rows) for _ in range(n_populations))
    found = [[expected_importance(p.y, p.reference, state, SCORING) for state in p.states] for p in populations]
    truth = np.mean(found, axis=0)
    return np.where([name == "null" for name, _ in CELLS], 0.0, truth)  # exchangeable states: exactly 0


def by_influence(sample: Sample) -> np.ndarray:
    """(D, 2) intervals."""
    found = []
    for state in sample.states:
        value = expected_importance(sample.y, sample.reference, state, SCORING)
        influence = importance_influence(sample.y, sample.reference, state, SCORING)
        linear = interval(value, influence, CONFIDENCE, sample.clusters)
        found.append((linear.low, linear.high))
    return np.array(found)


def by_resampling(sample: Sample, seed: int) -> np.ndarray:
    """(D, 4, 2) intervals: percentile, BCa, mean +- 1.96 se over permutations, quantiles of permutations."""
    resamples = bootstrap_importances(
        sample.y, sample.reference, sample.states, SCORING, N_RESAMPLES, seed, sample.clusters
    )
    score = np.mean([SCORING(sample.y, scores) for scores in sample.reference.T])
    found = []
    for state, row in zip(sample.states, resamples, strict=True):
        value = expected_importance(sample.y, sample.reference, state, SCORING)
        influence = importance_influence(sample.y, sample.reference, state, SCORING)
        drops = score - sample_scores(sample.y, state, SCORING, N_REPEATS, seed)
        half = 1.96 * drops.std(ddof=1) / np.sqrt(N_REPEATS)
        found.append(
            [
                percentile_interval(row, CONFIDENCE),
                bca_interval(value, row, cluster_sums(influence, sample.clusters), CONFIDENCE),
                (drops.mean() - half, drops.mean() + half),
                percentile_interval(drops, CONFIDENCE),
            ]
        )
    return np.array(found)


def scenario(
    n_rows: int, n_draws: int, clustered: bool, n_samples: int, n_resampled: int, truth: np.ndarray
) -> dict[str, list[list[float]]]:
    """Coverages (D, methods) and mean widths."""
    found = np.full((n_samples, len(CELLS), len(METHODS), 2), np.nan)
    for number in range(n_samples):
        sample = draw(np.random.default_rng([n_rows, n_draws, clustered, number]), n_rows, n_draws, clustered)
        found[number, :, 0] = by_influence(sample)
        if number < n_resampled:
            found[number, :, 1:] = by_resampling(sample, number)
    held = (found[..., 0] <= truth[:, None]) & (truth[:, None] <= found[..., 1])
    coverage = np.concatenate([held[:, :, :1].mean(axis=0), held[:n_resampled, :, 1:].mean(axis=0)], axis=1)
    return {"coverage": coverage.tolist(), "width": np.nanmean(np.ptp(found, axis=-1), axis=0).tolist()}


def print_scenario(title: str, found: dict[str, list[list[float]]], truth: np.ndarray) -> None:
    """One row a concept: coverage in % and, in brackets, the mean width as a share of the influence interval's."""
    print(f"\n{title}\n\n| concept | prevalence | truth | " + " | ".join(METHODS) + " |")
    print("| --- " * (3 + len(METHODS)) + "|")
    for (name, share), true, cover, wide in zip(CELLS, truth, found["coverage"], found["width"], strict=True):
        cells = [f"{100 * c:.1f} ({w / wide[0]:.2f})" for c, w in zip(cover, wide, strict=True)]
        print(f"| {name} | {share} | {true:.4f} | " + " | ".join(cells) + " |", flush=True)


def print_summary(results: dict[str, dict[str, list[list[float]]]], n_samples: int, n_resampled: int) -> None:
    """Coverage over all cells, and the cells of the influence interval outside 93 to 97%."""
    coverage = 100 * np.array([found["coverage"] for found in results.values()])  # (scenarios, D, methods)
    errors = [100 * np.sqrt(0.95 * 0.05 / n) for n in (n_samples, n_resampled)]
    print(f"\nAll {coverage[..., 0].size} cells; Monte-Carlo error of a cell: {errors[0]:.1f} points (influence)")
    print(f"and {errors[1]:.1f} (others). Inside: 93 to 97%, give or take two Monte-Carlo errors.\n")
    print("| interval | mean coverage | lowest | highest | cells inside | cells below |\n" + "| --- " * 6 + "|")
    for number, method in enumerate(METHODS):
        cells, margin = coverage[..., number], 2 * errors[min(number, 1)]
        inside, below = (cells > 93 - margin) & (cells < 97 + margin), cells < 93 - margin
        print(
            f"| {method} | {cells.mean():.1f} | {cells.min():.1f} | {cells.max():.1f} | {inside.sum()} of {cells.size} "
            f"| {below.sum()} |"
        )
    print("\nOutside, influence function:")
    margin = 2 * errors[0]
    for title, row in zip(results, coverage[..., 0], strict=True):
        for (name, share), cell in zip(CELLS, row, strict=True):
            if not 93 - margin < cell < 97 + margin:
                print(f"- {cell:.1f}% for {name}, prevalence {share}; {title}")
    print()


def main() -> None:
    """Run what isn't finished and print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few samples and a small population; nothing is kept")
    parser.add_argument("--samples", type=int, default=1600, help="samples of each scenario, influence function")
    parser.add_argument("--resampled", type=int, default=500, help="samples of each scenario, other methods")
    parser.add_argument("--out", type=Path, default=Path("build/coverage.json"), help="file of finished scenarios")
    options = parser.parse_args()
    n_samples, n_resampled = (40, 20) if options.quick else (options.samples, options.resampled)
    settings = [n_samples, n_resampled]
    kept = json.loads(options.out.read_text()) if options.out.is_file() and not options.quick else {}
    if kept.get("settings") != settings:
        kept = {"settings": settings, "results": {}}
    if "truth" not in kept:
        kept["truth"] = population_truth(*(100_000, 1) if options.quick else (400_000, 10)).tolist()
    truth = np.array(kept["truth"])
    for n_rows, n_draws, clustered in itertools.product((100, 300, 1000), (1, 3), (False, True)):
        title = f"N = {n_rows}, K = {n_draws}, {'clusters of 1 to 4 rows' if clustered else 'independent rows'}"
        if title not in kept["results"]:
            start = time.process_time()
            kept["results"][title] = scenario(n_rows, n_draws, clustered, n_samples, n_resampled, truth)
            kept["results"][title]["seconds"] = time.process_time() - start
            if not options.quick:
                options.out.parent.mkdir(parents=True, exist_ok=True)
                options.out.write_text(json.dumps(kept))
        print_scenario(title, kept["results"][title], truth)
    print_summary(kept["results"], n_samples, n_resampled)
    seconds = sum(found["seconds"] for found in kept["results"].values())
    print(f"{seconds:.0f} s of processor time for the scenarios.")


if __name__ == "__main__":
    main()
