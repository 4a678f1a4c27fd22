"""Error and images of `--stop-when-separated`, by simulation: `python benchmarks/sequential.py`.

Score models like those of the shapes drawer: N = 1,000 rows, six concepts, labels from a noisy threshold, every image
with some noise of its own. Each sample is looked at as a run does; every stopping rule decides on the same estimates.

- images: share of the N (1 + D) images that are rendered until the order is certain, hopeless, or rows run out;
- wrong: samples in which any statement (an order of two concepts, a side of the bound) is wrong, at most 5% allowed;
  in the world of ties every order of two equal concepts is wrong;
- pairs: pairs of concepts in a certain order at the end;
- covered: reported intervals that hold the truth, nominal 95%; "naive": the usual 95% interval at the same look.

Rules: Wang and Tsiatis's shapes 0 (O'Brien and Fleming), 1/4 and 1/2 (Pocock); Bonferroni over looks; an asymptotic
confidence sequence (Waudby-Smith et al. 2024); "naive": the level of a single look at every look (a negative control);
and two plans of a fixed size, with one look.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from genlens.importance.difference import PartialStates, difference_importance, influence_parts
from genlens.importance.exact import expected_importance
from genlens.importance.inference import interval
from genlens.importance.sequential import FIRST_LOOK, Looks, Separation, critical_values, look_sizes
from genlens.importance.states import StateScores
from genlens.importance.surrogate import predict_states
from genlens.importance.swaps import swap_p_value
from genlens.metrics import get_scoring

N_ROWS, ALPHA, BOUND = 1000, 0.05, 0.01
SCORING = get_scoring("roc_auc")
WORLDS = {
    "ladder": ((1.0, 0.8, 0.6, 0.4, 0.2, 0.0), 0.15),
    "close": ((1.0, 0.9, 0.8, 0.3, 0.25, 0.2), 0.15),
    "ties": ((0.7, 0.7, 0.7, 0.4, 0.4, 0.4), 0.15),
    "nulls": ((1.0, 0.5, 0.0, 0.0, 0.0, 0.0), 0.15),
    "noisy flips": ((1.0, 0.8, 0.6, 0.4, 0.2, 0.0), 0.6),
}
"""Weights of the concepts, and the noise that the generation of an image adds to its score."""


@dataclass(frozen=True)
class Sample:
    """Concepts (N, D), labels (N,), reference scores (N, 1), states of D concepts."""

    concepts: np.ndarray
    y: np.ndarray
    reference: np.ndarray
    states: list[StateScores]


def draw(rng: np.random.Generator, n_rows: int, weights: np.ndarray, flip_noise: float) -> Sample:
    """A table of rows with the scores of all their images."""
    concepts = rng.integers(0, 2, (n_rows, len(weights)))
    signal = concepts @ weights
    y = (signal + rng.normal(0, 0.3, n_rows) > weights.sum() / 2).astype(np.int64)
    mean = signal + rng.normal(0, 0.3, n_rows)
    reference = mean + rng.normal(0, flip_noise, n_rows)
    states = []
    for j, weight in enumerate(weights):
        own = concepts[:, j]
        other = mean + weight * (1 - 2 * own) + rng.normal(0, flip_noise, n_rows)
        scores = np.where(own[:, None] == np.arange(2), reference[:, None], other[:, None])[:, :, None]  # (N, 2, 1)
        states.append(StateScores(str(j), scores, np.arange(2), np.bincount(own, minlength=2), own))
    return Sample(concepts, y, reference[:, None], states)


def partial(sample: Sample, state: StateScores, rows: np.ndarray) -> PartialStates:
    """What a run knows of a concept when the flips of these rows are rendered."""
    known = state.own[:, None] == np.arange(2)
    features = sample.concepts.astype(np.float64)
    guess = predict_states(features, sample.reference, rows, state.scores[rows], known)
    surrogate = StateScores(state.concept, guess, state.stratum, state.counts, state.own)
    return PartialStates(surrogate, rows, state.scores[rows])


def estimates(sample: Sample, order: np.ndarray, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Importances (T, D) at every look and both parts of the influences (T, D, 2, N) of rows on them."""
    values, influences = [], []
    for size in sizes:
        parts = [partial(sample, state, order[:size]) for state in sample.states]
        values.append([difference_importance(sample.y, sample.reference, part, SCORING) for part in parts])
        influences.append([influence_parts(sample.y, sample.reference, part, SCORING) for part in parts])
    return np.array(values), np.array(influences)


def confidence_sequence(sizes: tuple[int, ...], tail: float) -> np.ndarray:
    """Critical values (T,) of the asymptotic confidence sequence with a Gaussian mixture, tightest near 300 rows."""
    times, alpha = np.array(sizes, dtype=np.float64), 2 * tail
    tuning = (-(alpha**2) - 2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1 - alpha**2)) / 300
    scaled = times * tuning
    return np.asarray(np.sqrt((scaled + 1) / scaled * np.log((scaled + 1) / alpha**2)))


