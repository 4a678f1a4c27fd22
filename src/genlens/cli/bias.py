"""`genlens bias`: does a class go with an attribute that has nothing to do with it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from genlens.cli import options
from genlens.cli.grammar import split_names, split_pairs
from genlens.cli.groups import grouped
from genlens.cli.loading import progress_bar
from genlens.cli.options import PROMPT
from genlens.cli.render_options import RenderOptions
from genlens.errors import UserError

if TYPE_CHECKING:
    from genlens.findings.bias import Attribute

ATTRIBUTE = "Attribute"
SEGMENT = "segment:"
"""Before a segmenter, written as --segmenter of `genlens spurious`; its texts are the values."""


@dataclass(frozen=True)
class PromptOptions:
    """How soft prompts are optimised."""

    restarts: Annotated[
        int, typer.Option(min=5, help="Prompts optimised; each is one observation.", rich_help_panel=PROMPT)
    ] = 8
    iterations: Annotated[
        int, typer.Option(min=1, help="Most steps of the optimisation.", rich_help_panel=PROMPT)
    ] = 60
    tokens: options.Tokens = 3
    template: Annotated[
        str | None,
        typer.Option(
            help='Caption with one {}; "a picture of a {}" where the words are known.', rich_help_panel=PROMPT
        ),
    ] = None
    rate: options.Rate = 0.1
    batch: options.Batch = 2
    last_steps: options.LastSteps = 1


@grouped
def bias(
    *,
    target: Annotated[str, typer.Argument(help="A class, by number or name.")],
    classifier: Annotated[
        str, typer.Option(help="file.py:function, hf:ID, timm:NAME or bundled:NAME; with gradients unless --direct.")
    ],
    generator: Annotated[
        str,
        typer.Option(
            help="Folder or hub id of a diffusers pipeline; shapes; scenes; with --direct also drawer.",
            rich_help_panel=options.MODEL,
        ),
    ],
    out: options.RunFolderOut,
    attribute: Annotated[
        list[str],
        typer.Option(
            "--attribute",
            help="NAME=CLASSIFIER that labels pictures, one column a value, or NAME=segment:SEGMENTER. Repeatable.",
            rich_help_panel=ATTRIBUTE,
        ),
    ],
    neutral: Annotated[
        list[str],
        typer.Option("--neutral", help="Caption that says nothing of class or attribute, or all equally. Repeatable."),
    ],
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--values",
            help="NAME=value,value: names of the attribute's columns. Repeatable.",
            rich_help_panel=ATTRIBUTE,
        ),
    ] = None,
    class_caption: Annotated[
        list[str] | None, typer.Option("--class-caption", help="Caption with the class's name. Repeatable.")
    ] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="No optimiser: target score of neutral pictures by attribute only.")
    ] = False,
    controls: Annotated[
        bool, typer.Option("--controls/--no-controls", help="Also maximise other classes, to compare with.")
    ] = True,
    prompt: PromptOptions,
    n_images: Annotated[int, typer.Option("--images", min=1, help="Pictures of each restart.")] = 24,
    n_neutral: Annotated[int, typer.Option("--neutral-images", min=20, help="Pictures of the neutral captions.")] = 400,
    alpha: Annotated[float, typer.Option(help="Level, corrected over the attributes.")] = 0.05,
    render: RenderOptions,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Find biases of a class: attribute shares in pictures that maximise it, against neutral and other classes'."""
    named = split_pairs("--attribute", attribute)
    columns = {name: split_names(text) for name, text in split_pairs("--values", values or ()).items()}
    strange = sorted(set(columns) - set(named))
    if strange:
        raise UserError(f"`--values` names {strange[0]!r}, which no --attribute does.")
    from genlens.bias_run import BiasOptions, find_bias
    from genlens.classifiers import load_classifier
    from genlens.reports.bias import print_bias, write_bias
    from genlens.run_folder import RunFolder

    chosen = BiasOptions(
        direct=direct, controls=controls, restarts=prompt.restarts, iterations=prompt.iterations, batch=prompt.batch,
        rate=prompt.rate, n_tokens=prompt.tokens, template=prompt.template, last_steps=prompt.last_steps or None,
        n_images=n_images, n_neutral=n_neutral, alpha=alpha, seed=seed,
    )  # fmt: skip
    attributes = [_attribute(name, spec, columns.get(name, ())) for name, spec in named.items()]
    source = render.load(generator)
    result = find_bias(
        load_classifier(classifier), source, target, attributes, out, neutral=neutral,
        class_captions=class_caption or (), options=chosen, overwrite=overwrite, progress=progress_bar(quiet),
    )  # fmt: skip
    with RunFolder(out).lock():
        command = f"genlens bias {target!r} --classifier {classifier} --generator {generator} --out {out}"
        report = write_bias(result, out, command)
    if not quiet:
        print_bias(result)
        print(f"Report: {report}")


def _attribute(name: str, spec: str, values: Sequence[str]) -> Attribute:
    """The attribute of ``NAME=CLASSIFIER``; values are named as given, else as the classifier names its outputs."""
    from genlens.classifiers import load_classifier
    from genlens.findings.bias import Attribute

    if spec.startswith(SEGMENT):
        from genlens.findings.bias_attributes import segmenter_attribute
        from genlens.segmenters import load_segmenter

        return segmenter_attribute(name, values, load_segmenter(spec.removeprefix(SEGMENT)))
    model = load_classifier(spec)
    own = tuple(getattr(model, "class_names", ()) or getattr(model, "concept_names", ()))
    if not values and not own:
        raise UserError(f"The classifier of {name!r} doesn't name its columns; give --values {name}=first,second.")
    return Attribute(name, tuple(values) or own, model)
