"""How a generator is fine-tuned, watched and distilled: options of `genlens train-generator`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from genlens.cli import options
from genlens.cli.grammar import split_names
from genlens.errors import UserError

if TYPE_CHECKING:
    from genlens.training.finetune_recipe import FinetuneRecipe
    from genlens.training.finetune_run import Schedule

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


@dataclass(frozen=True)
class TrainingOptions:
    """What decides the weights, and what they are computed on."""

    steps: Annotated[int, typer.Option(min=0, help="Updates of the weights.", rich_help_panel=TRAINING)] = 1000
    batch_size: Annotated[int, typer.Option(min=1, help="Images a step, all told.", rich_help_panel=TRAINING)] = 16
    accumulation: Annotated[
        int, typer.Option(min=1, help="Micro-batches a step: the same result in less memory.", rich_help_panel=TRAINING)
    ] = 1
    rate: Annotated[
        float | None, typer.Option(help="Learning rate; 1e-5, with --lora 1e-4.", rich_help_panel=TRAINING)
    ] = None
    schedule: Annotated[
        Rates, typer.Option(help="Of the learning rate, after the warm-up.", rich_help_panel=TRAINING)
    ] = Rates.constant
    warmup: Annotated[int, typer.Option(min=0, help="Steps of rising rate.", rich_help_panel=TRAINING)] = 0
    lora: Annotated[
        int | None, typer.Option(min=1, help="Train LoRA weights of this rank only.", rich_help_panel=TRAINING)
    ] = None
    merge: Annotated[
        bool, typer.Option("--merge", help="With --lora, also write the merged pipeline.", rich_help_panel=TRAINING)
    ] = False
    ema: Annotated[
        float, typer.Option(help="Share that the average of the weights keeps.", rich_help_panel=TRAINING)
    ] = 0.999
    min_snr: Annotated[
        float | None, typer.Option(help="Gamma of min-SNR weighting; 5 is usual.", rich_help_panel=TRAINING)
    ] = None
    times: Annotated[
        str, typer.Option(help="Least and most noise trained at, as shares of the times.", rich_help_panel=TRAINING)
    ] = "0,1"
    high_noise: Annotated[
        float, typer.Option(help="Share of times at the most noise, for few-step pipelines.", rich_help_panel=TRAINING)
    ] = 0.0
    caption_dropout: Annotated[
        float, typer.Option(help="Share of captions left empty, for guidance.", rich_help_panel=TRAINING)
    ] = 0.1
    precision: Annotated[Precisions, typer.Option(help="Mixed precision.", rich_help_panel=TRAINING)] = Precisions.no
    gradient_checkpointing: Annotated[
        bool,
        typer.Option("--gradient-checkpointing", help="Less memory, a third slower.", rich_help_panel=TRAINING),
    ] = False
    size: options.Size = None
    device: Annotated[
        TrainingDevice, typer.Option(help="auto, or cpu.", rich_help_panel=TRAINING)
    ] = TrainingDevice.auto
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.", rich_help_panel=TRAINING)] = None

    def __post_init__(self) -> None:
        """Refuse `--merge` without LoRA."""
        if self.merge and self.lora is None:
            raise typer.BadParameter("--merge needs --lora.")

    def recipe(self, seed: int) -> FinetuneRecipe:
        """The recipe; its rate is ten times as high for LoRA where none is given.

        Raises:
            UserError: a value out of its range.
        """
        from genlens.training.finetune_recipe import FinetuneRecipe

        usual = 1e-5 if self.lora is None else 1e-4
        return FinetuneRecipe(
            steps=self.steps, batch=self.batch_size, accumulation=self.accumulation,
            rate=usual if self.rate is None else self.rate, schedule=self.schedule.value, warmup=self.warmup,
            lora_rank=self.lora, ema=self.ema, min_snr=self.min_snr, times=_range(self.times),
            high_noise=self.high_noise, caption_dropout=self.caption_dropout, precision=self.precision.value,
            gradient_checkpointing=self.gradient_checkpointing, seed=seed,
        )  # fmt: skip


@dataclass(frozen=True)
class WatchOptions:
    """What is kept and measured on the way."""

    held_out: Annotated[
        int, typer.Option(min=0, help="Rows kept for pictures and the quality card.", rich_help_panel=WATCHING)
    ] = 64
    concept_classifier: Annotated[
        str | None,
        typer.Option(help="Measures the quality card; one output a concept.", rich_help_panel=WATCHING),
    ] = None
    validate_every: Annotated[
        int, typer.Option(min=0, help="Steps between two cards; 0: start and end only.", rich_help_panel=WATCHING)
    ] = 0
    checkpoint_every: Annotated[
        int, typer.Option(min=1, help="Steps between two checkpoints.", rich_help_panel=WATCHING)
    ] = 200
    keep: Annotated[int, typer.Option(min=1, help="Checkpoints kept.", rich_help_panel=WATCHING)] = 2
    render_steps: Annotated[
        int | None, typer.Option(min=1, help="Denoising steps of the pictures.", rich_help_panel=WATCHING)
    ] = None
    render_guidance: Annotated[
        float | None, typer.Option(min=0.0, help="Guidance of the pictures.", rich_help_panel=WATCHING)
    ] = None

    def schedule(self) -> Schedule:
        """When checkpoints and cards are made."""
        from genlens.training.finetune_run import Schedule

        return Schedule(
            self.checkpoint_every, self.keep, self.validate_every, self.render_steps, self.render_guidance
        )


@dataclass(frozen=True)
class DistillOptions:
    """What makes a few-step pipeline of the result."""

    distill: Annotated[
        bool,
        typer.Option("--distill", help="Then make it a few-step pipeline (LCM).", rich_help_panel=DISTILLATION),
    ] = False
    distill_steps: Annotated[
        int, typer.Option(min=1, help="Updates of the distillation.", rich_help_panel=DISTILLATION)
    ] = 1000
    few_steps: Annotated[
        int, typer.Option(min=1, help="Denoising steps of the result.", rich_help_panel=DISTILLATION)
    ] = 4
    teacher_guidance: Annotated[
        float | None, typer.Option(min=1.0, help="Guidance of the teacher.", rich_help_panel=DISTILLATION)
    ] = None

    def recipe(self, training: FinetuneRecipe) -> FinetuneRecipe:
        """The distillation's recipe: as many steps as asked for, on all weights."""
        return replace(training, steps=self.distill_steps, lora_rank=None)


def _range(text: str) -> tuple[float, float]:
    """"0,0.7" -> (0.0, 0.7)."""
    try:
        least, most = (float(part) for part in split_names(text))
    except ValueError:
        raise UserError(f"`--times` must be two shares, such as 0,0.7; got {text!r}.") from None
    return least, most
