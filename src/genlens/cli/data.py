"""`genlens data`: write data sets whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genlens.cli.options import Seed

app = typer.Typer(help="Write data sets whose truth is known.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Write data sets whose truth is known."""


@app.command()
def shapes(
    out: Annotated[Path, typer.Argument(help="Folder to write; must not exist or be empty.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Number of images.")] = 1000,
    seed: Seed = 0,
) -> None:
    """Draw coloured circles and rectangles: images, metadata.csv and masks."""
    from genlens.datasets.shapes import write_imagefolder

    write_imagefolder(out, n, seed)
    print(f"Wrote {n} images, their metadata and masks to {out}.")
