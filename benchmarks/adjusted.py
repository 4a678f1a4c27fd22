"""Does adjusting put right what a weak generator spoils? `python benchmarks/adjusted.py [--quick]`.

Rows of the shapes data set, rendered by the drawer with harm switches (a share of each concept's flips that don't
show, shapes that come and go with others), by early stages of the trained generator and by the shipped one. Target
models are heads on the shipped concept net; the concept classifier is the shipped checker, another network from other
data. Each head has rows of its own, a half of those that are rendered. Truth is permutation at the bottleneck: on the
head's own real images, and on 20,000 others (the population, which the intervals are about).

Scores of images are kept in `--store`; what is there isn't rendered again. The heads, rows and constants of the
estimator are not tuned here: what was tuned was tuned on the simulation of `adjusted_coverage.py`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import genlens
from genlens.captions import reference_captions
from genlens.classifiers.bundled import load_shapes_checker, load_shapes_concepts
from genlens.concepts import Concept, ConceptTable
from genlens.datasets.shapes import CONCEPTS, draw, sample_presence, sample_slots, segment
from genlens.generators.drawer import DrawerGenerator
from genlens.generators.protocol import Generator
from genlens.importance.adjusted import AdjustedResult, adjusted_importance
from genlens.importance.exact import expected_importance
from genlens.importance.like_rows import CLEAR
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring
from genlens.oracles import Head, bottleneck_permutation
from genlens.plan import Plan, make_plan

Floats = NDArray[np.float64]
D = len(CONCEPTS)
SEED = 4100
POPULATION = 20_000
LEAKS = (0.55, 0.0, 0.5, 0.0, 0.6, 0.0)  # of concept j into the one after it
IGNORED = (0.0, 0.7, 0.2, 0.55, 0.35, 0.1)  # of concept j's flips
FAULTS: dict[str, tuple[Sequence[float], Sequence[float], float]] = {  # ignored flips, leaks, blur
    "perfect": ((0.0,) * D, (0.0,) * D, 0.0),
    "ignores .5": ((0.5,) * D, (0.0,) * D, 0.0),
    "ignores 0-.7": (IGNORED, (0.0,) * D, 0.0),
    "leaks .5-.6": ((0.0,) * D, LEAKS, 0.0),
    "ignores, leaks": (IGNORED, LEAKS, 0.0),
    "same, blur 1": (IGNORED, LEAKS, 1.0),
}
ROUNDING = 0.0005
"""An interval holds the truth to the third decimal: importances of 0 have intervals of width 0."""
STAGES = (150, 180, 220, 260, 320, 400)


def drawer(name: str, concept: int, references: dict[int, str]) -> Generator:
    """The drawer with the faults of this name, for the flips of one concept."""
    ignored, leaks, blur = FAULTS[name]
    leak = (CONCEPTS[concept], CONCEPTS[(concept + 1) % D], leaks[concept]) if leaks[concept] else None
    return DrawerGenerator(ignore_flips=ignored[concept], leak=leak, blur=blur, references=references)


def trained(name: str, snapshots: Path) -> Generator:
    """The shipped generator, or an early stage of it ("stage 220")."""
    from genlens.generators.diffusers import DiffusersGenerator
    from genlens.training.shapes_snapshots import snapshots as stages

    if name == "shipped":
        return DiffusersGenerator.from_pretrained(Path(genlens.__file__).parent / "assets" / "shapes_generator")
    step = int(name.split()[1])
    return DiffusersGenerator.from_pretrained(stages(snapshots, (step,))[step])


@dataclass(frozen=True, eq=False)
class Rendered:
    """Scores of one generator's images by the target's concept net and the checker.

    Args:
        presence: (N, D).
        real: (N, 2, D), net by net.
        states: (D, N, 2, 2, D): concept flipped, row, state, net, concept seen.
    """

    presence: NDArray[np.int64]
    real: Floats
    states: Floats

    def of(self, rows: NDArray[np.int64], concept: int, scores: Floats) -> StateScores:
        """Scores (n, 2) or (n, 2, D) of a concept's states as the library wants them."""
        own = self.presence[rows, concept]
        return StateScores(CONCEPTS[concept], scores[:, :, None], np.arange(2), np.bincount(own, minlength=2), own)


