"""Time and memory of the statistics, without any image: `python benchmarks/statistics_speed.py`.

1. `importance_from_scores` for N = 1,000 rows, D = 15 concepts, P = 1,000 permutations and 1,000 bootstrap samples,
   with p-values and reliance, in a process of its own: seconds and peak memory (bounds: 10 s on two cores, 1 GB).
2. N = 1,000, D = 6, P = 500 beside scikit-learn's `permutation_importance`, which does the same permutations on the
   same model: equal numbers, and the ratio of the times.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import time

import numpy as np

from genlens.importance.compute import importance_from_scores
from genlens.importance.exact import expected_importance
from genlens.importance.sampled import sample_scores
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring

SECONDS, MEGABYTES = 10.0, 1024.0
World = tuple[np.ndarray, np.ndarray, np.ndarray, list[StateScores]]


def linear_world(n_rows: int, n_concepts: int, seed: int) -> World:
    """Labels (N,), concepts (N, D), weights (D,) and the states' scores of a linear model, all drawn at random."""
    rng = np.random.default_rng(seed)
    present = (rng.random((n_rows, n_concepts)) < 0.3).astype(np.float64)
    weights = np.linspace(1, 0.1, n_concepts)
    y = (present @ weights + rng.normal(0, 0.5, n_rows) > 0.3 * weights.sum()).astype(np.int64)
    states = []
    for j in range(n_concepts):
        changed = [present.copy(), present.copy()]
        for value, table in enumerate(changed):
            table[:, j] = value
        own = present[:, j].astype(np.int64)
        scores = np.stack([table @ weights for table in changed], axis=1)[:, :, None]  # (N, 2, 1)
        states.append(StateScores(f"concept {j}", scores, np.arange(2), np.bincount(own, minlength=2), own))
    return y, present, weights, states


def whole(method: str) -> tuple[float, float, float]:
    """Seconds of wall time and of processor time, and peak memory of this process in MB."""
    y, present, weights, states = linear_world(1000, 15, 0)
    wall, busy = time.perf_counter(), time.process_time()
    importance_from_scores(y, present @ weights, states, n_repeats=1000, n_resamples=1000, interval_method=method)
    wall, busy = time.perf_counter() - wall, time.process_time() - busy
    return wall, busy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def against_scikit_learn(n_repeats: int) -> tuple[float, float, float, float]:
    """Seconds of scikit-learn's loop, of the same permutations here, of the exact expectation; largest difference."""
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.inspection import permutation_importance

    y, present, weights, states = linear_world(1000, 6, 1)

    class Linear(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        classes_ = np.arange(2)

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def fit(self, *_: object) -> Linear:
            return self

        def decision_function(self, table: np.ndarray) -> np.ndarray:
            return table @ weights

    scoring = get_scoring("roc_auc")
    start = time.perf_counter()
    theirs = permutation_importance(Linear(), present, y, scoring="roc_auc", n_repeats=n_repeats, random_state=0)
    loop = time.perf_counter() - start
    start = time.perf_counter()
    own = scoring(y, present @ weights)
    ours = np.stack([own - sample_scores(y, state, scoring, n_repeats, 0) for state in states])
    sampled = time.perf_counter() - start
    start = time.perf_counter()
    for state in states:
        expected_importance(y, (present @ weights)[:, None], state, scoring)
    exact = time.perf_counter() - start
    return loop, sampled, exact, float(np.abs(theirs.importances - ours).max())


def main() -> None:
    """Print both tables; exit with 1 where a bound is broken."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}")
    print("\n| N = 1,000, D = 15, P = 1,000, 1,000 bootstrap samples | seconds | processor seconds | peak memory, MB |")
    print("| --- | --- | --- | --- |")
    broken = False
    for method in ("influence", "percentile", "bca"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            wall, busy, memory = pool.apply(whole, (method,))
        print(f"| interval: {method} | {wall:.1f} | {busy:.1f} | {memory:.0f} |", flush=True)
        broken |= busy > SECONDS or memory > MEGABYTES
    loop, sampled, exact, difference = against_scikit_learn(500)
    print("\n| N = 1,000, D = 6, P = 500 | seconds | scikit-learn takes |")
    print("| --- | --- | --- |")
    print(f"| scikit-learn's permutation_importance | {loop:.2f} | 1 |")
    title = f"the same permutations (largest difference {difference:.0e})"
    print(f"| {title} | {sampled:.2f} | {loop / sampled:.0f} times |")
    print(f"| exact expectation over all permutations | {exact:.3f} | {loop / exact:.0f} times |")
    print(f"\nBounds of {SECONDS:.0f} s and {MEGABYTES:.0f} MB: {'BROKEN' if broken else 'kept'}.")
    raise SystemExit(int(broken))


if __name__ == "__main__":
    main()
