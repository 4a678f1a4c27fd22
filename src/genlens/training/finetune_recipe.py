"""How a generator is fine-tuned: numbers that decide its weights, checked once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from genlens.errors import UserError, check_integer

Schedule = Literal["constant", "linear", "cosine"]
"""The rate after its warm-up: as it is, or falling to 0 at the last step."""
Precision = Literal["no", "bf16", "fp16"]
"""Mixed precision of Accelerate; weights and their averages stay float32."""


@dataclass(frozen=True)
class FinetuneRecipe:
    """Everything that decides the weights of a fine-tuned generator, beside the base and the data.

    Attributes:
        steps: updates of the weights.
        batch: images a step, over all processes and micro-batches.
        accumulation: micro-batches a step.
        rate: highest learning rate of AdamW (betas 0.9 and 0.999).
        schedule: of the rate, after `warmup` steps of linear rise.
        warmup: steps.
        weight_decay: of AdamW.
        clip: largest norm of the gradient.
        lora_rank: rank of LoRA on the attention projections; None: all weights of the denoiser are trained.
        ema: share that the average of the weights keeps in a step, in [0, 1).
        min_snr: gamma of min-SNR weighting (Hang et al. 2023, arXiv 2303.09556; 5 is usual); None: no weighting.
        times: least and most noise as shares of the scheduler's times, 0 <= least < most <= 1; times are uniform
            between. A base whose first step is right is left as it is by a `most` below 1.
        high_noise: share of times at the noisiest of these, in [0, 1]. Few-step generators need it.
        caption_dropout: share of captions replaced by "", in [0, 1]; guidance needs it.
        precision: mixed precision.
        gradient_checkpointing: recompute activations in the backward pass: less memory, about a third slower.
        seed: of data order, times, noise and new weights.

    Raises:
        UserError: a value out of its range.
    """

    steps: int = 1000
    batch: int = 16
    accumulation: int = 1
    rate: float = 1e-5
    schedule: Schedule = "constant"
    warmup: int = 0
    weight_decay: float = 1e-2
    clip: float = 1.0
    lora_rank: int | None = None
    ema: float = 0.999
    min_snr: float | None = None
    times: tuple[float, float] = (0.0, 1.0)
    high_noise: float = 0.0
    caption_dropout: float = 0.1
    precision: Precision = "no"
    gradient_checkpointing: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        for name, least in (("steps", 0), ("batch", 1), ("accumulation", 1), ("warmup", 0), ("seed", 0)):
            check_integer(name, getattr(self, name), least)
        if self.lora_rank is not None:
            check_integer("lora_rank", self.lora_rank, 1)
        if self.batch % self.accumulation:
            raise UserError(f"`batch` must be a multiple of `accumulation`; got {self.batch} and {self.accumulation}.")
        for name, low, high in (
            ("high_noise", 0.0, 1.0), ("caption_dropout", 0.0, 1.0), ("ema", 0.0, 1 - 1e-9),
            ("weight_decay", 0.0, 10.0),
        ):  # fmt: skip
            _check_number(name, getattr(self, name), low, high)
        for name in ("rate", "clip"):
            _check_number(name, getattr(self, name), 1e-12, 1e6)
        if not 0 <= self.times[0] < self.times[1] <= 1:
            raise UserError(f"`times` must be two shares, 0 <= least < most <= 1; got {self.times}.")
        if self.min_snr is not None:
            _check_number("min_snr", self.min_snr, 1e-6, 1e6)
        for name, kinds in (("schedule", get_args(Schedule)), ("precision", get_args(Precision))):
            if getattr(self, name) not in kinds:
                raise UserError(f"`{name}` must be one of {', '.join(kinds)}; got {getattr(self, name)!r}.")

    def rate_at(self, step: int) -> float:
        """Learning rate of step 0, 1, …: linear warm-up, then the schedule."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        left = 1 - max(0, step - self.warmup) / max(1, self.steps - self.warmup)
        if self.schedule == "constant":
            return self.rate * rise
        return self.rate * rise * (left if self.schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left)))

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must have been written with to be gone on from: JSON values.

        With a constant rate the number of steps is left out: such a training may be made longer.
        """
        values = asdict(self)
        if self.schedule == "constant":
            del values["steps"]
        return values


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise UserError(f"`{name}` must be a number in [{low:g}, {high:g}]; got {value!r}.")
