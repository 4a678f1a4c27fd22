"""What all parts of the shapes experiment share: its data, target models, images and nets, in one folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.bundled import load_shapes_checker, load_shapes_concepts
from genlens.classifiers.concept_net import ConceptNet
from genlens.concepts import ConceptTable
from genlens.engine import Engine
from genlens.errors import UserError, check_integer
from genlens.experiments.pictures import flipped_pictures
from genlens.experiments.shapes_models import (
    ConceptOutputs,
    Targets,
    sample_targets,
    score_concepts,
    shapes_table,
)
from genlens.experiments.stages import Arrays, Stages
from genlens.generators.protocol import Generator
from genlens.plan import Plan, make_plan
from genlens.progress import Progress
from genlens.run_folder import RunFolder

N_TUNING_ROWS = 60
N_TUNING_MODELS = 20
N_TUNING_LIME_ROWS = 20
"""LIME is tuned on the first so many of the tuning rows: it costs `lime_samples` passes for each."""
N_GALLERY_ROWS = 5
_TUNING_SEED = 1_000_003
"""Added to the seed for the tuning rows, so that they are not rows of the test set."""


@dataclass(frozen=True)
class Settings:
    """Size of the experiment.

    Attributes:
        models: target models M, >= 2.
        rows: test rows N, >= 32.
        n_repeats: permutations P of the published estimator, >= 1.
        lime_rows: test rows that LIME explains, >= 32; the first of them.
        lime_samples: perturbed pictures an image, >= 2.
        seed: of everything random, >= 0.
        generator: name of the generator, for the record.

    Raises:
        UserError: a number out of its range.
    """

    models: int = 100
    rows: int = 1000
    n_repeats: int = 500
    lime_rows: int = 100
    lime_samples: int = 1000
    seed: int = 0
    generator: str = "shapes"

    def __post_init__(self) -> None:
        """Check the values."""
        check_integer("models", self.models, 2)
        check_integer("rows", self.rows, 32)
        check_integer("n_repeats", self.n_repeats, 1)
        check_integer("lime_rows", self.lime_rows, 32)
        check_integer("lime_samples", self.lime_samples, 2)
        check_integer("seed", self.seed, 0)
        if self.lime_rows > self.rows:
            raise UserError(f"`lime_rows` must be at most `rows`, here {self.rows}; got {self.lime_rows}.")


class Lab:
    """Data, target models, plan and images of the experiment.

    Args:
        out: folder of everything.
        settings: size of the experiment.
        generator: renders the captions.
        progress: told about rendering and scoring.
        log: gets a line a stage.
        overwrite: throw away images and scores of other settings.

    Raises:
        UserError: `out` holds an experiment with other settings, or the generator can't take the captions.
    """

    def __init__(
        self,
        out: Path,
        settings: Settings,
        generator: Generator,
        progress: Progress,
        log: Callable[[str], None],
        overwrite: bool = False,
    ) -> None:
        self.out, self.settings, self.generator = out, settings, generator
        self.progress, self.log = progress, log
        if out.exists() and not out.is_dir():
            raise UserError(f"`out` must be a folder; {out} is a file.")
        n, seed = settings.rows, settings.seed
        self.folder = RunFolder(out / "run")
        identity = {"rows": n, "seed": seed, "generator": generator.fingerprint}
        self.folder.open_or_create(identity, overwrite=overwrite)
        self.stages = Stages(out / "stages", log)
        self.table = shapes_table(out / f"data-{n}-{seed}", n, seed)
        self.presence = self.table.presence()  # (N, D)
        self.targets = sample_targets(settings.models, self.presence, seed)
        self.plan: Plan = make_plan(self.table, seed)
        generator.check_captions(self.plan.captions)
        self.net: ConceptNet = load_shapes_concepts()
        self.checker: ConceptNet = load_shapes_checker()

    @property
    def identity(self) -> dict[str, Any]:
        """What results on generated images depend on."""
        return {**self.rows_only(), "generator": self.generator.fingerprint}

    def rows_only(self) -> dict[str, Any]:
        """What the results on real images depend on."""
        chosen = self.settings
        return {"models": chosen.models, "rows": chosen.rows, "seed": chosen.seed, "net": self.net.fingerprint}

    def tuning(self) -> tuple[Targets, ConceptTable]:
        """Target models and rows that are none of the test's, to tune the baselines on."""
        seed = self.settings.seed + _TUNING_SEED
        table = shapes_table(self.out / f"tuning-{N_TUNING_ROWS}-{self.settings.seed}", N_TUNING_ROWS, seed)
        return sample_targets(N_TUNING_MODELS, table.presence(), seed, "tuning"), table

    def outputs(self) -> tuple[ConceptOutputs, ConceptOutputs]:
        """What the target's concept net and the independent checker say about every image."""
        key = {**self.identity, "models": None, "checker": self.checker.fingerprint}
        found = self.stages.run("images", key, self._render)
        return ConceptOutputs(found["real"], found["images"]), ConceptOutputs(found["seen_real"], found["seen"])

    def _render(self) -> Arrays:
        own, other = self.score([self.net, self.checker])
        return {"real": own.real, "images": own.images, "seen_real": other.real, "seen": other.images}

    def score(self, nets: Sequence[ConceptNet]) -> list[ConceptOutputs]:
        """Run concept nets on all images, rendering what is missing."""
        with self.folder.lock():
            engine = Engine(self.folder, progress=self.progress)
            return score_concepts(engine, self.table, self.plan, self.generator, nets)

    def gallery(self) -> NDArray[np.uint8]:
        """Generated images of a few rows without (0) and with (1) each concept: (rows, D, 2, H, W, 3)."""
        return self.stages.run("gallery", {**self.identity, "models": None}, self._gallery)["pictures"]

    def _gallery(self) -> Arrays:
        return {"pictures": flipped_pictures(self.plan, self.generator, self.folder.images, N_GALLERY_ROWS)}
