"""`genlens train-generator`: fine-tune a diffusers pipeline on captioned images, and make it one of a few steps."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genlens.cli import options
from genlens.cli.loading import SCENES, SHAPES, progress_bar, read_table, shipped_pipeline
from genlens.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genlens.concepts import ConceptTable
    from genlens.training.finetune_data import CaptionedImages
    from genlens.training.finetune_quality import QualityProbe, QualityRow
    from genlens.training.finetune_recipe import FinetuneRecipe
    from genlens.training.finetune_run import Trained

TRAINING, WATCHING, DISTILLATION = "Training", "Checkpoints and quality", "Distillation"


class Rates(StrEnum):
    """How the learning rate goes on after the warm-up."""

    constant = "constant"
    linear = "linear"
    cosine = "cosine"


class Precisions(StrEnum):
    """Mixed precision."""

    no = "no"
    bf16 = "bf16"
    fp16 = "fp16"


class TrainingDevice(StrEnum):
    """Where it trains."""

    auto = "auto"
    cpu = "cpu"


def train_generator(
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
    coco: options.Coco = None,
    values: options.CocoValues = options.Values.presence,
    kinds: options.Kinds = None,
    text: options.Texts = None,
    caption: options.Caption = None,
    context: options.Context = None,
    skip_unreadable: options.SkipUnreadable = False,
    max_rows: options.MaxRows = None,
    steps: Annotated[int, typer.Option(min=0, help="Updates of the weights.", rich_help_panel=TRAINING)] = 1000,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a step, all told.", rich_help_panel=TRAINING)] = 16,
    accumulation: Annotated[
        int, typer.Option(min=1, help="Micro-batches a step: the same result in less memory.", rich_help_panel=TRAINING)
    ] = 1,
    rate: Annotated[
        float | None, typer.Option(help="Learning rate; 1e-5, with --lora 1e-4.", rich_help_panel=TRAINING)
    ] = None,
    schedule: Annotated[
        Rates, typer.Option(help="Of the learning rate, after the warm-up.", rich_help_panel=TRAINING)
    ] = Rates.constant,
    warmup: Annotated[int, typer.Option(min=0, help="Steps of rising rate.", rich_help_panel=TRAINING)] = 0,
    lora: Annotated[
        int | None, typer.Option(min=1, help="Train LoRA weights of this rank only.", rich_help_panel=TRAINING)
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="With --lora, also write the merged pipeline.", rich_help_panel=TRAINING)
    ] = False,
    ema: Annotated[
        float, typer.Option(help="Share that the average of the weights keeps.", rich_help_panel=TRAINING)
    ] = 0.999,
    min_snr: Annotated[
        float | None, typer.Option(help="Gamma of min-SNR weighting; 5 is usual.", rich_help_panel=TRAINING)
    ] = None,
    times: Annotated[
        str, typer.Option(help="Least and most noise trained at, as shares of the times.", rich_help_panel=TRAINING)
    ] = "0,1",
    high_noise: Annotated[
        float, typer.Option(help="Share of times at the most noise, for few-step pipelines.", rich_help_panel=TRAINING)
    ] = 0.0,
    caption_dropout: Annotated[
        float, typer.Option(help="Share of captions left empty, for guidance.", rich_help_panel=TRAINING)
    ] = 0.1,
    precision: Annotated[Precisions, typer.Option(help="Mixed precision.", rich_help_panel=TRAINING)] = Precisions.no,
    gradient_checkpointing: Annotated[
        bool,
        typer.Option("--gradient-checkpointing", help="Less memory, a third slower.", rich_help_panel=TRAINING),
    ] = False,
    size: options.Size = None,
    device: Annotated[
        TrainingDevice, typer.Option(help="auto, or cpu.", rich_help_panel=TRAINING)
    ] = TrainingDevice.auto,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.", rich_help_panel=TRAINING)] = None,
    held_out: Annotated[
        int, typer.Option(min=0, help="Rows kept for pictures and the quality card.", rich_help_panel=WATCHING)
    ] = 64,
    concept_classifier: Annotated[
        str | None,
        typer.Option(help="Measures the quality card; one output a concept.", rich_help_panel=WATCHING),
    ] = None,
    validate_every: Annotated[
        int, typer.Option(min=0, help="Steps between two cards; 0: start and end only.", rich_help_panel=WATCHING)
    ] = 0,
    checkpoint_every: Annotated[
        int, typer.Option(min=1, help="Steps between two checkpoints.", rich_help_panel=WATCHING)
    ] = 200,
    keep: Annotated[int, typer.Option(min=1, help="Checkpoints kept.", rich_help_panel=WATCHING)] = 2,
    render_steps: Annotated[
        int | None, typer.Option(min=1, help="Denoising steps of the pictures.", rich_help_panel=WATCHING)
    ] = None,
    render_guidance: Annotated[
        float | None, typer.Option(min=0.0, help="Guidance of the pictures.", rich_help_panel=WATCHING)
    ] = None,
    distill: Annotated[
        bool,
        typer.Option("--distill", help="Then make it a few-step pipeline (LCM).", rich_help_panel=DISTILLATION),
    ] = False,
    distill_steps: Annotated[
        int, typer.Option(min=1, help="Updates of the distillation.", rich_help_panel=DISTILLATION)
    ] = 1000,
    few_steps: Annotated[
        int, typer.Option(min=1, help="Denoising steps of the result.", rich_help_panel=DISTILLATION)
    ] = 4,
    teacher_guidance: Annotated[
        float | None, typer.Option(min=1.0, help="Guidance of the teacher.", rich_help_panel=DISTILLATION)
    ] = None,
    seed: options.Seed = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Fine-tune a text-to-image pipeline on captioned images; the result is a diffusers pipeline or LoRA weights."""
    if (concepts is None) == (caption_column is None):
        raise typer.BadParameter("Give either --concepts or --caption-column.")
    if concept_classifier is not None and (concepts is None or not held_out):
        raise typer.BadParameter("--concept-classifier needs --concepts and --held-out.")
    if merge and lora is None:
        raise typer.BadParameter("--merge needs --lora.")
    if not steps and not distill:
        raise typer.BadParameter("--steps 0 needs --distill.")
    table = None
    if concepts is not None:
        table = read_table(
            data, concepts, None, coco=coco, values=values, kinds=kinds, texts=text, caption=caption, context=context,
            cluster=None, skip_unreadable=skip_unreadable, max_rows=max_rows, seed=seed,
        )  # fmt: skip
    from genlens.training.finetune_recipe import FinetuneRecipe

    recipe = FinetuneRecipe(
        steps=steps, batch=batch_size, accumulation=accumulation,
        rate=(1e-5 if lora is None else 1e-4) if rate is None else rate, schedule=schedule.value, warmup=warmup,
        lora_rank=lora, ema=ema, min_snr=min_snr, times=_range(times), high_noise=high_noise,
        caption_dropout=caption_dropout, precision=precision.value, gradient_checkpointing=gradient_checkpointing,
        seed=seed,
    )  # fmt: skip
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    train, watched, probe = _data(data, caption_column, table, held_out, concept_classifier, seed)
    from genlens.training.finetune_run import Schedule

    watch = Schedule(checkpoint_every, keep, validate_every, render_steps, render_guidance)
    common: dict[str, Any] = {
        "held_out": watched, "probe": probe, "schedule": watch, "size": size, "device": device.value,
        "overwrite": overwrite, "progress": progress_bar(quiet),
    }  # fmt: skip
    _run(train, _source(base), out, recipe, merge, distill, distill_steps, few_steps, teacher_guidance, quiet, common)


