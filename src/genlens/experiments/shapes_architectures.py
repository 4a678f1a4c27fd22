"""Several architectures trained on the same data: does the ranking agree where the weights agree?

Three comparisons. Bottlenecks with the same heads on different concept nets have the same weights, so their rankings
should agree. Heads trained on few rows have weights that differ from net to net: the rankings should differ where the
weights do. Black boxes of different architectures trained on the same labels have no weights; their rankings are
compared with one another and with the weights that made the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.concept_net import ConceptNet
from genlens.datasets.shapes import CONCEPTS
from genlens.engine import Engine
from genlens.experiments.measures import within
from genlens.experiments.shapes_lab import Lab
from genlens.experiments.shapes_models import Floats, Targets, depict_exact, oracles
from genlens.experiments.stages import Arrays
from genlens.reports.document import Section, Table
from genlens.seeds import row_seed
from genlens.training.concept_nets import Batches, Recipe, train_concept_net
from genlens.training.shapes_data import sample_rows

N_STEPS = 400
BATCH = 128
N_TASKS = 8
"""Tasks that each black box learns, one output a task."""
HEAD_ROWS = (20, 40, 80)
"""Rows that the heads of the second comparison are trained on, other rows for every net."""
NETS = {"plain, 8": ("plain", 8), "plain, 16": ("plain", 16), "residual, 8": ("residual", 8),
        "residual, 16": ("residual", 16)}  # fmt: skip
"""Name -> architecture and width."""
_DATA_SEED = 6_000_000_000
"""First data seed; the shipped nets were trained on others."""


def _batches(weights: Floats | None) -> Batches:
    """The same drawings for every net: labelled by the concepts, or by the tasks w . s > half of the weights' sum."""

    def batches(step: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rows = sample_rows(BATCH, _DATA_SEED + step, donors=0.0, crowded=0.0)
        if weights is None:
            return rows.images(), rows.presence.astype(np.float32)
        return rows.images(), (rows.presence @ weights.T > weights.sum(axis=1) / 2).astype(np.float32)

    return batches


def _net(lab: Lab, name: str, weights: Floats | None) -> ConceptNet:
    """A net trained on concepts, or on tasks; read where it was trained before."""
    architecture, width = NETS[name]
    kind = "concepts" if weights is None else f"tasks-{lab.settings.seed}"
    folder: Path = lab.out / "nets" / f"{kind}-{architecture}-{width}"
    if not (folder / "config.json").exists():
        names = CONCEPTS if weights is None else tuple(f"task {t + 1}" for t in range(len(weights)))
        recipe = Recipe(architecture, width, N_STEPS, seed=31 + width)
        train_concept_net(_batches(weights), names, recipe).save(folder)
    return ConceptNet.load(folder)


def architecture_section(lab: Lab) -> Section:
    """Train the nets and compare their rankings."""
    recipe = {"steps": N_STEPS, "batch": BATCH, "nets": NETS, "tasks": N_TASKS}
    found = lab.stages.run("architectures", {**lab.identity, **recipe}, lambda: _bottlenecks(lab))
    heads = lab.stages.run("heads", {**lab.identity, **recipe, "head_rows": HEAD_ROWS}, lambda: _trained_heads(lab))
    boxes = lab.stages.run("black-boxes", {**lab.identity, **recipe}, lambda: _black_boxes(lab))
    own = [_r(x, w) for x, w in zip(found["importance"], found["weights"], strict=True)]
    truth = [_r(x, b) for x, b in zip(found["importance"], found["bottleneck"], strict=True)]
    reliance = [_r(x, w) for x, w in zip(found["reliance"], found["weights"], strict=True)]
    among, pairs = _pairs(found["importance"]), _pairs(boxes["importance"])
    task = [_within(x, boxes["weights"]) for x in boxes["importance"]]
    task_reliance = [_within(x, boxes["weights"]) for x in boxes["reliance"]]
    rows = tuple(
        (name, f"{truth[k]:.3f}", f"{own[k]:.3f}", f"{reliance[k]:.3f}", f"{boxes['auroc'][k].mean():.3f}",
         f"{task[k]:.3f}", f"{task_reliance[k]:.3f}")
        for k, name in enumerate(NETS)
    )  # fmt: skip
    return Section(
        "Architectures trained on the same data",
        (
            f"Where the weights agree the rankings agree: the same {lab.settings.models} heads on {len(NETS)} concept "
            f"nets give AUROC drops that correlate at r = {min(among):.4f} or more between any two nets, and at "
            f"{min(truth):.4f} or more with each net's own bottleneck oracle.",
            f"Where the weights differ the rankings differ with them: over all pairs of nets with heads trained on few "
            f"rows, the agreement of the score reliances follows the agreement of the weights at r = "
            f"{_r(heads['weights'], heads['reliance']):.3f}, that of the AUROC drops at "
            f"{_r(heads['weights'], heads['importance']):.3f}.",
            f"{len(NETS)} black boxes trained end to end on the labels of {N_TASKS} tasks have no weights to compare "
            f"with; over concepts, within tasks, their rankings correlate at {min(pairs):.3f} to {max(pairs):.3f} with "
            f"one another, and at {min(task):.3f} to {max(task):.3f} with the weights that made the labels. "
            f"Score reliances agree less with those ({min(task_reliance):.3f} to {max(task_reliance):.3f}): a net "
            "that learnt to decide doesn't add concepts up.",
        ),
        (
            Table(
                f"Nets of {len(NETS)} architectures and widths, {N_STEPS} steps of {BATCH} drawings, the same for all",
                ("net", "bottleneck: r vs oracle", "bottleneck: r vs weights", "bottleneck: reliance r vs weights",
                 "black box: AUROC, real", "black box: r vs label's weights", "black box: reliance r"),
                rows,
            ),
            _heads_table(heads),
        ),
    )  # fmt: skip


def _heads_table(heads: Arrays) -> Table:
    """Agreement of every two nets' heads, by the rows they were trained on."""
    columns = ("rows a head is trained on", "weights' r between nets", "score reliance's r", "AUROC drop's r")
    rows = tuple(
        (str(n), *(f"{heads[name][k].mean():.3f}" for name in ("weights", "reliance", "importance")))
        for k, n in enumerate(HEAD_ROWS)
    )
    return Table("Heads trained on few rows, other rows for every net: agreement over concepts, mean of pairs", columns,
                 rows)  # fmt: skip


def _task_labels(lab: Lab) -> tuple[Floats, NDArray[np.int64]]:
    """Weights (tasks, D) that make the tasks' labels, and labels (tasks, N) of the test rows."""
    weights = np.random.default_rng(row_seed(lab.settings.seed, "black boxes")).random((N_TASKS, len(CONCEPTS)))
    return weights, (lab.presence @ weights.T > weights.sum(axis=1) / 2).astype(np.int64).T


def _trained_heads(lab: Lab) -> Arrays:
    """Correlations over concepts of weights, reliance and importance: (sizes, pairs of nets * tasks) each."""
    from sklearn.linear_model import LogisticRegression

    labels, outputs = _task_labels(lab)[1], lab.score([_net(lab, name, None) for name in NETS])
    rng = np.random.default_rng(row_seed(lab.settings.seed, "heads"))
    found: dict[str, list[Floats]] = {"weights": [], "reliance": [], "importance": []}
    for n in HEAD_ROWS:
        parts: dict[str, list[Floats]] = {name: [] for name in found}
        for output in outputs:
            weights = np.empty((N_TASKS, len(CONCEPTS)))
            for task, y in enumerate(labels):
                rows = np.concatenate([rng.permutation(np.flatnonzero(y == c))[: n // 2] for c in (0, 1)])
                weights[task] = LogisticRegression().fit(output.real[rows], y[rows]).coef_[0]
            explained = depict_exact(Targets(weights, labels), output.images, lab.plan)
            sizes = {"weights": np.abs(weights) * output.real.std(axis=0), **explained}
            for name, values in parts.items():
                values.append(sizes[name])
        for name, values in parts.items():
            found[name].append(_each_pair(np.stack(values)))
    return {name: np.stack(values) for name, values in found.items()}


def _each_pair(values: Floats) -> Floats:
    """Correlation over concepts of every two nets' values (nets, tasks, D), task by task."""
    return np.concatenate([within(values[a], values[b]) for a, b in combinations(range(len(values)), 2)])


def _bottlenecks(lab: Lab) -> Arrays:
    nets = [_net(lab, name, None) for name in NETS]
    found = []
    for outputs in lab.score(nets):
        truth = oracles(lab.targets, outputs.real, lab.presence)
        found.append({**truth, **depict_exact(lab.targets, outputs.images, lab.plan)})
    return _stack(found, ("importance", "reliance", "weights", "bottleneck"))


def _black_boxes(lab: Lab) -> Arrays:
    """Importance and reliance (nets, tasks, D), real AUROC (nets, tasks) and the tasks' weights (tasks, D)."""
    weights, labels = _task_labels(lab)
    targets = Targets(np.eye(N_TASKS), labels)
    found = []
    with lab.folder.lock():
        engine = Engine(lab.folder, progress=lab.progress)
        for name in NETS:
            net = _net(lab, name, weights)
            outputs = engine.run(lab.plan, lab.generator, {"black box": net})["black box"].astype(np.float64)
            real = engine.score_real(lab.table, net, "black box").astype(np.float64)
            found.append({**depict_exact(targets, outputs, lab.plan), "auroc": _auroc(labels, real)})
    return {**_stack(found, ("importance", "reliance", "auroc")), "weights": weights}


def _auroc(labels: NDArray[np.int64], scores: Floats) -> Floats:
    from sklearn.metrics import roc_auc_score

    return np.array([roc_auc_score(y, column) for y, column in zip(labels, scores.T, strict=True)])


def _stack(found: Sequence[dict[str, Floats]], names: Sequence[str]) -> Arrays:
    return {name: np.stack([part[name] for part in found]) for name in names}


def _r(x: Floats, y: Floats) -> float:
    """Correlation over all values; 0 where they are all equal."""
    return float(within(x.reshape(1, -1), y.reshape(1, -1))[0])


def _within(x: Floats, y: Floats) -> float:
    """Mean over models of the correlation over concepts."""
    return float(within(x, y).mean())


def _pairs(values: Floats) -> list[float]:
    """Mean correlation within models of every two nets' values (nets, M, D)."""
    return [_within(values[a], values[b]) for a, b in combinations(range(len(values)), 2)]
