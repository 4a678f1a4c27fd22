"""`genlens spurious`: which neural features of a class are core and which spurious."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genlens.cli import options
from genlens.cli.groups import grouped
from genlens.cli.loading import progress_bar
from genlens.cli.render_options import RenderOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OBJECT, SEARCH = "Object", "Search"


class Rule(StrEnum):
    """What decides between core and spurious."""

    part = "part"
    presence = "presence"


@dataclass(frozen=True)
class ObjectOptions:
    """What the class's object is, and pictures with and without it."""

    name: Annotated[
        str | None,
        typer.Option(help="The object, as the segmenter is told; the class's name.", rich_help_panel=OBJECT),
    ] = None
    prompt: Annotated[
        str | None, typer.Option(help="Prompt of pictures with the object; its name.", rich_help_panel=OBJECT)
    ] = None
    others: Annotated[
        str | None,
        typer.Option(
            help="Prompts of pictures without the object, separated by semicolons; the other classes' names.",
            rich_help_panel=OBJECT,
        ),
    ] = None
    words: Annotated[
        str | None,
        typer.Option(
            help="What else to look for: a file with a word or phrase a line, or a list with commas.",
            rich_help_panel=OBJECT,
        ),
    ] = None
    pictures: Annotated[
        Path | None,
        typer.Option(
            help="Folder of pictures of the class to rank features over; none: generated.", rich_help_panel=OBJECT
        ),
    ] = None
    min_share: Annotated[
        float,
        typer.Option(help="Share of a picture's pixels from which the object counts as there.", rich_help_panel=OBJECT),
    ] = 0.005


@dataclass(frozen=True)
class SearchOptions:
    """Which features are looked at, and how."""

    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Features of the class.", rich_help_panel=SEARCH)] = 5
    images: Annotated[
        int, typer.Option(min=2, help="Pictures of each prompt, on held-out seeds.", rich_help_panel=SEARCH)
    ] = 40
    calibration: Annotated[
        int,
        typer.Option(
            min=1, help="Pictures with and without the object that test the segmenter.", rich_help_panel=SEARCH
        ),
    ] = 100
    restarts: Annotated[int, typer.Option(min=1, help="Starts of the optimisation.", rich_help_panel=SEARCH)] = 3
    iterations: Annotated[int, typer.Option(min=1, help="Steps of the optimisation.", rich_help_panel=SEARCH)] = 30
    batch: Annotated[int, typer.Option(min=1, help="Pictures a step and restart.", rich_help_panel=SEARCH)] = 3
    tokens: Annotated[int, typer.Option(min=1, help="Free tokens.", rich_help_panel=SEARCH)] = 5
    class_weight: Annotated[
        float, typer.Option(min=0.0, help="Weight of the class beside the feature.", rich_help_panel=SEARCH)
    ] = 0.1
    rule: Annotated[
        Rule,
        typer.Option(
            help="part: the object must carry the feature; presence: it must be there.", rich_help_panel=SEARCH
        ),
    ] = Rule.part
    threshold: Annotated[
        float, typer.Option(help="Share that divides core from spurious.", rich_help_panel=SEARCH)
    ] = 0.5


@grouped
def spurious(
    *,
    target: Annotated[str, typer.Argument(help="The class, by number or name.")],
    classifier: options.GradientClassifier,
    generator: options.Pipeline,
    out: options.RunFolderOut,
    segmenter: Annotated[
        str, typer.Option(help="shapes or scenes (shipped), a CLIPSeg's folder or hub id, or file.py:function.")
    ] = "shapes",
    thing: ObjectOptions,
    search: SearchOptions,
    render: RenderOptions,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Call the neural features of a class core or spurious; writes spurious.json, candidates.json and report.html."""
    from genlens.classifiers import load_classifier
    from genlens.findings.candidates import save_candidates
    from genlens.findings.spurious import find_spurious
    from genlens.findings.spurious_types import Settings
    from genlens.prompts.vocabulary import read_words
    from genlens.reports.spurious import lines, save_spurious
    from genlens.run_folder import RunFolder
    from genlens.segmenters import Presence, load_segmenter

    words = thing.words
    vocabulary = () if words is None else read_words(words)  # an empty one is found before any weights are loaded
    settings = Settings(
        top_k=search.top_k, n_images=search.images, n_calibration=search.calibration, restarts=search.restarts,
        steps=search.iterations, batch=search.batch, n_tokens=search.tokens, class_weight=search.class_weight,
        threshold=search.threshold, rule=search.rule.value, seed=seed,
    )  # fmt: skip
    presence = Presence(min_share=thing.min_share)
    model, marker = load_classifier(classifier), load_segmenter(segmenter, device=render.device)
    result = find_spurious(
        model, target=target, generator=render.load(generator), segmenter=marker, name=thing.name,
        caption=thing.prompt, others=[part.strip() for part in (thing.others or "").split(";") if part.strip()],
        images=None if thing.pictures is None else _pictures(thing.pictures), words=vocabulary, presence=presence,
        settings=settings, store=out, overwrite=overwrite, progress=progress_bar(quiet),
    )  # fmt: skip
    with RunFolder(out).lock():
        report = save_spurious(result, save_candidates(result, marker, presence, out), out)
    if not quiet:
        for line in lines(result):
            print(line)
        print(f"Report: {report}")


def _pictures(folder: Path) -> NDArray[np.uint8]:
    """All pictures of a folder, (N, H, W, 3)."""
    import numpy as np

    from genlens.datasets.images import load_image
    from genlens.errors import UserError

    kinds = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in kinds) if folder.is_dir() else []
    if not paths:
        raise UserError(f"`pictures` must be a folder with images; got {folder}.")
    found = [load_image(path) for path in paths]
    if len({image.shape for image in found}) > 1:
        raise UserError(f"The pictures in {folder} must have one size; resize them first.")
    return np.stack(found)
