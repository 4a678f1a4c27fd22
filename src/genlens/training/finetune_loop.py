"""The loop: one step after another, each a function of the seed and its number; yields what happened."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from genlens.errors import UserError
from genlens.memory import is_out_of_memory
from genlens.seeds import row_seed
from genlens.training.ema import Ema
from genlens.training.finetune_data import CaptionedImages, rows_of
from genlens.training.finetune_loss import Predict
from genlens.training.finetune_parts import Parts
from genlens.training.finetune_recipe import FinetuneRecipe

CACHE_BYTES = 2**31
"""Encoded images are kept up to this size; more of them are encoded again whenever they are used."""
_ENCODED_TOGETHER = 16


class Loss(Protocol):
    """What is minimised."""

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """Times of n rows, int64 (n,)."""

    def __call__(self, model: Any, latents: Tensor, noise: Tensor, times: Tensor, predict: Predict) -> Tensor:
        """Loss of each row, (B,)."""

    def after_step(self) -> None:
        """The weights have changed."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold of it."""

    def load(self, state: dict[str, Tensor]) -> None:
        """Inverse of `state`."""


@dataclass(frozen=True)
class Step:
    """What one step did: its number from 1, its batch's mean loss, the gradient's norm before clipping, the rate."""

    number: int
    loss: float
    norm: float
    rate: float


