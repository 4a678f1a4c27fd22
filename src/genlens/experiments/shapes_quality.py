"""Generator quality and diversity against the error of the ranking.

The drawer with harm, with few layouts, early stages of the shipped generator's training, and the shipped generator with
other numbers of denoising steps and other guidance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from genlens.captions import ListTemplate
from genlens.checks import effective_generation, independent_permutation
from genlens.engine import Engine
from genlens.experiments import shapes_figures as figures
from genlens.experiments.measures import top_k
from genlens.experiments.shapes_correlation import plan_concepts
from genlens.experiments.shapes_lab import Lab
from genlens.experiments.shapes_models import Floats, depict_exact, oracles, sample_targets, score_concepts
from genlens.experiments.stages import Arrays
from genlens.generators.drawer import DrawerGenerator
from genlens.generators.protocol import Generator
from genlens.importance.states import StateScores
from genlens.plan import Plan, make_plan
from genlens.reports.document import Picture, Section, Table
from genlens.training.shapes_snapshots import STAGES, snapshots

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
LAYOUTS = (1, 5, 25)
"""Numbers of layouts that a drawer without diversity knows; captions name shapes and leave the layout to it."""
VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("shipped, 1 step", {"num_inference_steps": 1}),
    ("shipped, 2 steps", {"num_inference_steps": 2}),
    ("shipped, 4 steps", {"num_inference_steps": 4}),
    ("shipped, guidance 1.2", {"guidance_scale": 1.2}),
    ("shipped, guidance 1.5", {"guidance_scale": 1.5}),
    ("shipped, guidance 3", {"guidance_scale": 3.0}),
)
N_VARIANT_ROWS = 150
"""Rows on which stages of training, steps and guidance are compared."""
_MEASURES = ("r", "within", "slope", "top1", "error", "reliance_r", "auroc", "shown", "fall")


class LoadVariant(Protocol):
    """Loads the shipped generator, or one of its kind, in another way."""

    def __call__(self, source: Path | None = None, **options: Any) -> Generator:
        """Load the pipeline at `source` (None: the shipped one), called with `options`."""


class FewLayouts:
    """The drawer that has seen few layouts: where a caption leaves places open it takes one of them.

    Args:
        n: layouts it knows, >= 1.
    """

    def __init__(self, n: int) -> None:
        self._n, self._drawer = n, DrawerGenerator()

    @property
    def fingerprint(self) -> str:
        """The drawer's, and the number of layouts."""
        return f"{self._drawer.fingerprint}-{self._n}-layouts"

    def check_captions(self, captions: Sequence[str]) -> None:
        """Nothing is too long."""

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Draw uint8 images (B, 64, 64, 3)."""
        return self._drawer.generate(captions, [int(seed) % self._n for seed in seeds])


def quality_section(lab: Lab, folder: Path, load: LoadVariant | None) -> Section:
    """Sweep the generator's quality; without `load` the drawer's only."""
    groups: dict[str, dict[str, Arrays]] = {"drawer with harm": {}, "drawer with few layouts": {}}
    for name, harm in HARMS:
        key = {**lab.rows_only(), "harm": harm}
        groups["drawer with harm"][name] = lab.stages.run(_stage(name), key, partial(_harmed, lab, harm))
    for n in LAYOUTS:
        name, key = f"drawer, {n} layout{'s' * (n > 1)}", {**lab.rows_only(), "layouts": n}
        groups["drawer with few layouts"][name] = lab.stages.run(_stage(name), key, partial(_few_layouts, lab, n))
    if load is not None:
        groups["stages of training"] = _stages_of_training(lab, load)
        groups["shipped"] = {
            name: lab.stages.run(
                _stage(name),
                {**lab.identity, **options, "variant_rows": N_VARIANT_ROWS},
                partial(_variant, lab, partial(load, **options)),
            )
            for name, options in VARIANTS
        }
    path = folder / "quality.png"
    points = {name: _points(found) for name, found in groups.items()}
    figures.points(points, "share of flips that show", ("r vs bottleneck", "mean error of the AUROC drop"), path)
    found = {name: values for group in groups.values() for name, values in group.items()}
    picture = Picture(path, "Agreement and error of the importances against the share of flips that show")
    return Section("Quality and diversity of the generator", _sentences(groups), (_table(found),), (picture,))


def _stage(name: str) -> str:
    return "quality-" + name.replace(",", "").replace("%", "").replace(" ", "-")


def _points(found: Mapping[str, Arrays]) -> tuple[list[float], list[float], list[float]]:
    """Share of flips shown, r and mean error of each generator of a group."""
    shown, r, error = ([float(values[name]) for values in found.values()] for name in ("shown", "r", "error"))
    return shown, r, error


def _stages_of_training(lab: Lab, load: LoadVariant) -> dict[str, Arrays]:
    """Measure the stages, training those that are missing."""
    key = {**lab.rows_only(), "variant_rows": N_VARIANT_ROWS, "stages": list(STAGES)}
    lab.stages.run("snapshots", {"stages": list(STAGES)}, lambda: {"steps": list(_snapshots(lab))})
    found = {}
    for step in STAGES:
        name = f"{step} steps of training"

        def make(step: int = step) -> Generator:
            return load(_snapshots(lab)[step])

        found[name] = lab.stages.run(_stage(name), {**key, "step": step}, partial(_variant, lab, make))
    return found


def _snapshots(lab: Lab) -> dict[int, Path]:
    return snapshots(lab.out / "snapshots", STAGES, progress=lab.progress)


def _harmed(lab: Lab, harm: Mapping[str, Any]) -> Arrays:
    plan = lab.plan
    references = {int(plan.seeds[number]): plan.captions[number] for number in plan.reference[:, 0]}
    harmed, perfect = DrawerGenerator(**harm, references=references), DrawerGenerator()
    own, seen = (plan_concepts(plan, harmed, net) for net in (lab.net, lab.checker))
    rows = plan.reference[:, 0]
    reference_plan = Plan(tuple(plan.captions[i] for i in rows), plan.seeds[rows], np.arange(len(rows))[:, None], ())
    real, seen_real = (plan_concepts(reference_plan, perfect, net) for net in (lab.net, lab.checker))
    return _measure(lab, plan, lab.presence, (own, seen), (real, seen_real))


def _few_layouts(lab: Lab, n: int) -> Arrays:
    plan = make_plan(replace(lab.table, caption_template=ListTemplate(texts=False)), lab.settings.seed)
    own, seen = (plan_concepts(plan, FewLayouts(n), net) for net in (lab.net, lab.checker))
    rows = lab.plan.reference[:, 0]
    drawn = Plan(tuple(lab.plan.captions[i] for i in rows), lab.plan.seeds[rows], np.arange(len(rows))[:, None], ())
    real, seen_real = (plan_concepts(drawn, DrawerGenerator(), net) for net in (lab.net, lab.checker))
    return _measure(lab, plan, lab.presence, (own, seen), (real, seen_real))


def _variant(lab: Lab, make: Callable[[], Generator]) -> Arrays:
    """Measure another generator on the first `N_VARIANT_ROWS` rows."""
    some = lab.table.take(np.arange(min(N_VARIANT_ROWS, lab.table.n_rows)))
    plan = make_plan(some, lab.settings.seed)
    with lab.folder.lock():
        engine = Engine(lab.folder, progress=lab.progress)
        own, seen = score_concepts(engine, some, plan, make(), [lab.net, lab.checker])
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
        "auroc": np.mean([record["generated"] for record in effective.table if record["name"] in names]),
        "shown": np.mean(shown),
        "fall": max(record["difference"] for record in effective.table),
    }
    verdicts = {"effective": np.array(effective.verdict), "independent": np.array(independent.verdict)}
    return {**{name: np.array(value) for name, value in values.items()}, **verdicts}


def _table(found: Mapping[str, Arrays]) -> Table:
    columns = (
        "generator", "r vs bottleneck", "r within models", "slope", "top 1", "mean error", "reliance r vs weights",
        "concepts' AUROC", "flips shown", "largest fall", "effective generation", "independent permutation",
    )  # fmt: skip
    rows = tuple(
        (name, *(f"{float(values[measure]):.3f}" for measure in _MEASURES), str(values["effective"]),
         str(values["independent"]))
        for name, values in found.items()
    )  # fmt: skip
    return Table("Against the bottleneck oracle, importance by AUROC drop", columns, rows)


def _sentences(groups: Mapping[str, Mapping[str, Arrays]]) -> tuple[str, ...]:
    found = groups["drawer with harm"]
    clean, worst = found["drawer, no harm"], found["ignores 80% of flips"]
    leak, blur = found["red circle leaks, 60%"], found["blur of 4.5 pixels"]
    few = next(iter(groups["drawer with few layouts"].items()))
    sentences = (
        f"Flips that don't show shrink importances (slope {float(clean['slope']):.2f} with none ignored, "
        f"{float(worst['slope']):.2f} with 80%) more than they disorder them (r {float(clean['r']):.3f} to "
        f"{float(worst['r']):.3f}); independent permutation says “{worst['independent']}”.",
        f"A leak of one concept into another in 60% of the rows leaves r = {float(leak['r']):.3f} (independent "
        f"permutation: {leak['independent']}), a blur of 4.5 pixels r = {float(blur['r']):.3f} (effective generation: "
        f"{blur['effective']}). Diversity: a drawer that knows {few[0].removeprefix('drawer, ')} only gives "
        f"r = {float(few[1]['r']):.3f}: what these target models read doesn't depend on the layout.",
    )
    return sentences if "shipped" not in groups else (*sentences, *_trained_sentences(groups))


def _trained_sentences(groups: Mapping[str, Mapping[str, Arrays]]) -> tuple[str, ...]:
    stages = [
        f"{name.split()[0]} steps {float(values['shown']):.0%} of flips shown, r = {float(values['r']):.3f}, slope "
        f"{float(values['slope']):.2f}"
        for name, values in groups["stages of training"].items()
    ]
    failed = [name.split()[0] for name, v in groups["stages of training"].items() if _failed(v)]
    variants = [f"{name.removeprefix('shipped, ')} {float(v['r']):.3f}" for name, v in groups["shipped"].items()]
    return (
        f"Early stages of the shipped generator's training ({N_VARIANT_ROWS} rows): {'; '.join(stages)}. A check "
        f"fails at {', '.join(failed) or 'none of them'}{' steps' * bool(failed)}.",
        f"The shipped generator by steps and guidance, {N_VARIANT_ROWS} rows: r = {', '.join(variants)}. It was "
        "trained to be right in one step, without guidance.",
    )


def _failed(values: Arrays) -> bool:
    return "failed" in (str(values["effective"]), str(values["independent"]))
