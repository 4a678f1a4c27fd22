"""`genlens rank`: the main job."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from genlens.cli import options
from genlens.cli.loading import load_generator, load_models, progress_bar, ray_workers, read_table
from genlens.cli.texts import fitted, split_long, with_mentions, with_section
from genlens.errors import printable

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
    watch: options.Watch = None,
    section: options.SectionOption = None,
    mentions: options.Mentions = "report",
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
    flip_rows: options.FlipRows = None,
    stop_when_separated: options.StopWhenSeparated = False,
    min_importance: options.MinImportance = 0.01,
    group: options.Group = None,
    given: Annotated[
        str | None,
        typer.Option(
            help="Also permute each concept given others: model, boosting, others, or concepts separated by commas.",
            rich_help_panel=options.PLAN,
        ),
    ] = None,
    shapley: options.ShapleyOption = False,
    shapley_rows: options.ShapleyRows = None,
    placebo_rows: options.PlaceboRows = 200,
    doses: options.DoseCount = None,
    dose: options.DoseValues = None,
    dose_rows: options.DoseRows = None,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    size: options.Size = None,
    scheduler: options.Scheduler = None,
    dtype: options.Dtype = "auto",
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    lora: options.Lora = None,
    lcm: options.Lcm = False,
    tiny_vae: options.TinyVae = None,
    compile: options.Compile = False,
    threads: options.Threads = None,
    long_captions: options.LongCaptions = "refuse",
    engine: options.EngineOption = options.EngineName.local,
    workers: options.Workers = None,
    gpus_per_worker: options.GpusPerWorker = None,
    ray_address: options.RayAddress = None,
    images: options.Images = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Rank the concepts a classifier relies on; writes ranking.csv, result.json, checks.json and report.html."""
    if label_from_classifier == (label is not None):
        raise typer.BadParameter("Give either --label or --label-from-classifier.")
    if engine == options.EngineName.local and (workers or gpus_per_worker or ray_address):
        raise typer.BadParameter("--workers, --gpus-per-worker and --ray-address need --engine ray.")
    how_long, windows = split_long(long_captions)
    table = read_table(
        data, concepts, label, coco=coco, values=values, kinds=kinds, texts=text, caption=caption, context=context,
        cluster=cluster, skip_unreadable=skip_unreadable, max_rows=max_rows, seed=seed, watch=watch,
    )  # fmt: skip
    table, chosen = with_section(table, section)
    table, rules, masked = with_mentions(table, mentions)
    from genlens.classifiers import load_classifier
    from genlens.depict import permutation_importance
    from genlens.metrics import get_scoring
    from genlens.run_folder import RunFolder

    get_scoring(scoring)  # an unknown name is found before any weights are loaded
    load = partial(
        load_generator, generator, num_inference_steps=steps, guidance_scale=guidance, size=size, scheduler=scheduler,
        dtype=dtype, device=device, batch_size=batch_size, lora=lora,
        lcm=lcm or None, tiny_vae=tiny_vae, compile=compile or None, threads=threads,
        windows=windows if windows > 1 else None,
    )  # fmt: skip
    actors = None
    if engine == options.EngineName.ray:
        models = partial(load_models, load, classifier, concept_classifier)
        actors = ray_workers(workers or 2, gpus_per_worker or 0.0, ray_address, models)
    target, model = load_classifier(classifier), load()
    table, shortened = fitted(table, model, how_long)
    result = permutation_importance(
        target,
        table,
        model,
        concept_classifier=None if concept_classifier is None else load_classifier(concept_classifier),
        scoring=scoring, store=out, seed=seed, n_repeats=n_repeats, n_draws=n_draws, n_donors=n_donors,
        noise=noise.value, flip_rows=flip_rows, stop_when_separated=stop_when_separated, min_importance=min_importance,
        groups=options.split_groups(group), given=options.split_given(given), shapley=shapley,
        shapley_rows=shapley_rows, placebo_rows=placebo_rows, doses=options.split_doses(doses, dose),
        dose_rows=dose_rows, images=images, workers=actors, target_class=target_class, batch_size=batch_size,
        overwrite=overwrite, label_from_classifier=label_from_classifier, progress=progress_bar(quiet),
        mention_rules=rules, notes=[*chosen, *masked, *shortened],
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