class Renderer:
    """Renders rows and scores them with both nets, or reads what is kept."""

    def __init__(self, n_rows: int, store: Path, snapshots: Path) -> None:
        self.presence, self.slots = sample_presence(n_rows, SEED), sample_slots(n_rows, SEED)
        self.store, self.snapshots = store, snapshots
        self.nets = (load_shapes_concepts(device="cpu"), load_shapes_checker(device="cpu"))
        store.mkdir(parents=True, exist_ok=True)

    def population(self) -> tuple[NDArray[np.int64], Floats]:
        """Presence and the target's concept predictions of other rows, (POPULATION, D) both."""
        presence, slots = sample_presence(POPULATION, SEED + 1), sample_slots(POPULATION, SEED + 1)
        found = self._kept("population", lambda: {"scores": self._score(draw(presence, slots.params))[:, 0]})
        return presence, found["scores"]

    def __call__(self, name: str) -> Rendered:
        """All states of all rows as the generator of this name renders them."""
        found = self._kept(f"{name}-{len(self.presence)}", lambda: self._render(name))
        return Rendered(self.presence, found["real"], found["states"])

    def _kept(self, name: str, make: Callable[[], dict[str, Floats]]) -> dict[str, Floats]:
        path = self.store / f"{name.replace(' ', '_')}.npz"
        if not path.exists():
            arrays = make()
            aside = path.with_suffix(".part.npz")
            np.savez(aside, allow_pickle=False, **arrays)
            os.replace(aside, path)
        with np.load(path) as file:
            return {key: file[key] for key in file.files}

    def _render(self, name: str) -> dict[str, Floats]:
        table = self._table()
        plan = make_plan(table, SEED)
        texts = reference_captions(table)
        references = {int(plan.seeds[i]): text for i, text in zip(plan.reference[:, 0], texts, strict=True)}
        scores = np.full((plan.n_images, 2, D), np.nan)
        for j, concept in enumerate(plan.states):  # the drawer's faults are those of one concept's flips
            generator = drawer(name, j, references) if name in FAULTS else trained(name, self.snapshots)
            numbers = np.unique(concept.index)
            self._fill(scores, generator, plan, numbers[np.isnan(scores[numbers, 0, 0])])
        states = np.stack([scores[concept.index[:, :, 0]] for concept in plan.states])
        return {"real": self._score(draw(self.presence, self.slots.params)), "states": states}

    def _fill(self, scores: Floats, generator: Generator, plan: Plan, numbers: NDArray[np.int64]) -> None:
        """Render and score these images of the plan."""
        for start in range(0, len(numbers), 100):
            part = numbers[start : start + 100]
            images = generator.generate([plan.captions[i] for i in part], plan.seeds[part].tolist())
            scores[part] = self._score(images)

    def _score(self, images: NDArray[np.uint8]) -> Floats:
        return np.stack([net.probabilities(images) for net in self.nets], axis=1).astype(np.float64)

    def _table(self) -> ConceptTable:
        concepts = tuple(
            Concept(
                name,
                "binary",
                self.presence[:, j],
                np.array([segment(j, row[j]) for row in self.slots.params], dtype=object),
            )
            for j, name in enumerate(CONCEPTS)
        )
        return ConceptTable(tuple(f"row {i}" for i in range(len(self.presence))), concepts)


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
class Target:
    """A head, the rows it is judged on, and its importance in the population.

    Args:
        head: concept predictions to scores.
        rows: numbers of its rows.
        median: its task: is the head's score of the true concepts above this?
        population: (D,) importance by permutation at the bottleneck.
    """

    head: Head
    rows: NDArray[np.int64]
    median: float
    population: Floats

    def labels(self, presence: NDArray[np.int64]) -> NDArray[np.int64]:
        """The task's labels of rows."""
        return (self.head(presence.astype(np.float64)) > self.median).astype(np.int64)


