"""`genlens rank`: the main job."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from genlens.cli import options
from genlens.cli.grammar import split_given
from genlens.cli.groups import grouped
from genlens.cli.loading import load_models, progress_bar
from genlens.cli.plan_options import ExtraOptions, FlipOptions, SamplingOptions, ScaleOptions
from genlens.cli.render_options import RunRenderOptions
from genlens.cli.table_options import RankedTableOptions
from genlens.cli.texts import fitted
from genlens.errors import printable

TARGET = "Target model"


@grouped
def rank(
    *,
    data: options.Data,
    concepts: options.Concepts,
    classifier: Annotated[
        str,
        typer.Option(help="file.py:function, model.onnx, hf:ID, timm:NAME or bundled:NAME.", rich_help_panel=TARGET),
    ],
    generator: Annotated[
        str,
        typer.Option(help="Folder or hub id of a diffusers pipeline; shapes; drawer.", rich_help_panel=options.MODEL),
    ],
    out: options.RunFolderOut,
    label: options.Label = None,
    label_from_classifier: Annotated[
        bool,
        typer.Option(
            "--label-from-classifier",
            help="Take the classifier's decision on the real images as the label.",
            rich_help_panel=options.DATA,
        ),
    ] = False,
    columns: RankedTableOptions,
    target_class: Annotated[
        int | None,
        typer.Option(min=0, help="Output to explain, where there are three or more.", rich_help_panel=TARGET),
    ] = None,
    concept_classifier: Annotated[
        str | None,
        typer.Option(
            help="Independent classifier with one output a concept, for the checks; written as --classifier.",
            rich_help_panel=TARGET,
        ),
    ] = None,
    scoring: Annotated[str, typer.Option(help="Any scorer of scikit-learn.", rich_help_panel=TARGET)] = "roc_auc",
    sampling: SamplingOptions,
    flips: FlipOptions,
    given: Annotated[
        str | None,
        typer.Option(
            help="Also permute each concept given others: model, boosting, others, or concepts separated by commas.",
            rich_help_panel=options.PLAN,
        ),
    ] = None,
    extra: ExtraOptions,
    render: RunRenderOptions,
    scale: ScaleOptions,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Rank the concepts a classifier relies on; writes ranking.csv, result.json, checks.json and report.html."""
    if label_from_classifier == (label is not None):
        raise typer.BadParameter("Give either --label or --label-from-classifier.")
    table, rules, notes = columns.read_with_notes(data, concepts, label, seed)
    from genlens.classifiers import load_classifier
    from genlens.depict import permutation_importance
    from genlens.metrics import get_scoring
    from genlens.run_folder import RunFolder

    get_scoring(scoring)  # an unknown name is found before any weights are loaded
    load = partial(render.load, generator)
    actors = scale.actors(partial(load_models, load, classifier, concept_classifier))
    target, model = load_classifier(classifier), load()
    table, shortened = fitted(table, model, render.long_captions)
    checker = None if concept_classifier is None else load_classifier(concept_classifier)
    result = permutation_importance(
        target, table, model, concept_classifier=checker, scoring=scoring, store=out, seed=seed,
        n_repeats=sampling.n_repeats, **sampling.seeding(), flip_rows=flips.flip_rows,
        stop_when_separated=flips.stop_when_separated, min_importance=flips.min_importance, given=split_given(given),
        **extra.arguments(), images=scale.images, workers=actors, target_class=target_class,
        batch_size=render.batch_size, overwrite=overwrite, label_from_classifier=label_from_classifier,
        progress=progress_bar(quiet), mention_rules=rules, notes=[*notes, *shortened],
    )  # fmt: skip
    with RunFolder(out).lock():  # two processes' files must not mix
        result.save(out)
        report = result.to_html(out / "report.html")
    if not quiet:
        from genlens.reports.terminal import print_result

        print_result(result)
        if table.skipped:
            print(printable(f"Left out {len(table.skipped)} unreadable images, such as {table.skipped[0]}."))
        print(f"Report: {report}")
