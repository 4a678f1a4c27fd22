"""The stages of the protocol on photographs, each kept in the folder: nets, target models, images, DEPICT, rivals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.checks import independent_permutation
from genlens.classifiers.concept_net import CONFIG_FILE, ConceptNet
from genlens.datasets.images import load_image
from genlens.engine import Engine
from genlens.errors import UserError, check_integer
from genlens.experiments import photos_baselines as baselines
from genlens.experiments.photos_data import Photos
from genlens.experiments.photos_depict import adjust, check_effective, depict, states_of
from genlens.experiments.photos_targets import Target, fit_targets, oracles
from genlens.experiments.pictures import flipped_pictures
from genlens.experiments.shapes_models import ConceptOutputs
from genlens.experiments.stages import Arrays, Stages
from genlens.generators.protocol import Generator
from genlens.importance.result import CheckResult
from genlens.plan import Plan, make_plan
from genlens.progress import Progress
from genlens.run_folder import RunFolder
from genlens.training.concept_nets import Recipe
from genlens.training.photo_concepts import train_photo_concepts

Floats = NDArray[np.float64]
N_GALLERY_ROWS = 4


@dataclass(frozen=True)
class Settings:
    """Size of the experiment.

    Attributes:
        primary_scene: the scene of the primary models, by its number.
        n_repeats: permutations P of the published estimator, >= 1.
        map_rows: test rows that Grad-CAM and mask ablation explain, >= 2.
        lime_rows: test rows that LIME explains, >= 2.
        lime_samples: perturbed pictures an image, >= 2.
        net_steps: batches of 64 that each concept net is trained on.
        size: side in pixels of what the nets see.
        seed: of everything random, >= 0.

    Raises:
        UserError: a number out of its range.
    """

    primary_scene: int = 0
    n_repeats: int = 25
    map_rows: int = 200
    lime_rows: int = 40
    lime_samples: int = 400
    net_steps: int = 1500
    size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        for name, least in (("primary_scene", 0), ("n_repeats", 1), ("map_rows", 2), ("lime_rows", 2),
                            ("lime_samples", 2), ("net_steps", 1), ("size", 16), ("seed", 0)):  # fmt: skip
            check_integer(name, getattr(self, name), least)


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything the protocol found; M models, D concepts.

    Attributes:
        names: D concepts.
        targets: the models.
        left_out: a line for each that had too few rows.
        truth: see `genlens.experiments.photos_targets.oracles`.
        unadjusted: see `genlens.experiments.photos_depict.depict`.
        adjusted: importance, low and high (M, D), NaN where withheld; shown (D,), how far a flip moves its concept;
            reasons (M, D) of what is withheld.
        additive: the same with one effect for all rows.
        rivals: method -> (M, D).
        choices: method -> its setting and the r with the weights that chose it.
        effective: the check of effective generation of each model.
        independent: the check of independent permutation.
        gallery: generated images of a few rows without (0) and with (1) each concept: (rows, D, 2, H, W, 3).
    """

    names: tuple[str, ...]
    targets: tuple[Target, ...]
    left_out: tuple[str, ...]
    truth: Arrays
    unadjusted: Arrays
    adjusted: Arrays
    additive: Arrays
    rivals: dict[str, Floats]
    choices: dict[str, tuple[str, float]]
    effective: tuple[CheckResult, ...]
    independent: CheckResult
    gallery: NDArray[np.uint8]


