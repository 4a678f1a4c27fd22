"""`genlens reproduce scenes` and `coco`: the experiment of DEPICT on photographs (arXiv 2407.14509, section 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from genlens.classifiers.concept_net import ConceptNet
from genlens.experiments.outcome import Reproduction, write_report
from genlens.experiments.photos_data import Photos
from genlens.experiments.photos_lab import PhotoLab, Settings
from genlens.experiments.photos_report import sections
from genlens.files import make_folder
from genlens.generators.protocol import Generator
from genlens.progress import Progress, SilentProgress

FIGURES = "figures"


def reproduce_photos(
    out: str | Path,
    photos: Photos,
    generator: Generator,
    settings: Settings | None = None,
    *,
    net: ConceptNet | None = None,
    checker: ConceptNet | None = None,
    command: str = "",
    progress: Progress | None = None,
    log: Callable[[str], None] = print,
    overwrite: bool = False,
) -> Reproduction:
    """Run the experiment, or what is missing of it, and write the report.

    Args:
        out: folder of everything.
        photos: the data.
        generator: renders captions such as "2 person, 1 couch".
        settings: size of the experiment.
        net: the target models' concept net; None: trained on the training photographs.
        checker: the independent concept classifier; None: trained, of another architecture.
        command: how to repeat it, for the report.
        progress: told about rendering and scoring.
        log: gets a line a stage.
        overwrite: throw away images of other settings.

    Raises:
        UserError: `out` holds an experiment with other settings, or too few rows for any target model.
        KeyboardInterrupt: Ctrl-C; the same call goes on where it stopped.
    """
    chosen = settings or Settings()
    lab = PhotoLab(Path(out), photos, generator, chosen, net, checker, progress or SilentProgress(), log, overwrite)
    found = lab.run()
    folder = lab.out / FIGURES
    make_folder(folder)
    support = (
        f"{len(found.targets)} target models on one concept net, {photos.test.n_rows:,} test and "
        f"{len(photos.train.paths):,} training photographs of {photos.name}, {len(photos.concepts)} concepts, "
        f"{lab.plan.n_images:,} images instead of {lab.plan.n_naive(chosen.n_repeats):,}, shared by all models."
    )
    title = f"DEPICT on photographs: {photos.name}"
    return write_report(lab.out, title, support, sections(lab, found, folder), lab.stages.seconds, command, FIGURES)
