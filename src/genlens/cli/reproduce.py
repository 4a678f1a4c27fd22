"""`genlens reproduce`: the experiments of the paper, each one command."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genlens.cli.loading import SHAPES, load_generator, progress_bar
from genlens.cli.options import Overwrite, Quiet, Seed, split_names

if TYPE_CHECKING:
    from genlens.generators.protocol import Generator

app = typer.Typer(help="Repeat the experiments of the paper.", no_args_is_help=True)


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
    out: Annotated[Path, typer.Option(help="Folder of everything; the same command again goes on.")],
    models: Annotated[int, typer.Option(min=2, help="Target models.")] = 100,
    rows: Annotated[int, typer.Option(min=32, help="Test rows.")] = 1000,
    n_repeats: Annotated[int, typer.Option("--n-repeats", min=1, help="Permutations per concept.")] = 500,
    lime_rows: Annotated[int, typer.Option(min=32, help="Test rows that LIME explains.")] = 100,
    lime_samples: Annotated[int, typer.Option(min=2, help="Perturbed pictures of LIME an image.")] = 1000,
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
    command = (
        f"genlens reproduce shapes --out {out} --models {models} --rows {rows} --n-repeats {n_repeats} "
        f"--lime-rows {lime_rows} --lime-samples {lime_samples} --seed {seed} "
        f"--generator {generator.value} --only {','.join(parts)}"
    )

    def say(line: str) -> None:
        if not quiet:
            print(line, flush=True)

    result = reproduce_shapes(
        out,
        load_generator(generator.value),
        settings,
        parts=parts,
        load=_load if generator == Renderer.shapes else None,
        command=command,
        progress=progress_bar(quiet),
        log=say,
        overwrite=overwrite,
    )
    say(f"Report: {result.report}")
    say(f"Tables: {result.markdown}")