def rules(sizes: tuple[int, ...]) -> dict[str, Callable[[float], np.ndarray]]:
    """Critical values (T,) at a tail probability, by the rule's name; infinite at looks that a rule does not take."""
    last = len(sizes) - 1

    def single(number: int, tail: float) -> np.ndarray:
        return np.where(np.arange(last + 1) == number, stats.norm.isf(tail), 40.0)

    shapes = {f"shape {s:g}": lambda tail, s=s: critical_values(sizes, tail, s) for s in (0.0, 0.25, 0.5)}
    return shapes | {
        "Bonferroni": lambda tail: np.full(last + 1, stats.norm.isf(tail / (last + 1))),
        "conf. sequence": lambda tail: confidence_sequence(sizes, tail),
        "naive": lambda tail: np.full(last + 1, stats.norm.isf(tail)),
        f"fixed, {sizes[3]} rows": lambda tail: single(3, tail),
        "fixed, all rows": lambda tail: single(last, tail),
    }


@dataclass
class Tally:
    """Sums over samples."""

    images: float = 0.0
    wrong: int = 0
    pairs: float = 0.0
    covered: float = 0.0
    naive: float = 0.0


def judge(
    looks: Looks, values: np.ndarray, influences: np.ndarray, weights: np.ndarray, truth: np.ndarray, tally: Tally
) -> np.ndarray:
    """Run a rule on one sample; adds to the tally and returns the look (D,) at which each concept stopped."""
    separation = Separation(len(truth), looks)
    taken = np.flatnonzero(looks.pair_levels < 1)  # a plan of a fixed size has one look
    for number in taken:
        left = separation.open
        separation.look(number, values[number][left], *influences[number][left].swapaxes(0, 1))
        if number == taken[-1]:
            separation.stopped[separation.stopped < 0] = number
        if not len(separation.open):
            break
    stopped = separation.stopped
    rows = np.array(looks.sizes)[stopped]
    tally.images += (N_ROWS + rows.sum()) / (N_ROWS * (1 + len(truth)))
    certain = separation.certain()
    wrong_order = (certain & (weights[:, None] <= weights[None])).any()
    wrong_side = ((separation.side > 0) & (truth < looks.bound)) | ((separation.side < 0) & (truth > looks.bound))
    tally.wrong += int(wrong_order or wrong_side.any())
    tally.pairs += float(certain.sum())
    for j, number in enumerate(stopped):
        for name, level in (("covered", looks.interval_levels[number]), ("naive", 1 - ALPHA)):
            found = interval(values[number, j], influences[number, j].sum(axis=0), float(level))
            setattr(tally, name, getattr(tally, name) + (found.low <= truth[j] <= found.high) / len(truth))
    return stopped


def simulate(name: str, n_samples: int, n_population: int) -> None:
    """Print the table of one world."""
    weights, noise = np.array(WORLDS[name][0]), WORLDS[name][1]
    rng, start = np.random.default_rng(0), time.perf_counter()
    whole = draw(rng, n_population, weights, noise)
    truth = np.array([expected_importance(whole.y, whole.reference, state, SCORING) for state in whole.states])
    sizes = look_sizes(N_ROWS, FIRST_LOOK)
    n_statements = len(weights) * (len(weights) - 1) // 2 + len(weights)
    made = {}
    for rule, values_of in rules(sizes).items():
        pair, single = (1 - 2 * stats.norm.sf(values_of(t)) for t in (ALPHA / 2 / n_statements, ALPHA / 2))
        made[rule] = Looks(sizes, pair, single, BOUND)
    tallies = {rule: Tally() for rule in made}
    null, small = int(np.argmin(weights)), 0
    for _ in range(n_samples):
        sample = draw(rng, N_ROWS, weights, noise)
        order = rng.permutation(N_ROWS)
        values, influences = estimates(sample, order, sizes)
        for rule, looks in made.items():
            stopped = judge(looks, values, influences, weights, truth, tallies[rule])
            if rule == "shape 0.5" and weights[null] == 0:
                rows = np.sort(order[: sizes[stopped[null]]])
                part = partial(sample, sample.states[null], rows).rendered()
                p = swap_p_value(sample.y[rows], sample.reference[rows], part, SCORING, 499, rng)
                small += p * len(sizes) <= ALPHA
    print(f"\n{name}: importances {' '.join(f'{t:.3f}' for t in truth)}; {n_samples} samples, looks at {sizes}")
    print(f"{'rule':18}{'images':>8}{'wrong':>8}{'pairs':>7}{'covered':>9}{'naive':>8}")
    for rule, tally in tallies.items():
        shares = [100 * total / n_samples for total in (tally.images, tally.wrong, tally.covered, tally.naive)]
        pairs = tally.pairs / n_samples
        print(f"{rule:18}{shares[0]:7.1f}%{shares[1]:7.1f}%{pairs:7.1f}{shares[2]:8.1f}%{shares[3]:7.1f}%")
    if weights[null] == 0:
        print(f"p <= .05 for a concept that does nothing, at the look where it stopped: {100 * small / n_samples:.1f}%")
    print(f"({time.perf_counter() - start:.0f} s)", flush=True)


def main() -> None:
    """Print a table for every world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=300, help="samples of each world")
    parser.add_argument("--worlds", default=",".join(WORLDS), help="names, separated by commas")
    parser.add_argument("--quick", action="store_true", help="few samples, a small population")
    chosen = parser.parse_args()
    for name in chosen.worlds.split(","):
        simulate(name, *((10, 20_000) if chosen.quick else (chosen.samples, 200_000)))


if __name__ == "__main__":
    main()
