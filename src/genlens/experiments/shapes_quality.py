"""Generator quality against the error of the ranking: the drawer with harm, and fewer or more denoising steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genlens.checks import effective_generation, independent_permutation
from genlens.engine import Engine
from genlens.experiments import shapes_figures as figures
from genlens.experiments.document import Picture, Section, Table
from genlens.experiments.measures import top_k
from genlens.experiments.shapes_correlation import plan_concepts
from genlens.experiments.shapes_lab import Lab
from genlens.experiments.shapes_models import Floats, depict_exact, oracles, sample_targets, score_concepts
from genlens.experiments.stages import Arrays
from genlens.generators.drawer import DrawerGenerator
from genlens.generators.protocol import Generator
from genlens.importance.states import StateScores
from genlens.plan import Plan, make_plan

HARMS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("drawer, no harm", {}),
    ("ignores 20% of flips", {"ignore_flips": 0.2}),
    ("ignores 40% of flips", {"ignore_flips": 0.4}),
    ("ignores 60% of flips", {"ignore_flips": 0.6}),
    ("ignores 80% of flips", {"ignore_flips": 0.8}),
    ("red circle leaks, 30%", {"leak": ("red circle", "green rectangle", 0.3)}),
    ("red circle leaks, 60%", {"leak": ("red circle", "green rectangle", 0.6)}),
    ("blur of 1.5 pixels", {"blur": 1.5}),
    ("blur of 3 pixels", {"blur": 3.0}),
    ("blur of 4.5 pixels", {"blur": 4.5}),
)
STEPS = (1, 2, 4)
N_STEP_ROWS = 150
"""Rows on which the numbers of denoising steps are compared."""
_MEASURES = ("r", "within", "slope", "top1", "error", "reliance_r", "shown", "fall")


def quality_section(lab: Lab, folder: Path, load_steps: Callable[[int], Generator] | None) -> Section:
    """Sweep the generator's quality."""
    found: dict[str, Arrays] = {}
    for name, harm in HARMS:
        stage = "quality-" + name.replace(",", "").replace("%", "").replace(" ", "-")
        key = {**lab.rows_only(), "harm": harm}
        found[name] = lab.stages.run(stage, key, lambda harm=harm: _harmed(lab, harm))  # type: ignore[misc]
    for steps in STEPS if load_steps is not None else ():
        key = {**lab.identity, "steps": steps, "step_rows": N_STEP_ROWS}
        make = load_steps
        assert make is not None  # the loop is empty otherwise
        found[f"shipped, {steps} step{'s' * (steps > 1)}"] = lab.stages.run(
            f"quality-steps-{steps}",
            key,
            lambda steps=steps, make=make: _stepped(lab, make(steps)),  # type: ignore[misc]
        )
    path = folder / "quality.png"
    ignored = [(harm.get("ignore_flips", 0.0), found[name]) for name, harm in HARMS if set(harm) <= {"ignore_flips"}]
    series = {
        "pooled r vs bottleneck": [float(values["r"]) for _, values in ignored],
        "slope vs bottleneck": [float(values["slope"]) for _, values in ignored],
        "reliance r vs weights": [float(values["reliance_r"]) for _, values in ignored],
    }
    figures.lines([share for share, _ in ignored], series, ("share of flips that don't show", "agreement"), path)
    return Section("Quality of the generator", _sentences(found), (_table(found),), (
        Picture(path, "Agreement as the generator ignores more flips"),
    ))  # fmt: skip


def _harmed(lab: Lab, harm: Mapping[str, Any]) -> Arrays:
    plan = lab.plan
    references = {int(plan.seeds[number]): plan.captions[number] for number in plan.reference[:, 0]}
    harmed, perfect = DrawerGenerator(**harm, references=references), DrawerGenerator()
    own, seen = (plan_concepts(plan, harmed, net) for net in (lab.net, lab.checker))
    rows = plan.reference[:, 0]
    reference_plan = Plan(tuple(plan.captions[i] for i in rows), plan.seeds[rows], np.arange(len(rows))[:, None], ())
    real, seen_real = (plan_concepts(reference_plan, perfect, net) for net in (lab.net, lab.checker))
    return _measure(lab, plan, lab.presence, (own, seen), (real, seen_real))


