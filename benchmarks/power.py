"""Does the planned power come true? `python benchmarks/power.py [--quick]`.

1. The variance of a row's influence, split into rows and noise, against importance and prevalence: what
   `default_spread` is made of.
2. Power curves: the share of samples in which an importance is found (one-sided interval above 0; swap test), or the
   difference of two (two-sided interval), beside what `genlens.importance.power` predicts, from its defaults and from
   pilot runs of 200 rows with two draws (mean of 20 pilots).
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
from statistics_kept import Kept
from statistics_world import Sample, draw

from genlens.importance.exact import expected_importance
from genlens.importance.inference import importance_influence, interval
from genlens.importance.power import (
    Spread,
    default_spread,
    difference_power,
    importance_power,
    rows_for_importance,
    split_spread,
)
from genlens.importance.swaps import swap_p_value
from genlens.importance.variance import variance_split
from genlens.metrics import get_scoring

WEIGHTS = np.array([1.2, 0.8, 0.5, 0.35, 0.2, 0.0])
SINGLE = (2, 3, 4, 5)
"""Concepts whose importance is to be found."""
PAIRS = ((0, 1), (1, 2), (2, 3))
"""Concepts that are to be told apart."""
ROWS, DRAWS = (100, 200, 400, 800), (1, 4)
ALPHA, PILOT_ROWS, N_PILOTS = 0.05, 200, 20
SCORING = get_scoring("roc_auc")


def sample(rng: np.random.Generator, n_rows: int, prevalence: float, n_draws: int) -> Sample:
    """Six concepts of equal prevalence."""
    return draw(rng, n_rows, WEIGHTS, np.full(len(WEIGHTS), prevalence), n_draws)


def importances(drawn: Sample) -> np.ndarray:
    """(D,) exact importances."""
    return np.array([expected_importance(drawn.y, drawn.reference, state, SCORING) for state in drawn.states])


def spreads(n_rows: int, prevalence: float) -> dict[str, list[float]]:
    """Importances of a very large sample, and the variance of a row's influence from rows and from noise."""
    drawn = sample(np.random.default_rng(0), n_rows, prevalence, 2)
    split = variance_split(drawn.y, drawn.reference, drawn.states, SCORING)
    rows, noise = split.rows * n_rows, split.noise * 2 * n_rows
    return {"importance": importances(drawn).tolist(), "rows": rows.tolist(), "noise": noise.tolist()}


def print_spreads(found: dict[float, dict[str, list[float]]]) -> None:
    """Table 1."""
    print("| prevalence | importance | rows | rows / importance | default | noise, one draw | default |")
    print("| --- " * 7 + "|")
    for prevalence, parts in found.items():
        default = default_spread(prevalence)
        for value, rows, noise in zip(parts["importance"], parts["rows"], parts["noise"], strict=True):
            ratio = f"{rows / value:.2f}" if value > 1e-3 else ""
            print(
                f"| {prevalence} | {value:.4f} | {rows:.4f} | {ratio} | {default.per_importance:.2f} "
                f"| {noise:.4f} | {default.noise:.4f} |"
            )


def pilots(prevalence: float) -> list[Spread]:
    """What each of several pilot runs teaches."""
    taught = []
    for seed in range(N_PILOTS):
        drawn = sample(np.random.default_rng([seed, int(100 * prevalence)]), PILOT_ROWS, prevalence, 2)
        split = variance_split(drawn.y, drawn.reference, drawn.states, SCORING)
        parts = (split.rows * PILOT_ROWS, split.noise * 2 * PILOT_ROWS)
        taught.append(split_spread(importances(drawn), *parts, "a pilot run"))
    return taught


