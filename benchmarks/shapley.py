"""Do the intervals of groups and of Shapley values hold the truth? `python benchmarks/shapley.py [--samples 200]`.

Three binary concepts, two of them correlated, and a model that adds them up; every image has a generation noise of its
own. Truth is the value in a very large population. Printed: truth, mean estimate, and how often the 95% interval holds
the truth, for the Shapley values, their sum, the importance of the pair permuted together and its excess over the
members' own importances.
"""

from __future__ import annotations

import argparse

import numpy as np

from genlens.importance.exact import expected_importance
from genlens.importance.inference import Interval, importance_influence, interval
from genlens.importance.shapley import shapley
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring

WEIGHTS = np.array([1.0, 0.5, 0.7])
CORRELATION = 0.6
SIZES = (100, 300, 1000)
FIGURES = ("Shapley 1", "Shapley 2", "Shapley 3", "sum", "group", "excess")
SCORING = get_scoring("roc_auc")


def states_of(scores: np.ndarray, own: np.ndarray) -> StateScores:
    """Scores (N, S) with a stratum for each slot."""
    n_slots = scores.shape[1]
    return StateScores("c", scores[:, :, None], np.arange(n_slots), np.bincount(own, minlength=n_slots), own)


def figures(rng: np.random.Generator, n_rows: int) -> list[Interval]:
    """The six figures on a sample."""
    present = rng.integers(0, 2, (n_rows, 3))
    present[:, 1] = np.where(rng.random(n_rows) < CORRELATION, present[:, 0], present[:, 1])
    rest = rng.normal(0, 0.3, n_rows)
    chance = 1 / (1 + np.exp(-3 * (rest + present @ WEIGHTS - WEIGHTS.sum() / 2)))
    y = (rng.random(n_rows) < chance).astype(np.int64)
    bits = np.arange(8)[:, None] >> np.arange(3) & 1
    table = rest[:, None] + bits @ WEIGHTS + rng.normal(0, 0.15, (n_rows, 8))  # (N, 8)
    rows, own = np.arange(n_rows)[:, None], present @ (1 << np.arange(3))
    found = shapley(y, states_of(table, own), SCORING)
    pair = states_of(table[rows, (own & 4)[:, None] | np.arange(4)], own & 3)
    members = [
        states_of(table[rows, (own & ~(1 << j))[:, None] | np.array([0, 1 << j])], present[:, j]) for j in (0, 1)
    ]
    reference = table[rows[:, 0], own][:, None]
    together, *alone = (
        (expected_importance(y, reference, state, SCORING), importance_influence(y, reference, state, SCORING))
        for state in (pair, *members)
    )
    excess = interval(together[0] - sum(v for v, _ in alone), together[1] - np.sum([i for _, i in alone], axis=0))
    return [*found.values, found.total, interval(*together), excess]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200, help="samples of each size")
    n_samples = parser.parse_args().samples
    rng = np.random.default_rng(0)
    truth = np.array([item.value for item in figures(rng, 300_000)])
    print(f"{n_samples} samples of each size; estimate (coverage of the truth in %, nominal 95)")
    print(" " * 9 + "".join(f"{name:>17}" for name in FIGURES))
    print(f"{'truth':9}" + "".join(f"{value:>17.4f}" for value in truth))
    for n_rows in SIZES:
        drawn = [figures(rng, n_rows) for _ in range(n_samples)]
        found = np.array([[(item.value, item.low, item.high) for item in sample] for sample in drawn])
        held = ((found[..., 1] <= truth) & (truth <= found[..., 2])).mean(axis=0)
        pairs = zip(found[..., 0].mean(axis=0), held, strict=True)
        print(f"N = {n_rows:4} " + "".join(f"{mean:>9.4f} ({100 * share:5.1f})" for mean, share in pairs), flush=True)


if __name__ == "__main__":
    main()
