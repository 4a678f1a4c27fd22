"""`genlens annotate`: concept labels for images that have none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genlens.cli import options
from genlens.cli.grammar import split_names, split_pairs
from genlens.cli.loading import progress_bar
from genlens.errors import UserError

if TYPE_CHECKING:
    from genlens.annotate.run import Annotated as Labels


def annotate(
    data: Annotated[Path, typer.Argument(help="Folder of images, with or without a metadata file; or that file.")],
    annotator: Annotated[
        str,
        typer.Option(
            help="clip:ID, owlv2:ID, grounding-dino:ID, clipseg:ID (folders or hub ids), or a classifier: "
            "file.py:function, bundled:NAME, hf:ID."
        ),
    ],
    concepts: Annotated[str, typer.Option(help="Names of the concepts, separated by commas.")],
    out: Annotated[str, typer.Option(help="Name of the file to write, in the folder of the images.")] = "annotated.csv",
    labels: Annotated[
        Path | None,
        typer.Option(help="Some images labelled by hand (file_name, a column a concept): thresholds and errors."),
    ] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help="concept=score above which it is present. Repeatable.")
    ] = None,
    counts: Annotated[bool, typer.Option("--counts", help="Write how many are found; detectors only.")] = False,
    template: Annotated[str | None, typer.Option(help="Prompt of a concept, such as 'a photo of a {}'.")] = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation with --labels.")] = 5,
    device: options.Device = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Images looked at together.")] = 16,
    seed: options.Seed = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier annotation of that name.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Label which concepts images show, by a model; calibrate it on a few hand-made labels and keep its errors."""
    chosen = {}
    for name, text in split_pairs("--threshold", threshold or ()).items():
        try:
            chosen[name] = float(text)
        except ValueError:
            raise UserError(f"`--threshold` must be concept=number; got {name}={text}.") from None
    from genlens.annotate.run import annotate as run
    from genlens.annotators.load import load_annotator

    done = run(
        data, load_annotator(annotator, template=template, device=device), split_names(concepts),
        name=annotator, out=out, thresholds=chosen, labels=labels, counts=counts, folds=folds, batch_size=batch_size,
        seed=seed, overwrite=overwrite, progress=progress_bar(quiet),
    )  # fmt: skip
    if not quiet:
        _print(done)


def _print(done: Labels) -> None:
    from genlens.errors import printable

    width = max(len(name) for name in done.shares)
    for name, share in done.shares.items():
        errors = done.annotation.errors.get(name)
        text = f"  {name:{width}}  present in {share:.1%}, threshold {done.annotation.thresholds[name]:.3g}"
        if errors is not None and errors.n_with and errors.n_without:
            low, high = errors.sensitivity_interval()
            text += f", sensitivity {errors.sensitivity:.3f} [{low:.3f}, {high:.3f}]"
            low, high = errors.specificity_interval()
            text += f", specificity {errors.specificity:.3f} [{low:.3f}, {high:.3f}]"
        print(printable(text))
    if not done.annotation.errors:
        print("How often these labels are wrong is unknown; label some images by hand and pass --labels.")
    print(f"Labels: {done.path}")