def found(drawn: Sample, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which single importances are found (interval; swap test) and which differences."""
    values = importances(drawn)
    influences = [importance_influence(drawn.y, drawn.reference, state, SCORING) for state in drawn.states]
    above = [interval(values[j], influences[j], 1 - 2 * ALPHA).low > 0 for j in SINGLE]
    swaps = [swap_p_value(drawn.y, drawn.reference, drawn.states[j], SCORING, 199, rng) <= ALPHA for j in SINGLE]
    apart = [interval(values[a] - values[b], influences[a] - influences[b], 1 - ALPHA).low > 0 for a, b in PAIRS]
    return np.array(above), np.array(swaps), np.array(apart)


def simulated(prevalence: float, n_rows: int, n_draws: int, n_samples: int) -> list[list[float]]:
    """Shares of samples in which importances are found (interval; swap test) and differences."""
    rng = np.random.default_rng([n_rows, n_draws, int(100 * prevalence)])
    held = [found(sample(rng, n_rows, prevalence, n_draws), rng) for _ in range(n_samples)]
    return [np.mean(part, axis=0).tolist() for part in zip(*held, strict=True)]


def curves(prevalence: float, truth: list[float], n_samples: int, kept: Kept) -> np.ndarray:
    """Print the table of one prevalence; returns (cells, 4): simulated interval and swap test, defaults, pilot."""
    sources = ([default_spread(prevalence)], pilots(prevalence))
    cells = {}
    for n_rows, n_draws in itertools.product(ROWS, DRAWS):
        key = f"prevalence {prevalence}, N = {n_rows}, {n_draws} draws"
        above, swaps, apart = kept.get(key, simulated, prevalence, n_rows, n_draws, n_samples)
        for k, j in enumerate(SINGLE):
            value = max(truth[j], 0.0)
            planned = [
                np.mean([importance_power(value, n_rows, n_draws, spread, ALPHA) for spread in source])
                for source in sources
            ]
            cells[f"importance {truth[j]:.4f}", n_draws, n_rows] = [above[k], swaps[k], *planned]
        for k, (a, b) in enumerate(PAIRS):
            gap, smaller = truth[a] - truth[b], max(truth[b], 0.0)
            planned = [
                np.mean([difference_power(gap, smaller, n_rows, n_draws, spread, ALPHA) for spread in source])
                for source in sources
            ]
            cells[f"{truth[a]:.3f} against {truth[b]:.3f}", n_draws, n_rows] = [apart[k], np.nan, *planned]
    print(f"\nPrevalence {prevalence}, {n_samples} samples; chance in %, simulated: interval / swap test; predicted:")
    print("defaults / pilot.\n\n| to be found | draws | " + " | ".join(f"N = {n}" for n in ROWS) + " |")
    print("| --- " * (2 + len(ROWS)) + "|")
    for title, n_draws in dict.fromkeys(key[:2] for key in cells):
        shown = [written(cells[title, n_draws, n_rows]) for n_rows in ROWS]
        print(f"| {title} | {n_draws} | " + " | ".join(shown) + " |", flush=True)
    return np.array(list(cells.values()))


def written(shares: list[float]) -> str:
    """Shares as 45 / 65; 37 / 52."""
    first, second, third, fourth = ("-" if np.isnan(share) else f"{100 * share:.0f}" for share in shares)
    return f"{first} / {second}; {third} / {fourth}"


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few samples; nothing is kept")
    parser.add_argument("--out", type=Path, default=Path("build/power.json"), help="finished parts")
    options = parser.parse_args()
    n_samples, n_large = (20, 20_000) if options.quick else (250, 200_000)
    kept = Kept(None if options.quick else options.out, [n_samples, n_large])
    measured = {p: kept.get(f"spreads, {p}", spreads, n_large, p) for p in (0.1, 0.3, 0.5)}
    print(f"Variance of a row's influence, {n_large:,} rows:\n")
    print_spreads(measured)
    lines = np.concatenate([curves(p, measured[p]["importance"], n_samples, kept) for p in (0.1, 0.5)])
    for number, name in enumerate(("defaults", "pilot"), start=2):
        error = 100 * (lines[:, number] - lines[:, 0])
        print(
            f"\nPredicted from {name} - simulated (interval), {len(lines)} cells: mean {error.mean():+.1f} points, "
            f"mean absolute {np.abs(error).mean():.1f}, from {error.min():+.0f} to {error.max():+.0f}."
        )
    more = 100 * np.nanmean(lines[:, 1] - lines[:, 0])
    print(f"\nSwap test - interval (importances): {more:+.1f} points on average.")
    needed = [rows_for_importance(0.02, n_draws, default_spread(0.5)) for n_draws in (1, 4)]
    print(f"\nRows for an importance of 0.02 at prevalence .5, defaults: {needed[0]} at 1 draw, {needed[1]} at 4.")
    print(f"{kept.seconds:.0f} s of processor time.")


if __name__ == "__main__":
    main()
