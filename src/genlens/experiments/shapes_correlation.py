"""Correlated concepts: two shapes whose presence is correlated, permuted alone, given each other, and together.

The generator is the drawer, which is perfect, so that what goes wrong is the permutation's own doing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.captions import caption
from genlens.classifiers.concept_net import ConceptNet, sigmoid
from genlens.columns import Concept
from genlens.concepts import ConceptTable
from genlens.datasets.shapes import CONCEPTS, sample_presence, sample_slots, segment
from genlens.experiments import shapes_figures as figures
from genlens.experiments.measures import unit, within
from genlens.experiments.shapes_lab import Lab
from genlens.experiments.shapes_models import Floats, Targets, depict_exact, oracles, sample_targets
from genlens.experiments.stages import Arrays
from genlens.generators.drawer import DrawerGenerator
from genlens.generators.protocol import Generator
from genlens.importance.conditional import conditional_importance
from genlens.importance.exact import expected_importance
from genlens.importance.given import within_cells
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring
from genlens.plan import Plan, make_plan
from genlens.reports.document import Picture, Section, Table

CORRELATIONS = (0.0, 0.25, 0.5, 0.75, 0.95)
PAIR = (0, 3)
"""Red circle and red rectangle."""
_BATCH = 500


def correlated_table(n: int, seed: int, correlation: float) -> ConceptTable:
    """Rows of the shapes data set in which the second concept of `PAIR` follows the first.

    Args:
        n: rows.
        seed: of layout and presence.
        correlation: of the pair's presence, in [0, 1]; all marginals stay one half.
    """
    slots, presence = sample_slots(n, seed).params, sample_presence(n, seed)
    first, second = PAIR
    follows = np.random.default_rng(seed).random(n) < correlation
    presence[:, second] = np.where(follows, presence[:, first], presence[:, second])
    concepts = tuple(
        Concept(name, "binary", presence[:, j], np.array([segment(j, row[j]) for row in slots], dtype=object))
        for j, name in enumerate(CONCEPTS)
    )
    return ConceptTable(tuple(f"{i:06d}" for i in range(n)), concepts)


def plan_concepts(plan: Plan, generator: Generator, net: ConceptNet) -> Floats:
    """Probabilities (K, D) of a plan's images, which are not kept."""
    return picture_concepts(plan.captions, plan.seeds, generator, net)


def picture_concepts(
    captions: tuple[str, ...], seeds: NDArray[np.int64], generator: Generator, net: ConceptNet
) -> Floats:
    """Probabilities (K, D) of K pairs of caption and seed."""
    parts = []
    for start in range(0, len(captions), _BATCH):
        chosen = slice(start, start + _BATCH)
        images = generator.generate(captions[chosen], [int(seed) for seed in seeds[chosen]])
        parts.append(sigmoid(net.predict(list(images))))
    return np.concatenate(parts).astype(np.float64)


def measure_correlation(lab: Lab, correlation: float) -> Arrays:
    """Importance alone (M, D), of the pair given each other (M, 2) and together (M,), reliance, and both oracles."""
    table = correlated_table(lab.settings.rows, lab.settings.seed + 1, correlation)
    plan, generator = make_plan(table, lab.settings.seed), DrawerGenerator()
    presence = table.presence()
    targets = sample_targets(lab.settings.models, presence, lab.settings.seed)
    c_hat = plan_concepts(plan, generator, lab.net)
    both = _both_flipped(table, plan, generator, lab.net)
    real = c_hat[plan.reference[:, 0]]  # the drawer's reference images are the real ones
    pair = real[:, PAIR]
    found = depict_exact(targets, c_hat, plan)
    return {
        **{name: found[name] for name in ("importance", "reliance")},
        **oracles(targets, real, presence),
        "given": _conditional(targets, c_hat, plan, presence),
        "together": _together(targets, c_hat, both, plan, presence),
        "pair_weight": (pair @ targets.weights[:, PAIR].T).std(axis=0),
        "correlation": np.asarray(np.corrcoef(presence[:, PAIR].T))[0, 1],
    }


def _both_flipped(table: ConceptTable, plan: Plan, generator: Generator, net: ConceptNet) -> Floats:
    """Probabilities (N, D) of each row's image with both concepts of the pair flipped."""
    present = table.presence()
    names = [CONCEPTS[j] for j in PAIR]
    captions = tuple(
        caption(table, i, {name: int(not present[i, j]) for name, j in zip(names, PAIR, strict=True)})
        for i in range(table.n_rows)
    )
    return picture_concepts(captions, plan.seeds[plan.reference[:, 0]], generator, net)


