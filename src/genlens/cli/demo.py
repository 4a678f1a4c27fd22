"""`genlens demo`: explain a classifier whose true reliance is known, with what is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genlens.cli.loading import progress_bar
from genlens.cli.options import Quiet, Seed


def demo(
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("genlens-demo"),
    n: Annotated[int | None, typer.Option("--n", min=32, help="Rows of the data set.")] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Explain a shipped classifier with the shipped diffusion model; prints its true reliance beside the ranking."""
    from genlens.demo import run_demo

    run_demo(out, n, seed, progress_bar(quiet))
