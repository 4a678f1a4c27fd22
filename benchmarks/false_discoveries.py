"""Are p-values uniform where the model ignores a concept? `python benchmarks/false_discoveries.py [--quick]`.

1. Eight concepts that the model ignores beside four that it uses: how the p-values of the swap test are distributed
   for the eight, over rows, prevalence, correlated concepts, clusters, noise draws and ties.
2. The false discovery rate after Benjamini-Hochberg at .05 and .10: twenty concepts that the model ignores beside none,
   four or ten that it uses.

The p-values of a sample depend on each other, since all concepts are held against the same reference images; all errors
are therefore over samples. Beside both, as a negative control, the z-test with the standard error over permutations.
Finished parts are kept in `--out`.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from statistics_kept import Kept
from statistics_world import Sample, draw

from genlens.importance.sampled import sample_scores
from genlens.importance.swaps import benjamini_hochberg, swap_p_value
from genlens.metrics import get_scoring

N_REPEATS = 100
SCORING = get_scoring("roc_auc")
VARIANTS: dict[str, dict[str, Any]] = {
    "independent concepts": {},
    "correlated concepts": {"correlation": 0.6},
    "clusters of rows": {"clustered": True},
    "K = 3 draws": {"n_draws": 3},
    "ties": {"grid": 0.5},
}
ROWS = (
    (0, "independent concepts"), (4, "independent concepts"), (10, "independent concepts"),
    (0, "correlated concepts"), (4, "correlated concepts"), (10, "correlated concepts"), (4, "ties"),
)  # fmt: skip
"""Concepts used, and variant, of the second table."""
N_NULL = (8, 20)
"""Concepts ignored, in each table."""
LEVELS, NOMINAL = (0.01, 0.05, 0.10), (0.05, 0.10)


def sample(
    rng: np.random.Generator, n_rows: int, n_used: int, n_null: int, prevalence: float, variant: str
) -> Sample:
    """Concepts that are used come first; their weights go from 1 to .2, so that some are easy and some hard to find."""
    weights = np.concatenate([np.linspace(1.0, 0.2, n_used), np.zeros(n_null)])
    return draw(rng, n_rows, weights, np.full(len(weights), prevalence), **VARIANTS[variant])


def swap_test(drawn: Sample, first: int, n_swaps: int, rng: np.random.Generator) -> np.ndarray:
    """p-values of the concepts from number `first` on."""
    states = drawn.states[first:]
    return np.array([swap_p_value(drawn.y, drawn.reference, state, SCORING, n_swaps, rng) for state in states])


def naive_test(drawn: Sample, first: int, seed: int) -> np.ndarray:
    """One-sided z-test of mean drop / (standard deviation over permutations / sqrt(P))."""
    score = np.mean([SCORING(drawn.y, scores) for scores in drawn.reference.T])
    found = []
    for state in drawn.states[first:]:
        drops = score - sample_scores(drawn.y, state, SCORING, N_REPEATS, seed)
        found.append(stats.norm.sf(drops.mean() / (drops.std(ddof=1) / np.sqrt(N_REPEATS))))
    return np.array(found)


def null_distribution(n_rows: int, prevalence: float, variant: str, n_samples: int) -> dict[str, Any]:
    """KS distance from the uniform distribution, with what chance makes of it; the shares at or below each level."""
    found = np.empty((n_samples, N_NULL[0]))
    naive = np.empty((n_samples // 4, N_NULL[0]))
    for number in range(n_samples):
        rng = np.random.default_rng([n_rows, int(100 * prevalence), list(VARIANTS).index(variant), number])
        drawn = sample(rng, n_rows, 4, N_NULL[0], prevalence, variant)
        found[number] = swap_test(drawn, 4, 199, rng)
        if number < len(naive):
            naive[number] = naive_test(drawn, 4, number)
    below = np.stack([found <= level for level in LEVELS]).mean(axis=2)  # (levels, samples)
    grid = np.arange(1, 201) / 200  # the values that p can take
    curves = (found[:, :, None] <= grid + 1e-9).mean(axis=1)  # (samples, 200) distribution function of each sample
    again = rng.multinomial(n_samples, np.full(n_samples, 1 / n_samples), 500) @ curves / n_samples
    return {
        "ks": float(np.abs(curves.mean(axis=0) - grid).max()),
        "limit": float(np.quantile(np.abs(again - curves.mean(axis=0)).max(axis=1), 0.95)),
        "share": below.mean(axis=1).tolist(),
        "error": (below.std(axis=1, ddof=1) / np.sqrt(n_samples)).tolist(),
        "naive": float((naive <= 0.05).mean()),
    }


def discoveries(n_rows: int, n_used: int, variant: str, n_samples: int) -> dict[str, Any]:
    """False discovery rate, its error and the share of used concepts found, by test and nominal level."""
    found = np.empty((n_samples, 2, len(NOMINAL), 2))  # (samples, tests, levels, false share | found share)
    for number in range(n_samples):
        rng = np.random.default_rng([n_rows, n_used, list(VARIANTS).index(variant), number, 1])
        drawn = sample(rng, n_rows, n_used, N_NULL[1], 0.3, variant)
        for test, p_values in enumerate((swap_test(drawn, 0, 999, rng), naive_test(drawn, 0, number))):
            called = benjamini_hochberg(p_values) <= np.array(NOMINAL)[:, None] + 1e-12  # (levels, D)
            false = called[:, n_used:].sum(axis=1) / np.maximum(called.sum(axis=1), 1)
            found[number, test, :, 0] = false
            found[number, test, :, 1] = called[:, :n_used].mean(axis=1) if n_used else np.nan
    return {
        "rate": found[..., 0].mean(axis=0).tolist(),
        "error": (found[..., 0].std(axis=0, ddof=1) / np.sqrt(n_samples)).tolist(),
        "found": found[..., 1].mean(axis=0).tolist(),
    }


def print_null(key: str, found: dict[str, Any]) -> None:
    """One row of the first table."""
    shares = [f"{100 * s:.1f} ± {100 * e:.1f}" for s, e in zip(found["share"], found["error"], strict=True)]
    distance = f"{found['ks']:.3f} ({found['limit']:.3f})"
    print(f"| {key} | {distance} | " + " | ".join(shares) + f" | {100 * found['naive']:.0f} |", flush=True)


def print_means(parts: dict[str, list[dict[str, Any]]]) -> None:
    """Means over rows and prevalences, and how many KS distances are no larger than chance makes them."""
    print("\n| mean of | p <= .01 | p <= .05 | p <= .10 | KS distances within chance | naive z-test, p <= .05 |")
    print("| --- " * 6 + "|")
    for title, found in (parts | {"all": [part for several in parts.values() for part in several]}).items():
        shares = np.mean([part["share"] for part in found], axis=0)
        errors = np.sqrt(np.mean(np.square([part["error"] for part in found]), axis=0) / len(found))
        cells = [f"{100 * share:.2f} ± {100 * error:.2f}" for share, error in zip(shares, errors, strict=True)]
        within = sum(part["ks"] <= part["limit"] for part in found)
        naive = 100 * np.mean([part["naive"] for part in found])
        print(f"| {title} | " + " | ".join(cells) + f" | {within} of {len(found)} | {naive:.0f} |")


def print_discoveries(key: str, found: dict[str, Any]) -> None:
    """One row of the second table."""
    rate, error, power = (np.array(found[name]) for name in ("rate", "error", "found"))
    swap = [f"{100 * rate[0, n]:.1f} ± {100 * error[0, n]:.1f}" for n in range(len(NOMINAL))]
    share = "" if np.isnan(power[0, 0]) else f"{100 * power[0, 0]:.0f}"
    naive = " | ".join(f"{100 * value:.0f}" for value in rate[1])
    print(f"| {key} | " + " | ".join(swap) + f" | {share} | {naive} |", flush=True)


def main() -> None:
    """Run what isn't finished and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few samples; nothing is kept")
    parser.add_argument("--out", type=Path, default=Path("build/false_discoveries.json"), help="finished parts")
    options = parser.parse_args()
    n_null, n_found = (8, 8) if options.quick else (300, 300)
    kept = Kept(None if options.quick else options.out, [n_null, n_found])

    print(f"p-values of {N_NULL[0]} concepts that the model ignores, {n_null} samples. KS distance from the uniform")
    print("distribution (in brackets: chance alone stays below it in 95% of cases). Shares in %, ± their error.\n")
    print("| rows, prevalence | KS distance | p <= .01 | p <= .05 | p <= .10 | naive z-test, p <= .05 |")
    print("| --- " * 6 + "|")
    parts: dict[str, list[dict[str, Any]]] = {variant: [] for variant in VARIANTS}
    for variant, n_rows, prevalence in itertools.product(VARIANTS, (100, 300, 1000), (0.1, 0.3, 0.5)):
        key = f"{variant}, N = {n_rows}, prevalence {prevalence}"
        parts[variant].append(kept.get(key, null_distribution, n_rows, prevalence, variant, n_null))
        print_null(key, parts[variant][-1])
    print_means(parts)

    print(f"\nFalse discovery rate, %, N = 300, prevalence .3, {N_NULL[1]} concepts ignored, {n_found} samples.\n")
    print("| concepts used | BH at .05 | BH at .10 | used ones found at .05 | naive at .05 | naive at .10 |")
    print("| --- " * 6 + "|")
    for n_used, variant in ROWS:
        key = f"{n_used}, {variant}"
        print_discoveries(key, kept.get(key, discoveries, 300, n_used, variant, n_found))
    print(f"\n{kept.seconds:.0f} s of processor time.")


if __name__ == "__main__":
    main()