def _stepped(lab: Lab, generator: Generator) -> Arrays:
    some = lab.table.take(np.arange(min(N_STEP_ROWS, lab.table.n_rows)))
    plan = make_plan(some, lab.settings.seed)
    with lab.folder.lock():
        engine = Engine(lab.folder, progress=lab.progress)
        own, seen = score_concepts(engine, some, plan, generator, [lab.net, lab.checker])
    return _measure(lab, plan, some.presence(), (own.images, seen.images), (own.real, seen.real))


def _measure(lab: Lab, plan: Plan, presence: Any, images: tuple[Floats, Floats], real: tuple[Floats, Floats]) -> Arrays:
    """Agreement with the oracles, and the figures of both checks; by the target's net and by the checker."""
    targets = sample_targets(lab.settings.models, presence, lab.settings.seed)
    truth = oracles(targets, real[0], presence)
    found = depict_exact(targets, images[0], plan)
    importance, bottleneck = found["importance"], truth["bottleneck"]
    names, first, reference = lab.table.names, targets.weights[0], images[1][plan.reference]
    states = [StateScores.from_states(states, images[1]) for states in plan.states]
    independent = independent_permutation(presence, reference, states, names, h_real=real[1])
    effective = effective_generation(
        targets.labels[0], real[0] @ first, (images[0] @ first)[plan.reference], presence, real[1], reference, names
    )
    shown = [record["flips_shown"] for record in independent.table if record["flips_shown"] is not None]
    values = {
        "r": np.corrcoef(importance.ravel(), bottleneck.ravel())[0, 1],
        "within": np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(importance, bottleneck, strict=True)]),
        "slope": np.polyfit(bottleneck.ravel(), importance.ravel(), 1)[0],
        "top1": top_k(importance, bottleneck)[:, 0].mean(),
        "error": np.abs(importance - bottleneck).mean(),
        "reliance_r": np.corrcoef(found["reliance"].ravel(), truth["weights"].ravel())[0, 1],
        "shown": np.mean(shown),
        "fall": max(record["difference"] for record in effective.table),
    }
    verdicts = {"effective": np.array(effective.verdict), "independent": np.array(independent.verdict)}
    return {**{name: np.array(value) for name, value in values.items()}, **verdicts}


def _table(found: Mapping[str, Arrays]) -> Table:
    columns = (
        "generator", "r vs bottleneck", "r within models", "slope", "top 1", "mean error", "reliance r vs weights",
        "flips shown", "largest fall", "effective generation", "independent permutation",
    )  # fmt: skip
    rows = tuple(
        (name, *(f"{float(values[measure]):.3f}" for measure in _MEASURES), str(values["effective"]),
         str(values["independent"]))
        for name, values in found.items()
    )  # fmt: skip
    return Table("Against the bottleneck oracle, importance by AUROC drop", columns, rows)


def _sentences(found: Mapping[str, Arrays]) -> tuple[str, ...]:
    clean, worst = found["drawer, no harm"], found["ignores 80% of flips"]
    leak, blur = found["red circle leaks, 60%"], found["blur of 4.5 pixels"]
    first = (
        f"Flips that don't show shrink importances (slope {float(clean['slope']):.2f} with none ignored, "
        f"{float(worst['slope']):.2f} with 80%) more than they disorder them (r {float(clean['r']):.3f} to "
        f"{float(worst['r']):.3f}); independent permutation says “{worst['independent']}”."
    )
    second = (
        f"A leak of one concept into another in 60% of the rows leaves r = {float(leak['r']):.3f} (independent "
        f"permutation: {leak['independent']}), a blur of 4.5 pixels r = {float(blur['r']):.3f} (effective generation: "
        f"{blur['effective']})."
    )
    steps = {name: values for name, values in found.items() if name.startswith("shipped")}
    if not steps:
        return first, second
    figures_of = ", ".join(
        f"{name.removeprefix('shipped, ')} {float(values['r']):.3f}" for name, values in steps.items()
    )
    return first, second, f"Denoising steps of the shipped generator, {N_STEP_ROWS} rows: r = {figures_of}."