def _run(
    data: CaptionedImages, base: str, out: Path, recipe: FinetuneRecipe, merge: bool, distill: bool, distill_steps: int,
    few_steps: int, guidance: float | None, quiet: bool, common: dict[str, Any],
) -> None:  # fmt: skip
    """Fine-tune, then distil if that is asked for."""
    from dataclasses import replace

    from genlens.training.distill import distill_generator
    from genlens.training.finetune import train_generator

    teacher = base
    if recipe.steps:
        trained = train_generator(data, base, out, recipe, merge=merge or distill, **common)
        if not quiet:
            _print(trained)
        teacher = str(out / "pipeline")
    if distill:
        longer = replace(recipe, steps=distill_steps, lora_rank=None)
        distilled = distill_generator(
            data, teacher, out / "distill", longer, guidance=guidance, few_steps=few_steps, **common
        )
        if not quiet:
            _print(distilled)


def _range(text: str) -> tuple[float, float]:
    """"0,0.7" -> (0.0, 0.7)."""
    try:
        least, most = (float(part) for part in options.split_names(text))
    except ValueError:
        raise UserError(f"`--times` must be two shares, such as 0,0.7; got {text!r}.") from None
    return least, most


def _source(base: str) -> str:
    return str(shipped_pipeline(base)) if base in (SHAPES, SCENES) else base


def _data(
    folder: Path, column: str | None, table: ConceptTable | None, n_held_out: int, classifier: str | None, seed: int
) -> tuple[CaptionedImages, CaptionedImages | None, QualityProbe | None]:
    """Rows to train on, rows held out, and what measures pictures of these."""
    from genlens.training.finetune_data import from_column, from_table, split

    images = from_table(table) if table is not None else from_column(folder, str(column))
    train, kept = split(len(images), n_held_out, seed)
    watched = images.take(kept) if kept else None
    probe = None
    if classifier is not None and table is not None and watched is not None:
        from genlens.classifiers import load_classifier
        from genlens.training.finetune_quality import QualityProbe

        probe = QualityProbe(table, kept, watched, load_classifier(classifier), seed)
    return images.take(train), watched, probe


def _print(trained: Trained) -> None:
    """Where the result is; the first and the last quality card."""
    if len(trained.cards) > 1:
        _print_cards(trained.cards[0], trained.cards[-1])
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
