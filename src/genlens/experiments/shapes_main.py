"""The main part of the shapes experiment: DEPICT against three baselines, beside both oracles and their ceiling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.checks import effective_generation, independent_permutation
from genlens.experiments import shapes_baselines as baselines
from genlens.experiments.evaluation import Evaluation, evaluate
from genlens.experiments.shapes_lab import N_TUNING_LIME_ROWS, N_TUNING_ROWS, Lab
from genlens.experiments.shapes_models import ConceptOutputs, depict_exact, depict_sampled, oracles
from genlens.experiments.stages import Arrays
from genlens.importance.result import CheckResult
from genlens.importance.states import StateScores

Floats = NDArray[np.float64]

DEPICT, SAMPLED, RELIANCE = "DEPICT", "DEPICT, sampled", "DEPICT, score reliance"
ABLATION, LIME = "mask ablation", "LIME"
N_LIME_STAGE_ROWS = 20
"""Rows that LIME explains between two files of results."""
GRADCAM, GRADCAM_BEFORE = "Grad-CAM", "Grad-CAM before the sigmoid"


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything the main part found.

    Attributes:
        oracles: see `genlens.experiments.shapes_models.oracles`.
        exact: see `depict_exact`.
        sampled: see `depict_sampled`.
        ablation: see `mask_ablation`.
        maps: LIME and both kinds of Grad-CAM by name, each with importance (M, D) and box (5, 4, D).
        choices: how LIME and Grad-CAM were set, with the r that each reached on the tuning rows.
        importance: agreement of the AUROC drop, and of the methods that have only one measure.
        reliance: agreement of the score reliance, and of the same methods.
        checks: effective generation and independent permutation, by the independent checker.
        generated_drop: (M,) AUROC of each target model on real images minus on generated ones.
    """

    oracles: Arrays
    exact: Arrays
    sampled: Arrays
    ablation: Arrays
    maps: dict[str, Arrays]
    choices: dict[str, tuple[str, float]]
    importance: Evaluation
    reliance: Evaluation
    checks: tuple[CheckResult, CheckResult]
    generated_drop: Floats


def run_main(lab: Lab) -> Findings:
    """Run every stage of the main part that isn't done yet, and judge the methods."""
    own, seen = lab.outputs()
    targets, keep = lab.targets, lab.stages.run
    truth = keep("oracles", lab.rows_only(), lambda: oracles(targets, own.real, lab.presence))
    exact = keep("depict", lab.identity, lambda: depict_exact(targets, own.images, lab.plan))
    sampling = {**lab.identity, "n_repeats": lab.settings.n_repeats}
    sampled = keep("sampled", sampling, lambda: depict_sampled(
        targets, own.images, lab.plan, lab.settings.n_repeats, lab.settings.seed
    ))  # fmt: skip
    ablation = keep("ablation", lab.rows_only(), lambda: baselines.mask_ablation(targets, lab.net, lab.table))
    maps, choices = _maps(lab)
    rivals: dict[str, Floats] = {name: found["importance"] for name, found in maps.items()}
    importance = {DEPICT: exact["importance"], SAMPLED: sampled["importance"], ABLATION: ablation["importance"]}
    reliance = {RELIANCE: exact["reliance"], ABLATION: ablation["reliance"]}
    return Findings(
        truth, exact, sampled, ablation, maps, choices,
        importance=evaluate({**importance, **rivals}, truth["weights"], truth["bottleneck"]),
        reliance=evaluate({**reliance, **rivals}, truth["weights"], truth["bottleneck_reliance"]),
        checks=_checks(lab, own, seen),
        generated_drop=truth["real_auroc"] - exact["generated_auroc"],
    )  # fmt: skip


def _maps(lab: Lab) -> tuple[dict[str, Arrays], dict[str, tuple[str, float]]]:
    """Tune and run LIME and Grad-CAM."""
    tuning: dict[str, Any] = {"seed": lab.settings.seed, "net": lab.net.fingerprint, "rows": N_TUNING_ROWS}
    found: dict[str, Arrays] = {}
    choices: dict[str, tuple[str, float]] = {}
    found[LIME], choices[LIME] = _lime(lab, tuning)
    for name, before in ((GRADCAM, False), (GRADCAM_BEFORE, True)):
        found[name], choices[name] = _gradcam(lab, name, before, tuning)
    return found, choices


def _lime(lab: Lab, tuning: dict[str, Any]) -> tuple[Arrays, tuple[str, float]]:
    """A stage for each choice that is tried and for every few rows, so that a stop costs little."""
    n_samples, models_rows = lab.settings.lime_samples, lab.tuning()
    models, few = models_rows[0], models_rows[1].take(np.arange(N_TUNING_LIME_ROWS))
    key = {**tuning, "rows": N_TUNING_LIME_ROWS, "samples": n_samples}
    tuned = [
        lab.stages.run(
            f"tune-lime-{'-'.join(choice)}",
            key,
            partial(baselines.tune_lime, models, lab.net, few, n_samples, choice),
        )["r"]
        for choice in baselines.LIME_CHOICES
    ]
    r = np.stack(tuned)  # (choices, thresholds)
    choice, some = baselines.best_lime({"r": r}), lab.table.take(np.arange(lab.settings.lime_rows))
    parts = []
    for first in range(0, some.n_rows, N_LIME_STAGE_ROWS):
        rows = range(first, min(first + N_LIME_STAGE_ROWS, some.n_rows))
        key = {**lab.rows_only(), "lime_rows": list(rows), "choice": choice, "samples": n_samples}
        explain = partial(baselines.lime_overlaps, lab.targets, lab.net, some, choice, n_samples, rows)
        parts.append(lab.stages.run(f"lime-{first}", key, explain)["iou"])
    return baselines.lime(some, np.concatenate(parts)), (", ".join(choice), float(np.nanmax(r)))


def _gradcam(lab: Lab, name: str, before: bool, tuning: dict[str, Any]) -> tuple[Arrays, tuple[str, float]]:
    models, rows = lab.tuning()
    stage = name.lower().replace(" ", "-")
    tuned = lab.stages.run(f"tune-{stage}", tuning, lambda: baselines.tune_gradcam(models, lab.net, rows, before))
    threshold = baselines.best_gradcam(tuned)
    result = lab.stages.run(
        stage,
        {**lab.rows_only(), "threshold": threshold},
        lambda: baselines.gradcam(lab.targets, lab.net, lab.table, threshold, before),
    )
    return result, (threshold, float(np.nanmax(tuned["r"])))


def _checks(lab: Lab, own: ConceptOutputs, seen: ConceptOutputs) -> tuple[CheckResult, CheckResult]:
    """Both checks by the independent checker; the target of the first is the first target model."""
    plan, names, first = lab.plan, lab.table.names, lab.targets.weights[0]
    reference = seen.images[plan.reference]  # (N, R, D)
    effective = effective_generation(
        lab.targets.labels[0], own.real @ first, (own.images @ first)[plan.reference], lab.presence,
        seen.real, reference, names,
    )  # fmt: skip
    states = [StateScores.from_states(states, seen.images) for states in plan.states]
    return effective, independent_permutation(lab.presence, reference, states, names, h_real=seen.real)
