"""`genlens reproduce`: the experiments of the paper, each one command."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genlens.cli.grammar import split_names
from genlens.cli.loading import DRAWER, SHAPES, load_generator, progress_bar
from genlens.cli.options import Guidance, Lcm, Lora, Overwrite, Quiet, Seed, Steps

if TYPE_CHECKING:
    from genlens.experiments.outcome import Reproduction
    from genlens.generators.protocol import Generator

app = typer.Typer(help="Repeat the experiments of the paper.", no_args_is_help=True)

Out = Annotated[Path, typer.Option(help="Folder of everything; the same command again goes on.")]
Net = Annotated[
    str | None,
    typer.Option(help="Concept net of one's own, one output a concept, written as --classifier; none: trained here."),
]
Checker = Annotated[str | None, typer.Option(help="Independent concept classifier; none: trained here.")]
MapRows = Annotated[int, typer.Option(min=2, help="Test rows that Grad-CAM and mask ablation explain.")]
LimeRows = Annotated[int, typer.Option(min=2, help="Test rows that LIME explains.")]
LimeSamples = Annotated[int, typer.Option(min=2, help="Perturbed pictures of LIME an image.")]
NetSteps = Annotated[int, typer.Option(min=1, help="Batches of 64 that a concept net is trained on.")]
Repeats = Annotated[int, typer.Option("--n-repeats", min=1, help="Permutations per concept.")]
Classifiers = Annotated[
    Path | None, typer.Option(help="Folder of the planted classifiers; OUT/classifiers if not given.")
]


UNTOLD = ("quiet", "overwrite", "classifiers")
"""Options that don't belong to what is repeated."""


class Renderer(StrEnum):
    """Who draws the captions."""

    shapes = "shapes"
    drawer = "drawer"


@app.callback()
def _group() -> None:
    """Repeat the experiments of the paper."""


def _load(source: Path | None = None, **options: Any) -> Generator:
    """The shipped generator, or another pipeline, with options."""
    return load_generator(SHAPES if source is None else str(source), **options)