def _together(targets: Targets, c_hat: Floats, both: Floats, plan: Plan, presence: NDArray[np.bool_]) -> Floats:
    """Expected importance (M,) of the pair moved together from row to row: four states."""
    first, second = PAIR
    own = 2 * presence[:, first] + presence[:, second]  # (N,) state of both
    rows = np.arange(len(own))
    index = plan.reference[:, 0]
    states = np.empty((len(own), 4, c_hat.shape[1]))
    states[rows, own] = c_hat[index]
    for bit, j in ((2, first), (1, second)):
        flipped = plan.states[j].index[rows, 1 - presence[:, j].astype(int), 0]
        states[rows, own ^ bit] = c_hat[flipped]
    states[rows, own ^ 3] = both
    counts, scoring = np.bincount(own, minlength=4), get_scoring("roc_auc")
    result = np.empty(len(targets.weights))
    for m, (weights, y) in enumerate(zip(targets.weights, targets.labels, strict=True)):
        found = StateScores("pair", (states @ weights)[:, :, None], np.arange(4), counts, own)
        result[m] = expected_importance(y, (c_hat[index] @ weights)[:, None], found, scoring)
    return result


def _conditional(targets: Targets, c_hat: Floats, plan: Plan, presence: NDArray[np.bool_]) -> Floats:
    """Importance (M, 2) of each concept of the pair, permuted among rows that agree on the other one."""
    scoring = get_scoring("roc_auc")
    drops = np.empty((len(targets.weights), 2))
    for k, (j, other) in enumerate((PAIR, PAIR[::-1])):
        given = within_cells(plan.states[j].own, 2, presence[:, other].astype(np.int64))
        for m, (weights, y) in enumerate(zip(targets.weights, targets.labels, strict=True)):
            scores = c_hat @ weights
            states = StateScores.from_states(plan.states[j], scores)
            drops[m, k] = conditional_importance(y, scores[plan.reference], states, given, scoring).value
    return drops


def correlation_section(lab: Lab, folder: Path) -> Section:
    """Sweep the correlation of two concepts."""
    found = [
        lab.stages.run(
            f"correlation-{correlation:g}",
            {**lab.rows_only(), "correlation": correlation},
            lambda value=correlation: measure_correlation(lab, value),  # type: ignore[misc]
        )
        for correlation in CORRELATIONS
    ]
    measured = [_row(arrays) for arrays in found]
    x = [float(arrays["correlation"]) for arrays in found]
    names = ("alone, mean of the two", "given the other, mean of the two", "together")
    path = folder / "correlation.png"
    series = {name: [row[k] for row in measured] for k, name in enumerate(names)}
    figures.lines(x, series, ("correlation of the two concepts", "AUROC drop, mean over models"), path)
    first, last = measured[0], measured[-1]
    return Section(
        "Correlated concepts",
        (
            f"With {CONCEPTS[PAIR[0]]} and {CONCEPTS[PAIR[1]]} correlated from {x[0]:.2f} to {x[-1]:.2f} (drawn "
            f"perfectly), permuted alone they drop the AUROC by {first[0]:.3f} and {last[0]:.3f}, given each other by "
            f"{first[1]:.3f} and {last[1]:.3f}, together by {first[2]:.3f} and {last[2]:.3f}.",
            f"The agreement of the AUROC drop with the weights goes from r = {first[3]:.3f} to {last[3]:.3f} (ceiling "
            f"{first[4]:.3f} to {last[4]:.3f}), that of score reliance from {first[5]:.3f} to {last[5]:.3f}; the drop "
            f"of the pair together agrees with the pair's own weight at {first[6]:.3f} to {last[6]:.3f}.",
        ),
        (
            Table(
                "By the measured correlation of the pair",
                ("correlation", *names, "r vs weights", "ceiling", "reliance r vs weights",
                 "together r vs pair's weight", "r within models"),
                tuple((f"{c:.2f}", *(f"{value:.3f}" for value in row)) for c, row in zip(x, measured, strict=True)),
            ),
        ),
        (Picture(path, "AUROC drop of two correlated concepts, permuted alone, given the other, and together"),),
    )  # fmt: skip


def _row(found: Arrays) -> tuple[float, ...]:
    weights, importance = found["weights"], found["importance"]
    return (
        float(importance[:, PAIR].mean()),
        float(found["given"].mean()),
        float(found["together"].mean()),
        _r(importance, weights),
        _r(found["bottleneck"], weights),
        _r(found["reliance"], weights),
        _r(found["together"], found["pair_weight"]),
        float(within(unit(importance), unit(weights)).mean()),
    )


def _r(x: Floats, y: Floats) -> float:
    return float(np.corrcoef(x.ravel(), y.ravel())[0, 1])
