"""How often do 95% intervals of the importance hold the truth? `python benchmarks/coverage.py [--quick]`.

A model with nine concepts (strong, weak and null, of prevalence .1, .3 and .5) and a generator with some noise: the
score of a row's other state differs from its reference by the concept's weight plus noise. Truth is the exact
importance over a very large population. Compared: influence function, bootstrap over rows (percentile, BCa), and what
is usual, mean +- 1.96 standard errors over permutations.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np

from genlens.importance.bootstrap import bca_interval, bootstrap_importances, percentile_interval
from genlens.importance.exact import expected_importance
from genlens.importance.inference import importance_influence, interval
from genlens.importance.sampled import sample_scores
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring

STRENGTHS = {"strong": 1.2, "weak": 0.35, "null": 0.0}
PREVALENCES = (0.1, 0.3, 0.5)
CELLS = [(name, share) for name in STRENGTHS for share in PREVALENCES]
METHODS = ("influence", "percentile", "BCa", "permutations")
CONFIDENCE = 0.95
Sample = tuple[np.ndarray, np.ndarray, list[StateScores]]


def sample(rng: np.random.Generator, n_rows: int) -> Sample:
    """Labels (N,), reference scores (N, 1) and the states' scores of the nine concepts."""
    weights = np.array([STRENGTHS[name] for name, _ in CELLS])
    shares = np.array([share for _, share in CELLS])
    present = (rng.random((n_rows, len(CELLS))) < shares).astype(np.int64)
    score = present @ weights + rng.normal(0, 0.3, n_rows)
    chance = 1 / (1 + np.exp(-3 * (score - shares @ weights)))
    y = (rng.random(n_rows) < chance).astype(np.int64)
    states = []
    for j, weight in enumerate(weights):
        own = present[:, j]
        other = score + weight * (1 - 2 * own) + rng.normal(0, 0.15, n_rows)
        scores = np.where(own[:, None] == np.arange(2), score[:, None], other[:, None])[:, :, None]  # (N, 2, 1)
        states.append(StateScores(str(j), scores, np.arange(2), np.bincount(own, minlength=2), own))
    return y, score[:, None], states


def intervals(drawn: Sample, n_resamples: int, n_repeats: int, seed: int) -> Iterator[list[tuple[float, float]]]:
    """For each concept, the interval of every method."""
    y, reference, states = drawn
    scoring = get_scoring("roc_auc")
    resamples = bootstrap_importances(y, reference, states, scoring, n_resamples, seed)
    for state, row in zip(states, resamples, strict=True):
        value = expected_importance(y, reference, state, scoring)
        influence = importance_influence(y, reference, state, scoring)
        linear = interval(value, influence, CONFIDENCE)
        drops = scoring(y, reference[:, 0]) - sample_scores(y, state, scoring, n_repeats, seed)
        half = 1.96 * drops.std(ddof=1) / np.sqrt(n_repeats)
        yield [
            (linear.low, linear.high),
            percentile_interval(row, CONFIDENCE),
            bca_interval(value, row, influence, CONFIDENCE),
            (drops.mean() - half, drops.mean() + half),
        ]


def main() -> None:
    """Print a table of coverages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples, smaller population")
    parser.add_argument("--samples", type=int, default=400, help="samples drawn from the population")
    quick = parser.parse_args().quick
    n_samples, n_population = (40, 50_000) if quick else (parser.parse_args().samples, 1_000_000)
    rng = np.random.default_rng(0)
    y, reference, states = sample(rng, n_population)
    truth = np.array([expected_importance(y, reference, state, get_scoring("roc_auc")) for state in states])
    print(f"{n_samples} samples of each size; coverage of the truth in %, nominal 95; (width / width of influence)")
    for n_rows in (100, 300, 1000):
        start = time.perf_counter()
        found = np.array(
            [list(intervals(sample(rng, n_rows), 500, 50, seed)) for seed in range(n_samples)]
        )  # (samples, D, methods, 2)
        held = ((found[..., 0] <= truth[:, None]) & (truth[:, None] <= found[..., 1])).mean(axis=0)  # (D, methods)
        width = np.ptp(found, axis=-1).mean(axis=0)
        print(f"\nN = {n_rows} ({time.perf_counter() - start:.0f} s)")
        print(f"{'concept':8}{'share':>6}{'truth':>8}" + "".join(f"{name:>19}" for name in METHODS))
        for (name, share), true, cover, wide in zip(CELLS, truth, held, width, strict=True):
            cells = [f"{100 * c:.1f} ({w / wide[0]:.2f})" for c, w in zip(cover, wide, strict=True)]
            print(f"{name:8}{share:6.1f}{true:8.4f}" + "".join(f"{cell:>19}" for cell in cells))
        print(f"{'mean':22}" + "".join(f"{100 * c:>18.1f} " for c in held.mean(axis=0)), flush=True)


if __name__ == "__main__":
    main()
