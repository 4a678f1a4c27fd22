"""Data, target models and images of the X-ray experiment, in one folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.captions import FieldsTemplate
from genlens.classifiers.concept_net import ConceptNet, sigmoid
from genlens.columns import Concept
from genlens.concepts import ConceptTable
from genlens.datasets import xray
from genlens.datasets.xray_reports import DEMOGRAPHICS
from genlens.errors import UserError, check_integer
from genlens.experiments.stages import Arrays, Stages
from genlens.generators.protocol import Generator
from genlens.generators.xray_drawer import XrayDrawer
from genlens.leakage import built_in_rules, rewritten
from genlens.plan import Plan, make_plan
from genlens.training.concept_nets import fit_logistic_head
from genlens.training.xray_concepts import rgb, train_bottleneck, train_checker

Floats = NDArray[np.float64]

_TEST_SEED, _TRAIN_SEED = 6_000_000_000, 7_000_000_000
_POOL = 16
"""Rows drawn for each row that is wanted, so that resampling finds enough."""
_BATCH = 128


@dataclass(frozen=True)
class Settings:
    """Size of the experiment.

    Attributes:
        rows: test rows of each target model, >= 32, half of them with pneumonia.
        train_rows: training rows of each target model's head, >= 32.
        net_steps: batches of 64 that each concept net is trained on, >= 1.
        n_repeats: permutations P a concept, >= 1.
        resamples: bootstrap resamples of rows, >= 2.
        seed: of everything random, >= 0.
        generator: name of the generator, for the record.

    Raises:
        UserError: a number out of its range.
    """

    rows: int = 400
    train_rows: int = 2000
    net_steps: int = 500
    n_repeats: int = 25
    resamples: int = 500
    seed: int = 0
    generator: str = "xray-drawer"

    def __post_init__(self) -> None:
        """Check the values."""
        for name, least in (("rows", 32), ("train_rows", 32), ("net_steps", 1), ("n_repeats", 1), ("resamples", 2)):
            check_integer(name, getattr(self, name), least)
        check_integer("seed", self.seed, 0)


@dataclass(frozen=True)
class Condition:
    """A generator, and whether mentions of age, BMI and sex are masked in the captions it gets.

    Attributes:
        name: for tables.
        generator: renders the captions.
        masked: whether the built-in rules rewrite the findings' text.
    """

    name: str
    generator: Generator
    masked: bool = False


@dataclass(frozen=True, eq=False)
class Target:
    """One target model and its test rows.

    Attributes:
        concept: the concept that its training labels coincided with.
        table: N test rows, resampled alike; three concepts are permuted, the findings are watched.
        images: (N, 64, 64, 3) real images.
        weights: (16,) of the head on the bottleneck's log-odds.
        reports: N whole reports.
    """

    concept: str
    table: ConceptTable
    images: NDArray[np.uint8]
    weights: Floats
    reports: tuple[str, ...]


def resampled(n: int, seed: int, concept: str) -> xray.Phantom:
    """`n` rows in which pneumonia and one of age, BMI and sex coincide, half of them with both.

    Raises:
        UserError: `n` is odd and so can't be halved.
    """
    if n % 2:
        raise UserError(f"`rows` must be even; got {n}.")
    pool = xray.sample(_POOL * n // 2, seed)
    values = pool.bodies.demographics[:, DEMOGRAPHICS.index(concept)]
    chosen = [np.flatnonzero((values == value) & (pool.pneumonia == value))[: n // 2] for value in (0, 1)]
    return pool.take(np.sort(np.concatenate(chosen)))


def phantom_table(rows: xray.Phantom, masked: bool = False) -> ConceptTable:
    """Rows of the phantom as a table: age, BMI and sex are permuted, the findings watched, their text is fixed.

    In few rows a finding may be there in all or none; it isn't watched then.
    """
    values = rows.concepts()
    kept = [j for j in range(len(xray.CONCEPTS)) if 0 < values[:, j].sum() < len(rows)]
    concepts = tuple(Concept(xray.CONCEPTS[j], "binary", values[:, j]) for j in kept)
    table = ConceptTable(
        tuple(f"{row:06d}" for row in rows.rows),
        concepts[:3],
        labels=rows.pneumonia,
        label_name=xray.LABEL,
        context=rows.findings,
        caption_template=FieldsTemplate(),
        source="the phantom",
        watched=concepts[3:],
    )
    rules = [rule for name in DEMOGRAPHICS for rule in built_in_rules(name)]
    return rewritten(table, rules)[0] if masked else table


class XrayLab:
    """Everything that the parts of the experiment share; what was computed before is read.

    Args:
        out: folder of everything.
        settings: size of the experiment.
        generator: the generator that is judged; the erring drawers come beside it.
        log: gets a line a stage.

    Raises:
        UserError: `out` is a file.
    """

    def __init__(self, out: Path, settings: Settings, generator: Generator, log: Callable[[str], None]) -> None:
        if out.exists() and not out.is_dir():
            raise UserError(f"`out` must be a folder; {out} is a file.")
        self.out, self.settings, self.log = out, settings, log
        self.stages = Stages(out / "stages", log)
        drawer, trained = XrayDrawer(), not isinstance(generator, XrayDrawer)
        self.conditions = (
            *((Condition(settings.generator, generator), Condition(f"{settings.generator}, masked", generator, True))
              if trained else ()),
            Condition("drawer", drawer),
            Condition("drawer that fills in", XrayDrawer(fills_in=True)),
            Condition("drawer that heeds the text", XrayDrawer(heeds_text=True)),
            Condition("drawer that heeds the text, masked", XrayDrawer(heeds_text=True), True),
        )  # fmt: skip

    @cached_property
    def net(self) -> ConceptNet:
        """The target models' bottleneck."""
        return self._trained("net", train_bottleneck)

    @cached_property
    def checker(self) -> ConceptNet:
        """The independent concept classifier."""
        return self._trained("checker", train_checker)

    def _trained(self, name: str, train: Callable[..., ConceptNet]) -> ConceptNet:
        steps, seed = self.settings.net_steps, self.settings.seed
        stage = f"{name}-{steps}-{seed}"
        folder = self.out / stage
        trained = (folder / "config.json").exists()
        if not trained:
            (self.stages.folder / f"{stage}.npz").unlink(missing_ok=True)

        def compute() -> Arrays:
            if not trained:
                train(steps, seed, log=lambda line: self.log(f"{name}: {line}")).save(folder)
            return {}

        self.stages.run(stage, {"steps": steps, "seed": seed}, compute)
        return ConceptNet.load(folder, device="cpu")

    @cached_property
    def targets(self) -> dict[str, Target]:
        """The three target models by the concept that they rely on."""
        return {concept: self._target(k, concept) for k, concept in enumerate(DEMOGRAPHICS)}

    def _target(self, k: int, concept: str) -> Target:
        chosen = self.settings
        train = resampled(chosen.train_rows, _TRAIN_SEED + 10 * chosen.seed + k, concept)
        test = resampled(chosen.rows, _TEST_SEED + 10 * chosen.seed + k, concept)
        key = {"train": chosen.train_rows, "seed": chosen.seed, "net": self.net.fingerprint, "concept": concept}
        fitted = self.stages.run(f"head-{concept}", key, lambda: self._head(train))
        return Target(concept, phantom_table(test), rgb(test.images()), fitted["weights"], test.reports)

    def _head(self, rows: xray.Phantom) -> Arrays:
        weights, _ = fit_logistic_head(predictions(self.net, rgb(rows.images())), rows.pneumonia)
        return {"weights": weights}

    def real(self, target: Target) -> tuple[Floats, Floats]:
        """Log-odds (N, 16) of the real images, by the bottleneck and by the checker."""
        key = self._key(target)
        found = self.stages.run(
            f"real-{target.concept}", key,
            lambda: {"net": predictions(self.net, target.images), "checker": predictions(self.checker, target.images)},
        )  # fmt: skip
        return found["net"], found["checker"]

    def plan(self, target: Target, masked: bool) -> tuple[ConceptTable, Plan]:
        """The captions of a target model's test rows, masked or not, and the plan of their images."""
        rules = [rule for name in DEMOGRAPHICS for rule in built_in_rules(name)]
        table = rewritten(target.table, rules)[0] if masked else target.table
        return table, make_plan(table, self.settings.seed)

    def generated(self, target: Target, condition: Condition) -> tuple[Floats, Floats]:
        """Log-odds (K, 16) of the plan's K images, by the bottleneck and by the checker."""
        key = {**self._key(target), "generator": condition.generator.fingerprint, "masked": condition.masked}
        name = re.sub(r"[^\w-]+", "-", f"images-{target.concept}-{condition.name}")
        found = self.stages.run(name, key, partial(self._render, target, condition))
        return found["net"], found["checker"]

    def _key(self, target: Target) -> Mapping[str, object]:
        chosen, nets = self.settings, [self.net.fingerprint, self.checker.fingerprint]
        return {"rows": chosen.rows, "seed": chosen.seed, "concept": target.concept, "nets": nets}

    def _render(self, target: Target, condition: Condition) -> Arrays:
        _, plan = self.plan(target, condition.masked)
        condition.generator.check_captions(plan.captions)
        parts: dict[str, list[Floats]] = {"net": [], "checker": []}
        for start in range(0, plan.n_images, _BATCH):
            part = slice(start, start + _BATCH)
            images = condition.generator.generate(plan.captions[part], [int(seed) for seed in plan.seeds[part]])
            parts["net"].append(predictions(self.net, images))
            parts["checker"].append(predictions(self.checker, images))
        return {name: np.concatenate(values) for name, values in parts.items()}


def predictions(net: ConceptNet, images: NDArray[np.uint8]) -> Floats:
    """Log-odds (N, 16) in the order of `genlens.datasets.xray.CONCEPTS`."""
    columns = [net.concept_names.index(name) for name in xray.CONCEPTS]
    return net.predict(list(images))[:, columns].astype(np.float64)


def probabilities(logits: Floats) -> Floats:
    """The same as probabilities."""
    return sigmoid(logits.astype(np.float32)).astype(np.float64)
