"""`genlens train-generator`: fine-tune a diffusers pipeline on captioned images, and make it one of a few steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genlens.cli import options
from genlens.cli.groups import grouped
from genlens.cli.loading import pipeline_source, progress_bar
from genlens.cli.table_options import TableOptions
from genlens.cli.training_options import DistillOptions, TrainingOptions, WatchOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genlens.concepts import ConceptTable
    from genlens.training.finetune_data import CaptionedImages
    from genlens.training.finetune_quality import QualityProbe, QualityRow
    from genlens.training.finetune_run import Trained


@grouped
def train_generator(
    *,
    data: options.Data,
    base: Annotated[str, typer.Option(help="Folder or hub id of the pipeline to start from; shapes; scenes.")],
    out: Annotated[Path, typer.Option(help="Folder of the training; the same command again goes on.")],
    concepts: Annotated[
        str | None,
        typer.Option(help="Columns (with --coco, categories) that captions are made of.", rich_help_panel=options.DATA),
    ] = None,
    caption_column: Annotated[
        str | None,
        typer.Option(help="Column with finished captions, instead of a template.", rich_help_panel=options.DATA),
    ] = None,
    columns: TableOptions,
    training: TrainingOptions,
    watch: WatchOptions,
    distillation: DistillOptions,
    seed: options.Seed = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Fine-tune a text-to-image pipeline on captioned images; the result is a diffusers pipeline or LoRA weights."""
    if (concepts is None) == (caption_column is None):
        raise typer.BadParameter("Give either --concepts or --caption-column.")
    if watch.concept_classifier is not None and (concepts is None or not watch.held_out):
        raise typer.BadParameter("--concept-classifier needs --concepts and --held-out.")
    if not training.steps and not distillation.distill:
        raise typer.BadParameter("--steps 0 needs --distill.")
    table = None if concepts is None else columns.read(data, concepts, None, seed)
    recipe = training.recipe(seed)
    if training.threads is not None:
        import torch

        torch.set_num_threads(training.threads)
    train, watched, probe = _data(data, caption_column, table, watch, seed)
    from genlens.training.distill import distill_generator
    from genlens.training.finetune import train_generator as fine_tune

    common: dict[str, Any] = {
        "held_out": watched, "probe": probe, "schedule": watch.schedule(), "size": training.size,
        "device": training.device.value, "overwrite": overwrite, "progress": progress_bar(quiet),
    }  # fmt: skip
    source = pipeline_source(base)
    if recipe.steps:
        trained = fine_tune(train, source, out, recipe, merge=training.merge or distillation.distill, **common)
        if not quiet:
            _print(trained)
        source = str(out / "pipeline")
    if distillation.distill:
        distilled = distill_generator(
            train, source, out / "distill", distillation.recipe(recipe), guidance=distillation.teacher_guidance,
            few_steps=distillation.few_steps, **common,
        )  # fmt: skip
        if not quiet:
            _print(distilled)


def _data(
    folder: Path, column: str | None, table: ConceptTable | None, watch: WatchOptions, seed: int
) -> tuple[CaptionedImages, CaptionedImages | None, QualityProbe | None]:
    """Rows to train on, rows held out, and what measures pictures of these."""
    from genlens.training.finetune_data import from_column, from_table, split

    images = from_table(table) if table is not None else from_column(folder, str(column))
    train, kept = split(len(images), watch.held_out, seed)
    watched = images.take(kept) if kept else None
    probe = None
    if watch.concept_classifier is not None and table is not None and watched is not None:
        from genlens.classifiers import load_classifier
        from genlens.training.finetune_quality import QualityProbe

        probe = QualityProbe(table, kept, watched, load_classifier(watch.concept_classifier), seed)
    return images.take(train), watched, probe


def _print(trained: Trained) -> None:
    """Where the result is; the first and the last quality card."""
    if len(trained.cards) > 1:
        _print_cards(trained.cards[0], trained.cards[-1])
    if trained.gain is not None:
        gain = trained.gain
        interval = f"95% interval {gain.low:+.3f} to {gain.high:+.3f}, over captions"
        print(f"  gain in the mean: {gain.value:+.3f} ({interval})")
    for name, path in (("LoRA weights", trained.lora), ("Pipeline", trained.pipeline)):
        if path is not None:
            print(f"{name}: {path}")


def _print_cards(first: Sequence[QualityRow], last: Sequence[QualityRow]) -> None:
    from genlens.errors import printable

    width = max(len(row.concept) for row in first)
    print(f"Concept AUROC on held-out rows: real images, generated at step {first[0].step:,} and {last[0].step:,}")
    for before, after in zip(first, last, strict=True):
        figures = f"{before.real:.3f}  {before.generated:.3f}  {after.generated:.3f}"
        print(printable(f"  {before.concept:{width}}  {figures}"))