@app.command()
def shapes(
    context: typer.Context,
    out: Out,
    models: Annotated[int, typer.Option(min=2, help="Target models.")] = 100,
    rows: Annotated[int, typer.Option(min=32, help="Test rows.")] = 1000,
    n_repeats: Repeats = 500,
    lime_rows: Annotated[int, typer.Option(min=32, help="Test rows that LIME explains.")] = 100,
    lime_samples: LimeSamples = 1000,
    generator: Annotated[
        Renderer, typer.Option(help="The shipped diffusion model, or the drawer (perfect, quick).")
    ] = Renderer.shapes,
    only: Annotated[
        str,
        typer.Option(help="Parts, separated by commas: main, architectures, correlation, quality, hard, continuous."),
    ] = "main,architectures,correlation,quality,hard,continuous",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Rank concepts of many target models whose truth is known: DEPICT, LIME, Grad-CAM, mask ablation, two oracles."""
    from genlens.experiments.shapes import check_parts, reproduce_shapes
    from genlens.experiments.shapes_lab import Settings

    parts = check_parts(split_names(only))
    settings = Settings(models, rows, n_repeats, lime_rows, lime_samples, seed, generator.value)
    _finish(
        reproduce_shapes, out, load_generator(generator.value), settings, parts=parts,
        load=_load if generator == Renderer.shapes else None, command=_command(context), progress=progress_bar(quiet),
        overwrite=overwrite, quiet=quiet,
    )  # fmt: skip


@app.command()
def scenes(
    context: typer.Context,
    out: Out,
    rows: Annotated[int, typer.Option(min=32, help="Test rows.")] = 600,
    train_rows: Annotated[int, typer.Option(min=32, help="Training rows of nets and target models.")] = 6000,
    photographs: Annotated[
        Path | None, typer.Option(help="Folder of Fashion-MNIST's IDX files; none: where systems put them.")
    ] = None,
    generator: Annotated[
        str, typer.Option(help="scenes: the shipped one; drawer: a perfect one; or a pipeline's folder.")
    ] = "scenes",
    n_repeats: Repeats = 25,
    map_rows: MapRows = 200,
    lime_rows: LimeRows = 40,
    lime_samples: LimeSamples = 400,
    net_steps: NetSteps = 1500,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """The COCO protocol on scenes of real product photographs: 10 primary and 6 mixed models, rivals and oracles."""
    from genlens.experiments.photos import reproduce_photos
    from genlens.experiments.photos_lab import Settings
    from genlens.experiments.scenes import scenes_photos
    from genlens.generators.scenes_drawer import ScenesDrawer

    settings = Settings(0, n_repeats, map_rows, lime_rows, lime_samples, net_steps, 64, seed)
    photos = scenes_photos(out, rows, train_rows, seed, photographs)
    loaded = ScenesDrawer(folder=photographs) if generator == DRAWER else load_generator(generator)
    _finish(
        reproduce_photos, out, photos, loaded, settings, progress=progress_bar(quiet), overwrite=overwrite, quiet=quiet,
        command=_command(context),
    )  # fmt: skip


@app.command()
def coco(
    context: typer.Context,
    out: Out,
    data: Annotated[Path, typer.Option(help="Folder that `genlens data coco` wrote.")],
    generator: Annotated[str, typer.Option(help="Folder or hub id of a pipeline, fine-tuned on the captions.")],
    concepts: Annotated[str | None, typer.Option(help="Categories; none: the paper's 15.")] = None,
    scene: Annotated[str, typer.Option(help="Scene of the primary models.")] = "home or hotel",
    rows: Annotated[int, typer.Option(min=32, help="Test rows at most.")] = 1000,
    net: Net = None,
    checker: Checker = None,
    size: Annotated[int, typer.Option(min=16, help="Side in pixels of what nets trained here see.")] = 64,
    n_repeats: Repeats = 25,
    map_rows: MapRows = 200,
    lime_rows: LimeRows = 40,
    lime_samples: LimeSamples = 400,
    net_steps: NetSteps = 1500,
    steps: Steps = None,
    guidance: Guidance = None,
    lora: Lora = None,
    lcm: Lcm = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """The paper's experiment on COCO: primary and mixed scene models, DEPICT, rivals, oracles and checks."""
    from genlens.classifiers import load_classifier
    from genlens.datasets.coco_scenes import CONCEPTS, SCENES
    from genlens.errors import UserError
    from genlens.experiments.photos import reproduce_photos
    from genlens.experiments.photos_data import load_photos
    from genlens.experiments.photos_lab import Settings
    from genlens.training.photo_concepts import as_concept_net

    if scene not in SCENES:
        raise UserError(f"`--scene` must be one of {', '.join(SCENES)}; got {scene!r}.")
    names = split_names(concepts) if concepts else list(CONCEPTS)
    photos = load_photos("COCO", data, names, SCENES, max_rows=rows, seed=seed)
    nets = {
        option: None if spec is None else as_concept_net(load_classifier(spec), names, f"--{option}")
        for option, spec in (("net", net), ("checker", checker))
    }
    settings = Settings(SCENES.index(scene), n_repeats, map_rows, lime_rows, lime_samples, net_steps, size, seed)
    loaded = load_generator(
        generator, num_inference_steps=steps, guidance_scale=guidance, lora=lora, lcm=lcm or None
    )
    _finish(
        reproduce_photos, out, photos, loaded, settings, **nets, progress=progress_bar(quiet), overwrite=overwrite,
        quiet=quiet, command=_command(context),
    )  # fmt: skip


@app.command()
def explain(
    context: typer.Context,
    out: Out,
    worlds: Annotated[str, typer.Option(help="shapes, scenes, or both separated by a comma.")] = "shapes",
    images: Annotated[int, typer.Option(min=8, help="Pictures of each method and class.")] = 100,
    iterations: Annotated[int, typer.Option(min=1, help="Steps of the soft prompt.")] = 60,
    restarts: Annotated[int, typer.Option(min=1, help="Soft prompts side by side.")] = 2,
    pixel_steps: Annotated[int, typer.Option(min=1, help="Steps of activation maximisation.")] = 128,
    attack_steps: Annotated[int, typer.Option(min=1, help="Steps of the feature attack.")] = 100,
    classifiers: Classifiers = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Classes through the classifier's eyes: soft prompts, class names, activation maximisation, feature attack."""
    from genlens.experiments.explain import reproduce_explain
    from genlens.experiments.explain_cases import ExplainSettings

    settings = ExplainSettings(
        tuple(split_names(worlds)), images, iterations, restarts, pixel_steps=pixel_steps, attack_steps=attack_steps,
        seed=seed,
    )  # fmt: skip
    generators: Any = {world: partial(load_generator, world) for world in settings.worlds}
    _finish(
        reproduce_explain, out, generators, settings, cache=classifiers, progress=progress_bar(quiet),
        command=_command(context), quiet=quiet,
    )  # fmt: skip


@app.command()
def xray(
    context: typer.Context,
    out: Out,
    rows: Annotated[int, typer.Option(min=32, help="Test rows of each target model, an even number.")] = 400,
    train_rows: Annotated[int, typer.Option(min=32, help="Training rows of each target model's head.")] = 2000,
    net_steps: NetSteps = 500,
    n_repeats: Repeats = 25,
    generator: Annotated[str, typer.Option(help="xray-drawer, or a pipeline's folder.")] = "xray-drawer",
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """The paper's case study in healthcare on drawn radiographs: models that rely on age, BMI or sex; the checks."""
    from genlens.experiments.xray import reproduce_xray
    from genlens.experiments.xray_lab import Settings

    settings = Settings(rows, train_rows, net_steps, n_repeats, seed=seed, generator=Path(generator).name)
    _finish(reproduce_xray, out, load_generator(generator), settings, command=_command(context), quiet=quiet)


@app.command()
def spurious(
    context: typer.Context,
    out: Out,
    world: Annotated[str, typer.Option(help="shapes or scenes.")] = "shapes",
    pairs: Annotated[int, typer.Option(min=0, help="Class-feature pairs at most, half of them core; 0: all.")] = 0,
    architectures: Annotated[
        str, typer.Option(help="Of the classifiers, separated by commas.")
    ] = "plain,residual,transformer,alexnet",
    plantings: Annotated[
        int | None, typer.Option(min=1, help="Sets of shortcuts each is trained on; all if not given.")
    ] = None,
    strength: Annotated[float, typer.Option(min=0, max=1, help="Of the planted shortcuts.")] = 0.9,
    images: Annotated[int, typer.Option(min=2, help="Pictures of each prompt.")] = 24,
    iterations: Annotated[int, typer.Option(min=1, help="Steps of the soft prompt.")] = 20,
    restarts: Annotated[int, typer.Option(min=1, help="Soft prompts side by side.")] = 2,
    segmenter: Annotated[
        str | None, typer.Option(help="CLIPSeg's folder or hub id, or file.py:function; the world's shipped one.")
    ] = None,
    classifiers: Classifiers = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Core or spurious? Verdicts on planted features against the truth by intervention."""
    from genlens.experiments.spurious import SpuriousSettings, reproduce_spurious
    from genlens.findings.spurious_types import Settings
    from genlens.segmenters import load_segmenter

    search = Settings(n_images=images, n_calibration=60, restarts=restarts, steps=iterations, seed=seed)
    settings = SpuriousSettings(world, tuple(split_names(architectures)), plantings, pairs, strength, search)
    _finish(
        reproduce_spurious, out, load_generator(world), load_segmenter(segmenter or world), settings, cache=classifiers,
        progress=None, command=_command(context), quiet=quiet,
    )  # fmt: skip


def _command(context: typer.Context) -> str:
    """The command line that repeats an experiment, with every option that has a value, defaults too."""
    told = ["genlens reproduce", str(context.command.name)]
    for option in context.command.params:
        value = context.params.get(str(option.name))
        if value is None or value is False or option.name in UNTOLD:
            continue
        told.append(option.opts[0] if value is True else f"{option.opts[0]} {quote(str(value))}")
    return " ".join(told)


def _finish(run: Callable[..., Reproduction], *arguments: Any, quiet: bool, **options: Any) -> None:
    """Run an experiment and say where its results are."""

    def say(line: str) -> None:
        if not quiet:
            print(line, flush=True)

    result = run(*arguments, log=say, **options)
    say(f"Report: {result.report}")
    say(f"Tables: {result.markdown}")
