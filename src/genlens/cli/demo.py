"""`genlens demo`: explain a classifier whose true reliance is known, with what is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genlens.cli.loading import progress_bar
from genlens.cli.options import Overwrite, Quiet, Seed


def demo(
    out: Annotated[Path, typer.Option(help="Folder of the data set and the run.")] = Path("genlens-demo"),
    n: Annotated[int | None, typer.Option("--n", min=32, help="Rows of the data set.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Explain a shipped classifier with the shipped diffusion model; prints its true reliance beside the ranking."""
    from genlens.demo import run_demo

    outcome = run_demo(out, n, seed, progress_bar(quiet), overwrite)
    if quiet:
        return
    from genlens.reports.terminal import print_result

    print_result(outcome.result)
    print()
    print(f"Spearman correlation of importance with the true weights: {outcome.spearman:.3f}")
    print(f"Pearson correlation of reliance with the true weights:    {outcome.pearson:.3f}")
    print(f"Report: {outcome.report}")
