"""`genlens rank`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genlens.cli import options
from genlens.cli.loading import load_generator, progress_bar, read_table

TARGET = "Target model"


def rank(
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
    out: Annotated[Path, typer.Option(help="Run folder; the same command again goes on where it stopped.")],
    label: options.Label = None,
    label_from_classifier: Annotated[
        bool,
        typer.Option(
            "--label-from-classifier",
            help="Take the classifier's decision on the real images as the label.",
            rich_help_panel=options.DATA,
        ),
    ] = False,
    coco: options.Coco = None,
    values: options.CocoValues = options.Values.presence,
    kinds: options.Kinds = None,
    text: options.Texts = None,
    caption: options.Caption = None,
    context: options.Context = None,
    cluster: options.Cluster = None,
    skip_unreadable: options.SkipUnreadable = False,
    max_rows: options.MaxRows = None,
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
    n_repeats: options.Repeats = 500,
    n_draws: options.Draws = 1,
    n_donors: options.Donors = 2,
    noise: options.NoiseOption = options.Noise.common,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    size: options.Size = None,
    scheduler: options.Scheduler = None,
    dtype: options.Dtype = "auto",
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    lora: options.Lora = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Rank the concepts a classifier relies on; writes ranking.csv, result.json, checks.json and report.html."""
    if label_from_classifier == (label is not None):
        raise typer.BadParameter("Give either --label or --label-from-classifier.")
    table = read_table(
        data, concepts, label, coco=coco, values=values, kinds=kinds, texts=text, caption=caption, context=context,
        cluster=cluster, skip_unreadable=skip_unreadable, max_rows=max_rows, seed=seed,
    )  # fmt: skip
    from genlens.classifiers import load_classifier
    from genlens.depict import permutation_importance
    from genlens.metrics import get_scoring

    get_scoring(scoring)  # an unknown name is found before any weights are loaded
    result = permutation_importance(
        load_classifier(classifier),
        table,
        load_generator(
            generator, num_inference_steps=steps, guidance_scale=guidance, size=size, scheduler=scheduler,
            dtype=dtype, device=device, batch_size=batch_size, lora=lora,
        ),
        concept_classifier=None if concept_classifier is None else load_classifier(concept_classifier),
        scoring=scoring, store=out, seed=seed, n_repeats=n_repeats, n_draws=n_draws, n_donors=n_donors,
        noise=noise.value, target_class=target_class, batch_size=batch_size, overwrite=overwrite,
        label_from_classifier=label_from_classifier, progress=progress_bar(quiet),
    )  # fmt: skip
    result.save(out)
    report = result.to_html(out / "report.html")
    if not quiet:
        from genlens.reports.terminal import print_result

        print_result(result)
        if table.skipped:
            print(f"Left out {len(table.skipped)} rows whose image could not be read, such as {table.skipped[0]}.")
        print(f"Report: {report}")