def make_targets(kind: str, n_heads: int, n_rows: int, renderer: Renderer) -> list[Target]:
    """Heads with the median of their scores over the population, and a random half of the rows each."""
    presence, concepts = renderer.population()
    rng = np.random.default_rng(SEED)
    targets = []
    for _ in range(n_heads):
        head = HEADS[kind](rng)
        rows = np.sort(rng.permutation(n_rows)[: n_rows // 2])
        target = Target(head, rows, float(np.median(head(presence.astype(np.float64)))), np.empty(0))
        y = target.labels(presence)
        oracle = bottleneck_permutation(y, concepts, [head], n_repeats=3, seed=SEED)
        targets.append(Target(head, rows, target.median, oracle.importance[0]))
    return targets


@dataclass(frozen=True, eq=False)
class Found:
    """Importances (M, D) of M heads."""

    oracle: Floats
    population: Floats
    unadjusted: Floats
    adjusted: list[AdjustedResult]


def audit(rendered: Rendered, targets: Sequence[Target], n_resamples: int) -> Found:
    """Oracle, unadjusted and adjusted importance of every head."""
    auroc = get_scoring("roc_auc")
    oracles, unadjusted, adjusted = [], [], []
    for number, target in enumerate(targets):
        rows, presence = target.rows, rendered.presence[target.rows]
        y, predictions = target.labels(presence), rendered.real[rows, 0]
        states = [rendered.of(rows, j, target.head(rendered.states[j, rows, :, 0])) for j in range(D)]
        seen = [rendered.of(rows, j, rendered.states[j, rows, :, 1]) for j in range(D)]
        reference = np.take_along_axis(states[0].scores[:, :, 0], presence[:, :1], axis=1)  # its own state
        oracles.append(bottleneck_permutation(y, predictions, [target.head]).importance[0])
        unadjusted.append([expected_importance(y, reference, state, auroc) for state in states])
        adjusted.append(
            adjusted_importance(
                y, target.head(predictions), rendered.real[rows, 1], states, seen, n_resamples=n_resamples, seed=number
            )
        )
    population = np.array([target.population for target in targets])
    return Found(np.array(oracles), population, np.array(unadjusted), adjusted)


def line(found: Found) -> str:
    """Figures of one generator and one kind of head; concepts that are withheld enter only the first r."""
    adjusted = np.array([result.importance for result in found.adjusted])  # (M, D)
    ends = np.array([result.ci for result in found.adjusted])  # (M, D, 2)
    kept = np.isfinite(adjusted)
    every = np.corrcoef(found.oracle.ravel(), found.unadjusted.ravel())[0, 1]
    shown = np.mean([np.diag(result.first_stage) for result in found.adjusted])
    if kept.sum() < 3:
        return f"{shown:7.2f}{every:8.3f}{'':58}{100 * (1 - kept.mean()):7.0f}"
    oracle, before, after = found.oracle[kept], found.unadjusted[kept], adjusted[kept]
    r = [np.corrcoef(oracle, values)[0, 1] for values in (before, after)]
    slopes = [np.polyfit(oracle, values, 1)[0] for values in (before, after)]
    errors = [np.abs(values - oracle).mean() for values in (before, after)]
    told = np.isfinite(ends[..., 0])
    covers = [
        f"{100 * held[told].mean():6.0f}" if told.any() else f"{'none':>6}"
        for held in (
            (ends[..., 0] - ROUNDING <= truth) & (truth <= ends[..., 1] + ROUNDING)
            for truth in (found.population, found.oracle)
        )
    ]
    return (
        f"{shown:7.2f}{every:8.3f}{r[0]:8.3f}{r[1]:8.3f}{slopes[0]:7.2f}{slopes[1]:7.2f}{errors[0]:8.4f}{errors[1]:8.4f}"
        f"{covers[0]}{covers[1]}{100 * (1 - kept.mean()):7.0f}"
    )


def doubts(rendered: Rendered) -> str:
    """How far the checker is sure of the generated images, and agrees with the target's net."""
    target, checker = rendered.states[..., 0, :], rendered.states[..., 1, :]
    unsure = ((checker > CLEAR) & (checker < 1 - CLEAR)).mean()
    differ = ((target > 0.5) != (checker > 0.5)).mean()
    return f"checker unsure of {unsure:.1%}, disagrees with the target's net about {differ:.1%}"


COLUMNS = "shown:7 r:8 r_kept:8 r_adj:8 slope:7 s_adj:7 error:8 e_adj:8 pop%:6 own%:6 held%:7"


def main() -> None:
    """Print a table: agreement with the oracle over heads x concepts, and coverage of 95% intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="400 rows, 8 heads, drawers only")
    parser.add_argument("--rows", type=int, default=1000, help="rows rendered; each head has a half of them")
    parser.add_argument("--heads", type=int, default=40, help="heads of each kind")
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--only", nargs="+", help="generators, e.g. perfect 'stage 220'")
    parser.add_argument("--store", type=Path, default=Path("build/adjusted"), help="folder of the scores")
    parser.add_argument("--snapshots", type=Path, default=Path("build/snapshots"), help="folder of the early stages")
    options = parser.parse_args()
    n_rows, n_heads = (400, 8) if options.quick else (options.rows, options.heads)
    names = [*FAULTS, *(() if options.quick else (*(f"stage {step}" for step in STAGES), "shipped"))]
    renderer = Renderer(n_rows, options.store, options.snapshots)
    targets = {kind: make_targets(kind, n_heads, n_rows, renderer) for kind in HEADS}
    print(f"{n_heads} heads of each kind, {n_rows // 2} rows each, {D} concepts, {options.resamples} resamples")
    print(" " * 24 + "".join(f"{name:>{width}}" for name, width in (column.split(":") for column in COLUMNS.split())))
    for name in options.only or names:
        start = time.perf_counter()
        rendered = renderer(name)
        for kind, heads in targets.items():
            print(f"{name:16}{kind:8}{line(audit(rendered, heads, options.resamples))}", flush=True)
        print(f"  ({doubts(rendered)}; {time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
