"""`genlens compare`: other target models on the images of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genlens.cli import options
from genlens.cli.loading import progress_bar
from genlens.cli.runs import Run
from genlens.errors import UserError


def compare(
    run: Run,
    classifier: Annotated[
        list[str],
        typer.Option(
            help="file.py:function (which may return several, by name), model.onnx, hf:ID, timm:NAME or bundled:NAME; "
            "NAME= before it names it. Repeatable."
        ),
    ],
    target_class: Annotated[
        int | None, typer.Option(min=0, help="Output to explain, where there are three or more; the run's by default.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; RUN/comparison if not given.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images scored together.")] = None,
    quiet: options.Quiet = False,
) -> None:
    """Rank the concepts of several classifiers on a run's images, and say where they differ; nothing is rendered."""
    from genlens.classifiers import load_classifiers
    from genlens.classifiers.protocol import Classifier
    from genlens.compare import compare as compare_models
    from genlens.plan_file import FinishedPlan
    from genlens.reports.comparison import print_comparison, write_comparison

    FinishedPlan.load(run)  # a run that isn't finished is found before any weights are loaded
    models: dict[str, Classifier] = {}
    for spec in classifier:
        for name, model in load_classifiers(spec).items():
            if name in models:
                raise UserError(f"`--classifier` gives two models the name {name!r}; write NAME= before one of them.")
            models[name] = model
    found = compare_models(run, models, target_class=target_class, batch_size=batch_size, progress=progress_bar(quiet))
    command = " ".join(["genlens compare", str(run), *(f"--classifier {spec}" for spec in classifier)])
    page = write_comparison(found, out or run / "comparison", command)
    if not quiet:
        print_comparison(found)
        print(f"Report: {page}")
