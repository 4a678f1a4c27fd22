"""`genlens reproduce explain`: classes through the classifier's eyes, against rivals (DiffExplainer, arXiv 2404.02618).

Every class is a stage of its own: its pictures and measures are kept, and a stopped experiment goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.experiments.explain_cases import Case, ExplainSettings, find_cases
from genlens.experiments.explain_figures import SHOWN, write_pictures
from genlens.experiments.explain_measures import Referee, load_referee, measure_case, referee_accuracy
from genlens.experiments.explain_methods import ATTACK, FOURIER_MAX, METHODS, OURS, class_images
from genlens.experiments.explain_report import world_sections
from genlens.experiments.outcome import Reproduction, write_report
from genlens.experiments.planted_worlds import get_world
from genlens.experiments.stages import Arrays, Stages
from genlens.files import make_folder, write_atomic
from genlens.generators.diffusers import DiffusersGenerator
from genlens.generators.gradients import GradientGenerator
from genlens.progress import Progress, SilentProgress
from genlens.reports.document import Section
from genlens.store import encode_png

TITLE = "DiffExplainer: classes and rivals"
FIGURES, STUDY = "figures", "study_images"
STUDY_METHODS = (OURS, FOURIER_MAX, ATTACK)
N_STUDY = 8
"""Pictures of each method and class that are kept for a study with people."""
VERSION = 2
"""Raise it when the pictures of a class change with the same settings."""


def reproduce_explain(
    out: str | Path,
    generators: Mapping[str, Callable[[], DiffusersGenerator]],
    settings: ExplainSettings | None = None,
    *,
    cache: str | Path | None = None,
    command: str = "",
    progress: Progress | None = None,
    log: Callable[[str], None] = print,
) -> Reproduction:
    """Run the experiment, or what is missing of it, and write the report.

    Args:
        out: folder of everything.
        generators: world -> loads its generator.
        settings: size of the experiment.
        cache: folder of the planted classifiers; `OUT/classifiers` by default.
        command: how to repeat it, for the report.
        progress: told about classes.
        log: gets a line a stage.

    Raises:
        UserError: a value out of its range, or a generator without gradients.
        KeyboardInterrupt: Ctrl-C; the same call goes on where it stopped.
    """
    chosen, folder = settings or ExplainSettings(), Path(out)
    make_folder(folder / FIGURES)
    stages = Stages(folder / "classes", log)
    nets = Path(cache) if cache else folder / "classifiers"
    finished: list[Section] = []
    for world in chosen.worlds:
        gradients = GradientGenerator(generators[world]())
        referee = load_referee(get_world(world), folder / f"referee-{world}", log)
        found = _Found(world, referee_accuracy(get_world(world), referee), folder)
        for cases in find_cases(world, nets, chosen, log):
            found.add(cases, _explained(cases, gradients, referee, chosen, stages, progress or SilentProgress()))
            sections = [*finished, *found.sections(chosen)]  # a stop leaves a report
            result = write_report(folder, TITLE, _support(chosen), sections, stages.seconds, command, FIGURES)
        finished = sections
    return result


class _Found:
    """What is known of a world so far."""

    def __init__(self, world: str, accuracy: float, folder: Path) -> None:
        self.world, self.accuracy, self.folder = world, accuracy, folder
        self.cases: list[Case] = []
        self.measures: list[Arrays] = []
        self.shown: list[tuple[str, list[NDArray[np.uint8]]]] = []

    def add(self, cases: Sequence[Case], found: Sequence[tuple[Arrays, Arrays]]) -> None:
        """Take pictures and measures of more classes; keep the measures, and a few pictures."""
        pictures = [shot for shot, _ in found]
        self.cases += cases
        self.measures += [measured for _, measured in found]
        self.shown += _rows(cases, pictures)
        write_study_images(cases, pictures, self.folder / STUDY)

    def sections(self, settings: ExplainSettings) -> list[Section]:
        """The world's sections, its figure written."""
        figure = self.folder / FIGURES / f"explain-{self.world}.png"
        write_pictures(self.shown, METHODS, figure)
        return world_sections(self.world, self.cases, self.measures, self.accuracy, settings, figure)


def _explained(
    cases: Sequence[Case], gradients: GradientGenerator, referee: Referee, settings: ExplainSettings, stages: Stages,
    progress: Progress,
) -> list[tuple[Arrays, Arrays]]:  # fmt: skip
    """Pictures and measures of classes."""
    progress.start(f"Classes: {cases[0].kind}", len(cases))
    found = []
    try:
        for case in cases:
            found.append(_one(case, gradients, referee, settings, stages))
            progress.advance(1)
    finally:
        progress.done()
    return found


def _one(
    case: Case, gradients: GradientGenerator, referee: Referee, settings: ExplainSettings, stages: Stages
) -> tuple[Arrays, Arrays]:
    """Pictures and measures of a class, each a stage."""
    identity = {
        "version": VERSION, "case": case.name, "classifier": case.planted.classifier.fingerprint,
        "generator": gradients.generator.fingerprint, **settings.spec(),
    }  # fmt: skip
    pictures = stages.run(case.name, identity, lambda: class_images(case, gradients, settings))
    judged = {**identity, "peers": [peer.classifier.fingerprint for peer in case.peers]}
    return pictures, stages.run(f"{case.name}-measures", judged, lambda: measure_case(case, pictures, referee))


def _support(settings: ExplainSettings) -> str:
    return (
        "Soft prompts against the class name, no words, activation maximisation in pixel space and the feature attack, "
        f"on classifiers of four architectures with planted shortcuts (strength {settings.strength:g}) and without."
    )


def _rows(cases: Sequence[Case], pictures: Sequence[Arrays]) -> list[tuple[str, list[NDArray[np.uint8]]]]:
    """The first class of each classifier, with pictures by every method."""
    first = [(case, found) for case, found in zip(cases, pictures, strict=True) if case.target == 0]
    return [
        (f"{case.word}\n{case.planted.architecture}\n{case.shortcut or 'no shortcut'}",
         [found[method][:SHOWN] for method in METHODS])
        for case, found in first
    ]  # fmt: skip


def write_study_images(cases: Sequence[Case], pictures: Sequence[Arrays], folder: Path) -> None:
    """Pictures for `genlens study build`: an item a class, with the world's words to choose from.

    Where a class has a shortcut both it and the object are right, so those items have no answer that is marked.
    """
    told = {}
    for case, found in zip(cases, pictures, strict=True):
        number = case.target + 1
        told[case.name] = {
            "label": f"class {number} of a program that tells {len(case.planted.classes)} classes apart",
            "options": list(case.planted.planting.world.words),
            "answer": None if case.shortcut else case.word,
        }
        for method in STUDY_METHODS:
            for k, image in enumerate(found[method][:N_STUDY]):
                write_atomic(folder / case.name / method / f"{k}.png", encode_png(image), durable=False)
    before = json.loads((folder / "items.json").read_text()) if (folder / "items.json").exists() else {}
    write_atomic(folder / "items.json", (json.dumps(before | told, indent=1) + "\n").encode())