class PhotoLab:
    """Data, nets, target models and images of the protocol, in one folder.

    Args:
        out: the folder.
        photos: the data.
        generator: renders the captions.
        settings: size of the experiment.
        net: the target models' concept net; None: one is trained on the training photographs.
        checker: the independent concept classifier; None: one of another architecture is trained.
        progress: told about rendering and scoring.
        log: gets a line a stage.
        overwrite: throw away images and scores of other settings.

    Raises:
        UserError: `out` holds an experiment with other settings, or the generator can't take the captions.
    """

    def __init__(
        self,
        out: Path,
        photos: Photos,
        generator: Generator,
        settings: Settings,
        net: ConceptNet | None,
        checker: ConceptNet | None,
        progress: Progress,
        log: Callable[[str], None],
        overwrite: bool = False,
    ) -> None:
        self.out, self.photos, self.generator, self.settings = out, photos, generator, settings
        self.progress, self.log = progress, log
        if settings.primary_scene >= len(photos.scenes):
            raise UserError(f"`primary_scene` must be below {len(photos.scenes)}; got {settings.primary_scene}.")
        self.plan: Plan = make_plan(photos.test, settings.seed)
        generator.check_captions(self.plan.captions)
        self.folder = RunFolder(out / "run")
        identity = {"data": photos.name, "rows": list(photos.test.row_ids), "seed": settings.seed,
                    "generator": generator.fingerprint}  # fmt: skip
        self.folder.open_or_create(identity, overwrite=overwrite)
        self.stages = Stages(out / "stages", log)
        self.net = net or self._trained("concept-net", Recipe("plain", 24, settings.net_steps, 3e-3, settings.seed))
        other = Recipe("residual", 32, settings.net_steps, 3e-3, settings.seed + 1)
        self.checker = checker or self._trained("checker", other)

    def _trained(self, name: str, recipe: Recipe) -> ConceptNet:
        """A net that learns from the training photographs, kept in the folder."""
        folder, key = self.out / "nets" / name, repr((recipe.spec(), self.settings.size, self.photos.name))
        train = self.photos.train
        notes = folder / "trained.txt"
        if (folder / CONFIG_FILE).is_file() and notes.is_file() and notes.read_text() == key:
            return ConceptNet.load(folder)
        net = train_photo_concepts(train.paths, train.presence, self.photos.concepts, recipe, size=self.settings.size,
                                   log=lambda line: self.log(f"{name}: {line}"))  # fmt: skip
        net.save(folder)
        notes.write_text(key)
        return ConceptNet.load(folder)

    def identity(self, **more: Any) -> dict[str, Any]:
        """What the results on the test rows depend on."""
        s = self.settings
        return {"net": self.net.fingerprint, "rows": list(self.photos.test.row_ids), "scene": s.primary_scene,
                "seed": s.seed, "n_train": len(self.photos.train.paths), **more}  # fmt: skip

    def run(self) -> Findings:
        """Run every stage that isn't done yet."""
        targets, left_out = self._targets()
        own, seen, gallery = self._outputs()
        rendered = self.identity(generator=self.generator.fingerprint, checker=self.checker.fingerprint)
        keep, s = self.stages.run, self.settings
        truth = keep("oracles", self.identity(), lambda: oracles(targets, own.real))
        unadjusted = keep("depict", {**rendered, "n_repeats": s.n_repeats},
                          lambda: depict(targets, own.images, self.plan, s.n_repeats, s.seed))  # fmt: skip
        adjusted = keep("adjusted", rendered, lambda: self._adjusted(targets, own, seen, True))
        additive = keep("additive", rendered, lambda: self._adjusted(targets, own, seen, False))
        rivals, choices = self._rivals(targets, truth["weights"])
        names, presence = self.photos.concepts, self.photos.test.presence()
        every = np.arange(len(presence))
        states = [states_of(states, seen.images, every) for states in self.plan.states]
        return Findings(
            names, tuple(targets), tuple(left_out), truth, unadjusted, adjusted, additive, rivals, choices,
            tuple(check_effective(t, own, seen, self.plan, names, presence) for t in targets),
            independent_permutation(presence, seen.images[self.plan.reference], states, names, h_real=seen.real),
            gallery,
        )  # fmt: skip

    def _targets(self) -> tuple[list[Target], list[str]]:
        key = self.identity()
        key.pop("rows")
        logits = self.stages.run("train-logits", key, self._train_logits)["logits"]
        return fit_targets(self.photos, logits, self.settings.primary_scene)

    def _train_logits(self) -> Arrays:
        paths, parts = self.photos.train.paths, []
        for first in range(0, len(paths), 256):
            parts.append(self.net.predict([load_image(path) for path in paths[first : first + 256]]))
        return {"logits": self._columns(self.net, np.concatenate(parts))}

    def _columns(self, net: ConceptNet, outputs: NDArray[Any]) -> Floats:
        """A net's outputs in the order of the concepts, float64."""
        order = [net.concept_names.index(name) for name in self.photos.concepts]
        return np.asarray(outputs[:, order], dtype=np.float64)

    def _outputs(self) -> tuple[ConceptOutputs, ConceptOutputs, NDArray[np.uint8]]:
        """What the target's net and the checker say about real and generated images, and some of these."""
        key = self.identity(generator=self.generator.fingerprint, checker=self.checker.fingerprint)
        found = self.stages.run("images", key, self._render)
        own = ConceptOutputs(found["own_real"], found["own"])
        return own, ConceptOutputs(found["seen_real"], found["seen"]), found["gallery"]

    def _render(self) -> Arrays:
        with self.folder.lock():
            engine = Engine(self.folder, progress=self.progress)
            nets = {"own": self.net, "seen": self.checker}
            real = {f"{name}_real": engine.score_real(self.photos.test, net, name) for name, net in nets.items()}
            images = engine.run(self.plan, self.generator, nets)
        outputs = {**real, **images}
        columns = {name: self._columns(nets[name.removesuffix("_real")], value) for name, value in outputs.items()}
        gallery = flipped_pictures(self.plan, self.generator, self.folder.images, N_GALLERY_ROWS)
        return {**columns, "gallery": gallery}

    def _adjusted(
        self, targets: list[Target], own: ConceptOutputs, seen: ConceptOutputs, interactions: bool
    ) -> Arrays:
        found = [adjust(target, own, seen, self.plan, self.settings.seed, interactions) for target in targets]
        return {
            "importance": np.stack([part.importance for part in found]),
            "low": np.stack([part.ci[:, 0] for part in found]),
            "high": np.stack([part.ci[:, 1] for part in found]),
            "shown": np.diag(found[-1].first_stage),
            "first_stage": found[-1].first_stage,
            "f_statistic": np.stack([part.f_statistic for part in found]),
            "doubt": np.array([part.doubt for part in found]),
            "reasons": np.array([part.withheld for part in found], dtype=np.str_),
        }

    def _rivals(
        self, targets: list[Target], weights: Floats
    ) -> tuple[dict[str, Floats], dict[str, tuple[str, float]]]:
        """Mask ablation, Grad-CAM and LIME on the first test rows."""
        s, table, keep = self.settings, self.photos.test, self.stages.run
        some, few = (range(min(n, table.n_rows)) for n in (s.map_rows, s.lime_rows))
        key = self.identity(map_rows=len(some))
        presence = table.presence()
        cam = keep("gradcam", key, lambda: {"iou": baselines.gradcam_overlaps(targets, self.net, table, some)})
        lime = keep(
            "lime",
            self.identity(lime_rows=len(few), samples=s.lime_samples),
            lambda: {"iou": baselines.lime_overlaps(targets, self.net, table, few, s.lime_samples)},
        )
        ablation = keep("ablation", key, lambda: {"drop": baselines.mask_ablation(targets, self.net, table, some)})
        rivals: dict[str, Floats] = {"mask ablation": ablation["drop"]}
        choices: dict[str, tuple[str, float]] = {}
        for name, overlaps, rows in (("LIME", lime["iou"], few), ("Grad-CAM", cam["iou"], some)):
            rivals[name], number, r = baselines.best_importance(targets, overlaps, presence, weights, rows)
            choices[name] = (baselines.setting_name(name, number), r)
        return rivals, choices