class Loop:
    """Model, averages, optimiser and step: all that a checkpoint holds.

    Rows, times, noise and dropped captions of a step are drawn from generators seeded by (seed, step), for the whole
    batch, before it is divided among micro-batches and processes. So they depend neither on the division nor on
    whether the training was stopped in between.

    Args:
        parts: the pipeline; parameters of its denoiser that ask for a gradient are trained.
        data: what it is trained on.
        size: (height, width) in pixels.
        loss: what is minimised.
        recipe: everything else.
        accelerator: of Accelerate, with the recipe's precision and accumulation.
    """

    def __init__(
        self,
        parts: Parts,
        data: CaptionedImages,
        size: tuple[int, int],
        loss: Loss,
        recipe: FinetuneRecipe,
        accelerator: Any,
    ) -> None:
        if recipe.batch % (recipe.accumulation * accelerator.num_processes):
            raise UserError(
                f"`batch` must be a multiple of `accumulation` times {accelerator.num_processes} processes; "
                f"got {recipe.batch} and {recipe.accumulation}."
            )
        self.parts, self.data, self.size, self.loss, self.recipe = parts, data, size, loss, recipe
        self.accelerator = accelerator
        self.trained = {name: value for name, value in parts.denoiser.named_parameters() if value.requires_grad}
        self.average = Ema(self.trained, recipe.ema)
        optimizer = torch.optim.AdamW(
            list(self.trained.values()), lr=recipe.rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.999)
        )
        if recipe.gradient_checkpointing:
            parts.denoiser.enable_gradient_checkpointing()
        self._model, self._optimizer = accelerator.prepare(parts.denoiser, optimizer)
        self.step = 0
        self._cache: Tensor | None = None

    def state(self) -> dict[str, Any]:
        """A checkpoint: tensors and numbers only."""
        scaler = self.accelerator.scaler
        return {
            "step": self.step,
            "weights": {name: value.detach() for name, value in self.trained.items()},
            "average": self.average.values,
            "optimizer": self._optimizer.state_dict(),
            "loss": self.loss.state(),
            "scaler": None if scaler is None else scaler.state_dict(),
        }

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            UserError: it belongs to another model.
        """
        if set(state["weights"]) != set(self.trained):
            raise UserError("The checkpoint belongs to another model. Choose another folder or pass --overwrite.")
        for name, value in self.trained.items():
            value.copy_(state["weights"][name])
        self.average.load(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.loss.load(state["loss"])
        if state["scaler"] is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step = int(state["step"])

    def encode_all(self) -> Iterator[int]:
        """Encode all images once if there is room for what comes of it; yields how many were encoded at a time."""
        first = self.parts.moments(self.data.pixels([0], self.size))
        if len(self.data) * first.numel() * first.element_size() > CACHE_BYTES:
            return
        found = []
        for start in range(0, len(self.data), _ENCODED_TOGETHER):
            rows = range(start, min(start + _ENCODED_TOGETHER, len(self.data)))
            found.append(self.parts.moments(self.data.pixels(rows, self.size)).cpu())
            yield len(rows)
        self._cache = torch.cat(found)

    def run(self) -> Iterator[Step]:
        """Train from `step` to the recipe's last one.

        Raises:
            UserError: the loss isn't a number, or the memory doesn't hold a micro-batch.
        """
        self._model.train()
        with ThreadPoolExecutor(1) as reader:
            ready = self._read(reader, self.step)
            while self.step < self.recipe.steps:
                pixels, ready = ready, self._read(reader, self.step + 1)
                yield self._learn(None if pixels is None else pixels.result())

    def _read(self, reader: ThreadPoolExecutor, step: int) -> Future[Tensor] | None:
        """Begin to read the images of a step; None where they are encoded already."""
        if self._cache is not None or step >= self.recipe.steps:
            return None
        return reader.submit(self.data.pixels, self._rows(step), self.size)

    def _rows(self, step: int) -> list[int]:
        return rows_of(step, self.recipe.batch, len(self.data), self.recipe.seed)

    def _learn(self, pixels: Tensor | None) -> Step:
        """One update."""
        recipe, rows = self.recipe, self._rows(self.step)
        seed = row_seed(recipe.seed, "training step", draw=self.step)
        rng = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # dropout inside the model
        times = self.loss.draw(len(rows), rng)
        silent = torch.rand(len(rows), generator=rng) < recipe.caption_dropout
        latents = self.parts.latents(self._moments(rows, pixels), rng)
        noise = torch.randn(latents.shape, generator=rng)
        captions = ["" if gone else self.data.captions[row] for row, gone in zip(rows, silent.tolist(), strict=True)]
        rate = recipe.rate_at(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        total, norm = 0.0, float("nan")
        for part in self._parts_of(len(rows)):
            loss, norm = self._micro_batch(part, latents, noise, times, captions)
            total += loss / recipe.accumulation
        total = float(self.accelerator.reduce(torch.tensor(total, device=self.accelerator.device), "mean"))
        if not math.isfinite(total):
            raise UserError(
                f"The loss of step {self.step + 1} isn't a number; the last checkpoint is before it. Lower the rate, "
                "or train with precision bf16 or no."
            )
        self.step += 1
        self.average.update(self.step)
        self.loss.after_step()
        return Step(self.step, total, norm, rate)

    def _moments(self, rows: list[int], pixels: Tensor | None) -> Tensor:
        if self._cache is not None:
            return self._cache[rows].to(self.parts.device)
        assert pixels is not None
        return self.parts.moments(pixels)

    def _parts_of(self, n: int) -> list[slice]:
        """This process's micro-batches."""
        size = n // (self.recipe.accumulation * self.accelerator.num_processes)
        first = self.accelerator.process_index * self.recipe.accumulation
        return [slice((first + i) * size, (first + i + 1) * size) for i in range(self.recipe.accumulation)]

    def _micro_batch(
        self, part: slice, latents: Tensor, noise: Tensor, times: Tensor, captions: list[str]
    ) -> tuple[float, float]:
        """Forward and backward of a micro-batch; the last one of a step updates the weights. Loss and norm."""
        device, norm = self.parts.device, float("nan")
        try:
            with self.accelerator.accumulate(self._model):
                predict = _Bound(self.parts, captions[part])
                clean, added, when = (values[part].to(device) for values in (latents, noise, times))
                loss = self.loss(self._model, clean, added, when, predict).mean()
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    norm = float(self.accelerator.clip_grad_norm_(list(self.trained.values()), self.recipe.clip))
                self._optimizer.step()
                self._optimizer.zero_grad()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                f"The memory doesn't hold {part.stop - part.start} images in training. Raise `accumulation`, or use "
                "gradient checkpointing, LoRA or mixed precision."
            ) from error
        return float(loss.detach()), norm


class _Bound:
    """`Parts.predict` for the captions of a batch."""

    def __init__(self, parts: Parts, captions: list[str]) -> None:
        self._parts, self._captions = parts, captions
        self._words = parts.words(captions)

    def __call__(self, model: Any, noisy: Tensor, times: Tensor, *, silent: bool = False) -> Tensor:
        words = self._parts.words([""] * len(self._captions)) if silent else self._words
        return self._parts.predict(model, noisy, times, words)
