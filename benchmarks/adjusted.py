"""Does adjusting put right what a weak generator spoils? `python benchmarks/adjusted.py [--quick]`.

Rows of the shapes data set, rendered by the drawer with harm switches: a share of each concept's flips that don't show,
and shapes that come and go with others. Target models are heads on the shipped concept net; the concept classifier is
the shipped checker, another network from other data. Truth is permutation at the bottleneck on the real images.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genlens.captions import reference_captions
from genlens.classifiers.bundled import load_shapes_checker, load_shapes_concepts
from genlens.concepts import ConceptTable
from genlens.datasets.shapes import CONCEPTS, draw, sample_presence, sample_slots
from genlens.generators.drawer import DrawerGenerator
from genlens.importance.adjusted import AdjustedResult, adjusted_importance
from genlens.importance.exact import expected_importance
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring
from genlens.oracles import Head, bottleneck_permutation
from genlens.plan import make_plan

Floats = NDArray[np.float64]
D = len(CONCEPTS)
SEED = 11
N_RESAMPLES = 100
LEAKS = (0.55, 0.0, 0.5, 0.0, 0.6, 0.0)  # of concept j into the one after it
IGNORED = (0.0, 0.7, 0.2, 0.55, 0.35, 0.1)  # of concept j's flips


@dataclass(frozen=True)
class Scenario:
    """A generator: its faults for each concept."""

    name: str
    ignored: Sequence[float] = (0.0,) * D
    leaks: Sequence[float] = (0.0,) * D
    blur: float = 0.0

    def generator(self, concept: int, references: dict[int, str]) -> DrawerGenerator:
        """Renders the flips of one concept."""
        leak = (CONCEPTS[concept], CONCEPTS[(concept + 1) % D], self.leaks[concept]) if self.leaks[concept] else None
        return DrawerGenerator(ignore_flips=self.ignored[concept], leak=leak, blur=self.blur, references=references)


SCENARIOS = (
    Scenario("perfect"),
    Scenario("ignores .5", (0.5,) * D),
    Scenario("ignores 0-.7", IGNORED),
    Scenario("leaks .5-.6", leaks=LEAKS),
    Scenario("ignores, leaks", IGNORED, LEAKS),
    Scenario("same, blur 1", IGNORED, LEAKS, 1.0),
)


class Scorer:
    """Both nets' probabilities of images; the same image is scored once."""

    def __init__(self) -> None:
        self.nets = (load_shapes_concepts(device="cpu"), load_shapes_checker(device="cpu"))
        self.known: dict[bytes, Floats] = {}

    def __call__(self, images: NDArray[np.uint8]) -> Floats:
        """(B, 2, D): target's concept net, checker."""
        keys = [blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        new = {key: i for i, key in enumerate(keys) if key not in self.known}
        if new:
            batch = images[list(new.values())]
            found = np.stack([net.probabilities(batch) for net in self.nets], axis=1).astype(np.float64)
            self.known.update(zip(new, found, strict=True))
        return np.stack([self.known[key] for key in keys])


@dataclass(frozen=True, eq=False)
class Rendered:
    """Scores of one scenario's images by the target's concept net and the checker."""

    presence: NDArray[np.int64]  # (N, D)
    real: Floats  # (N, 2, D)
    states: list[Floats]  # D times (N, 2, 2, D): row, state, net, concept seen

    def of(self, concept: int, scores: Floats) -> StateScores:
        """Scores (N, 2) or (N, 2, D) of a concept's states as the library wants them."""
        own = self.presence[:, concept]
        return StateScores(CONCEPTS[concept], scores[:, :, None], np.arange(2), np.bincount(own, minlength=2), own)


def render(scenario: Scenario, n_rows: int, seed: int, score: Scorer) -> Rendered:
    """Draw real rows and, with the scenario's faults, all states of their concepts."""
    presence, slots = sample_presence(n_rows, seed), sample_slots(n_rows, seed)
    frame = pd.DataFrame(presence, columns=list(CONCEPTS)).assign(file_name=[f"{seed}-{i}" for i in range(n_rows)])
    table = ConceptTable.from_frame(frame, list(CONCEPTS))
    plan = make_plan(table, seed)
    references = {plan.seeds[i]: text for i, text in zip(plan.reference[:, 0], reference_captions(table), strict=True)}
    references = {int(seed): text for seed, text in references.items()}
    states = []
    for j, concept in enumerate(plan.states):
        index = concept.index[:, :, 0]  # (N, 2)
        generator = scenario.generator(j, references)
        parts = [
            generator.generate([plan.captions[i] for i in column], plan.seeds[column].tolist()) for column in index.T
        ]
        states.append(np.stack([score(images) for images in parts], axis=1))
    return Rendered(presence, score(draw(presence, slots.params)), states)


def linear_head(rng: np.random.Generator) -> Head:
    """The paper's target model: a weighted sum, weights from [0, 1]."""
    weights = rng.uniform(0, 1, D)
    return lambda concepts: concepts @ weights


def curved_head(rng: np.random.Generator) -> Head:
    """A sigmoid of a weighted sum with all pairwise interactions."""
    weights, pairs = rng.uniform(0, 1, D), np.triu(rng.uniform(-0.5, 0.5, (D, D)), 1)

    def inner(concepts: Floats) -> Floats:
        return np.asarray(concepts @ weights + ((concepts @ pairs) * concepts).sum(axis=-1))

    centre = inner(np.full(D, 0.5))
    return lambda concepts: 1 / (1 + np.exp(-3 * (inner(concepts) - centre)))


HEADS = {"linear": linear_head, "curved": curved_head}


@dataclass(frozen=True, eq=False)
class Found:
    """Importances (M, D) of M heads."""

    oracle: Floats
    unadjusted: Floats
    adjusted: list[AdjustedResult]


def audit(rendered: Rendered, heads: Sequence[Head], n_resamples: Sequence[int]) -> Found:
    """Oracle, unadjusted and adjusted importance of every head."""
    presence, auroc = rendered.presence, get_scoring("roc_auc")
    concept_states = [rendered.of(j, scores[:, :, 1]) for j, scores in enumerate(rendered.states)]
    oracles, unadjusted, adjusted = [], [], []
    for number, (head, size) in enumerate(zip(heads, n_resamples, strict=True)):
        y, real = labels(head, presence), head(rendered.real[:, 0])
        states = [rendered.of(j, head(scores[:, :, 0])) for j, scores in enumerate(rendered.states)]
        reference = np.take_along_axis(states[0].scores[:, :, 0], presence[:, :1], axis=1)  # its own state
        oracles.append(bottleneck_permutation(y, rendered.real[:, 0], [head]).importance[0])
        unadjusted.append([expected_importance(y, reference, state, auroc) for state in states])
        adjusted.append(
            adjusted_importance(y, real, rendered.real[:, 1], states, concept_states, n_resamples=size, seed=number)
        )
    return Found(np.array(oracles), np.array(unadjusted), adjusted)


def labels(head: Head, presence: NDArray[np.int64], others: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """The paper's task: is the head's score of the true concepts above its median (over other rows, where given)?"""
    truth = head(presence.astype(np.float64))
    return (truth > np.median(truth if others is None else head(others.astype(np.float64)))).astype(np.int64)


def line(name: str, kind: str, found: Found, n_covered: int, population: Floats) -> str:
    """One line of the table; pairs that are withheld don't enter it."""
    adjusted = np.array([result.importance for result in found.adjusted])  # (M, D)
    ends = np.array([result.ci for result in found.adjusted])[:n_covered]  # (n, D, 2)
    kept = np.isfinite(adjusted)
    figures = []
    for values in (found.unadjusted, adjusted):
        figures += [
            np.corrcoef(found.oracle[kept], values[kept])[0, 1],
            np.polyfit(found.oracle[kept], values[kept], 1)[0],
        ]
    error = np.abs(adjusted - found.oracle)[kept].max()
    told = np.isfinite(ends[..., 0])
    covers = [((ends[..., 0] <= t) & (t <= ends[..., 1]))[told].mean() for t in (found.oracle[:n_covered], population)]
    least = min(np.nanmin(result.f_statistic) for result in found.adjusted)
    return (
        f"{name:16}{kind:8}{figures[0]:8.3f}{figures[2]:8.3f}{figures[1]:9.2f}{figures[3]:7.2f}{error:9.3f}"
        f"{100 * covers[0]:9.0f}{100 * covers[1]:9.0f}{100 * (1 - kept.mean()):9.0f}{least:10.3g}"
    )


def main() -> None:
    """Print a table: correlation with the oracle and slope over heads x concepts, and coverage of 95% intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 rows, 12 heads, 3 generators")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--heads", type=int, default=40)
    parser.add_argument("--covered", type=int, default=10, help="heads whose intervals are made and counted")
    options = parser.parse_args()
    scenarios, n_rows, n_heads, n_covered = SCENARIOS, options.rows, options.heads, options.covered
    if options.quick:
        scenarios, n_rows, n_heads, n_covered = (SCENARIOS[0], SCENARIOS[2], SCENARIOS[4]), 200, 12, 4
    score = Scorer()
    presence, slots = sample_presence(1500, SEED + 1), sample_slots(1500, SEED + 1)
    population = score(draw(presence, slots.params))[:, 0]  # (1500, D)
    sizes = [N_RESAMPLES] * n_covered + [2] * (n_heads - n_covered)
    print(f"{n_rows} rows, {n_heads} heads; intervals of {n_covered} of them; oracle on these rows / on 1500 others")
    columns = "r:8 r_adj:8 slope:9 adj:7 worst:9 cover%:9 others%:9 held%:9 F:10"
    print(" " * 24 + "".join(f"{name:>{width}}" for name, width in (column.split(":") for column in columns.split())))
    for scenario in scenarios:
        start = time.perf_counter()
        rendered = render(scenario, n_rows, SEED, score)
        for kind, make in HEADS.items():
            rng = np.random.default_rng(SEED)
            heads = [make(rng) for _ in range(n_heads)]
            truth = [
                bottleneck_permutation(labels(head, presence, rendered.presence), population, [head]).importance[0]
                for head in heads[:n_covered]
            ]
            found = audit(rendered, heads, sizes)
            print(line(scenario.name, kind, found, n_covered, np.array(truth)), flush=True)
        print(f"  ({time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
