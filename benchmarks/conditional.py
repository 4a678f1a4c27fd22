"""Is the conditional importance right where the truth is known? `python benchmarks/conditional.py [--samples 200]`.

Four binary concepts: a strong and a weak one whose correlation is swept, one that the model ignores but that follows
the strong one just as closely, and an independent one. Truth is the importance given all others over a very large
population. Printed for each correlation, size and form (strata of all others, logistic regression): mean estimate,
coverage of the 95% intervals, and how often p < .05 for the ignored concept and for the weak one.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from genlens.columns import Concept
from genlens.importance.conditional import conditional_importance
from genlens.importance.exact import expected_importance
from genlens.importance.given import Given, folds_of, given_model, given_strata
from genlens.importance.states import StateScores
from genlens.importance.swaps import swap_p_value
from genlens.metrics import get_scoring

NAMES = ("strong", "weak", "ignored", "independent")
WEIGHTS = np.array([1.2, 0.5, 0.0, 0.6])
CORRELATIONS = (0.0, 0.5, 0.75, 0.95)
SIZES = (300, 1000)
FORMS = ("strata", "model")
SCORING = get_scoring("roc_auc")
Sample = tuple[np.ndarray, np.ndarray, list[StateScores], list[Concept]]


def sample(rng: np.random.Generator, n_rows: int, correlation: float) -> Sample:
    """Labels (N,), reference scores (N, 1), the states' scores, and the concepts themselves."""
    present = rng.integers(0, 2, (n_rows, 4))
    for j in (1, 2):
        follows = rng.random(n_rows) < correlation
        present[:, j] = np.where(follows, present[:, 0], present[:, j])
    clean = present @ WEIGHTS + rng.normal(0, 0.3, n_rows)
    chance = 1 / (1 + np.exp(-3 * (clean - WEIGHTS.sum() / 2)))
    y = (rng.random(n_rows) < chance).astype(np.int64)
    score, states = clean + rng.normal(0, 0.15, n_rows), []  # every image has a generation noise of its own
    for j, weight in enumerate(WEIGHTS):
        own = present[:, j]
        other = clean + weight * (1 - 2 * own) + rng.normal(0, 0.15, n_rows)
        scores = np.where(own[:, None] == np.arange(2), score[:, None], other[:, None])[:, :, None]  # (N, 2, 1)
        states.append(StateScores(NAMES[j], scores, np.arange(2), np.bincount(own, minlength=2), own))
    concepts = [Concept(name, "binary", present[:, j]) for j, name in enumerate(NAMES)]
    return y, score[:, None], states, concepts


def given(form: str, j: int, states: StateScores, concepts: list[Concept], rng: np.random.Generator) -> Given:
    """Probabilities of concept j given the others."""
    others = [concept for k, concept in enumerate(concepts) if k != j]
    if form == "strata":
        return given_strata(states.own, 2, others)
    return given_model(states.own, 2, others, folds_of(rng.random(len(states.own))))


def measure(rng: np.random.Generator, n_rows: int, correlation: float, form: str, n_swaps: int) -> np.ndarray:
    """(4, 4) for each concept: estimate, ends of its interval, p-value."""
    y, reference, states, concepts = sample(rng, n_rows, correlation)
    rows = []
    for j, state in enumerate(states):
        found = given(form, j, state, concepts, rng)
        value = conditional_importance(y, reference, state, found, SCORING)
        weights = state.slot_weights(found.probabilities)
        p_value = swap_p_value(y, reference, state, SCORING, n_swaps, rng, weights) if j in (1, 2) else np.nan
        rows.append((value.value, value.low, value.high, p_value))
    return np.array(rows)


def truth(correlation: float, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Conditional and unconditional importance (4,) in a large population."""
    rng = np.random.default_rng(0)
    y, reference, states, concepts = sample(rng, n_rows, correlation)
    inside = [
        conditional_importance(y, reference, state, given("strata", j, state, concepts, rng), SCORING).value
        for j, state in enumerate(states)
    ]
    return np.array(inside), np.array([expected_importance(y, reference, state, SCORING) for state in states])


def main() -> None:
    """Print a table for each correlation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200, help="samples of each size")
    parser.add_argument("--swaps", type=int, default=199, help="relabellings for a p-value")
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    print(f"{options.samples} samples of each size; estimate (coverage of the truth in %, nominal 95)")
    for correlation in CORRELATIONS:
        start = time.perf_counter()
        true, plain = truth(correlation, 300_000)
        heading = "".join(f"{name:>17}" for name in NAMES)
        print(f"\ncorrelation {correlation:.2f}{heading}   p < .05: ignored, weak")
        print(f"{'unconditional':16}" + "".join(f"{value:>17.4f}" for value in plain))
        print(f"{'truth':16}" + "".join(f"{value:>17.4f}" for value in true))
        for n_rows in SIZES:
            for form in FORMS:
                drawn = [measure(rng, n_rows, correlation, form, options.swaps) for _ in range(options.samples)]
                found = np.array(drawn)  # (samples, 4, 4)
                held = ((found[..., 1] <= true) & (true <= found[..., 2])).mean(axis=0)
                means = found[..., 0].mean(axis=0)
                cells = "".join(f"{m:>9.4f} ({100 * c:5.1f})" for m, c in zip(means, held, strict=True))
                low = (found[..., 3] < 0.05).mean(axis=0)
                print(f"{form:7} N = {n_rows:4} {cells}   {low[2]:.3f}, {low[1]:.3f}", flush=True)
        print(f"({time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
