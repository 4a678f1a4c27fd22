"""A training in its folder: checkpoints, pictures, quality cards, signals and the result."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genlens.errors import UserError, check_integer
from genlens.files import write_atomic
from genlens.generators.diffusers import DiffusersGenerator
from genlens.progress import Progress, SilentProgress
from genlens.training.finetune_checkpoint import LOG_FILE, QUALITY_FILE, TrainingFolder
from genlens.training.finetune_data import CaptionedImages
from genlens.training.finetune_export import export_pipeline, merged_denoiser
from genlens.training.finetune_gain import Gain
from genlens.training.finetune_loop import Loop, Loss
from genlens.training.finetune_parts import Parts
from genlens.training.finetune_quality import QualityProbe, QualityRow, contact_sheet
from genlens.training.finetune_recipe import FinetuneRecipe
from genlens.training.lora import lora_weights, save_lora


@dataclass(frozen=True)
class Schedule:
    """What happens beside the steps; it doesn't change the weights.

    Attributes:
        checkpoint_every: steps between two checkpoints.
        keep: checkpoints kept.
        validate_every: steps between two contact sheets and quality cards; 0: at the start and the end only.
        render_steps: denoising steps of the pictures and, by default, of the result; None: the pipeline's own number.
        render_guidance: their guidance, and the result's; None: the pipeline's own.
    """

    checkpoint_every: int = 200
    keep: int = 2
    validate_every: int = 0
    render_steps: int | None = None
    render_guidance: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        for name, least in (("checkpoint_every", 1), ("keep", 1), ("validate_every", 0)):
            check_integer(name, getattr(self, name), least)


@dataclass(frozen=True)
class Trained:
    """What a training left.

    Attributes:
        pipeline: folder of the fine-tuned pipeline, or None where LoRA wasn't merged.
        lora: file of the LoRA weights, or None.
        cards: the quality cards by step, the first that of the base.
        step: steps done.
        gain: of the last card over the first; None: there is only one.
    """

    pipeline: Path | None
    lora: Path | None
    cards: tuple[tuple[QualityRow, ...], ...]
    step: int
    gain: Gain | None = None


class Training:
    """A loop with its folder and its pictures.

    Args:
        folder: opened.
        parts: the loaded pipeline.
        data: what it is trained on.
        loss: what is minimised.
        recipe: everything that decides the weights.
        accelerator: of `new_accelerator`.
        schedule: checkpoints and validation.
        size: side of the images in pixels; None: the pipeline's own.
        scheduler: takes the place of the pipeline's after the pictures of step 0; None: it stays.
    """

    def __init__(
        self, folder: TrainingFolder, parts: Parts, data: CaptionedImages, loss: Loss, recipe: FinetuneRecipe,
        accelerator: Any, schedule: Schedule, size: int | None, scheduler: Any = None,
    ) -> None:  # fmt: skip
        self.folder, self.parts, self.recipe, self.schedule = folder, parts, recipe, schedule
        chosen: dict[str, Any] = dict(parts.base.defaults)
        given = {"num_inference_steps": schedule.render_steps, "guidance_scale": schedule.render_guidance}
        chosen.update({name: value for name, value in given.items() if value is not None})
        self._chosen = chosen
        self._main = accelerator.is_main_process
        self._wait = accelerator.wait_for_everyone
        self.generator = DiffusersGenerator(parts.pipeline, size=size, channels_last=False, **chosen)
        if self.generator.size is None:
            raise UserError("The pipeline doesn't say the size of its images. Pass `size`.")
        self.loop = Loop(parts, data, self.generator.size, loss, recipe, accelerator)
        self._scheduler = scheduler
        self._held_out: CaptionedImages | None = None
        self._probe: QualityProbe | None = None

    def watch(self, held_out: CaptionedImages | None, probe: QualityProbe | None) -> None:
        """Make contact sheets and quality cards of these."""
        self._held_out, self._probe = held_out, probe

    def run(self, progress: Progress) -> None:
        """Train to the last step, from the latest checkpoint on."""
        loop, recipe = self.loop, self.recipe
        saved = self.folder.latest()
        if saved is not None:
            loop.load(saved)
        if self._main:
            self.folder.forget_after(-1 if saved is None else loop.step)
        else:
            progress = SilentProgress()
        self._wait()
        if loop.step >= recipe.steps > 0:
            return
        if loop.step == 0:
            self._validate()
        if self._scheduler is not None:
            self.parts.pipeline.scheduler = self._scheduler
        with _stop_signals() as stopped, _task(progress, "Encoding", len(loop.data)):
            for n in loop.encode_all():
                progress.advance(n)
                _stop_if(stopped, loop.step)
        with _stop_signals() as stopped, _task(progress, "Training", (recipe.steps - loop.step) * recipe.batch):
            for step in loop.run():
                if self._main:
                    self.folder.append(LOG_FILE, [{"step": step.number, "loss": repr(step.loss),
                                                   "norm": repr(step.norm), "rate": repr(step.rate)}])  # fmt: skip
                progress.advance(recipe.batch)
                self._after(step.number, bool(stopped))
                _stop_if(stopped, step.number)

    def _after(self, step: int, stopped: bool) -> None:
        last = step == self.recipe.steps
        every = self.schedule.validate_every
        if last or (every and step % every == 0 and not stopped):
            self._validate()
        if last or stopped or step % self.schedule.checkpoint_every == 0:
            if self._main:
                self.folder.save(step, self.loop.state())
            self._wait()

    def _validate(self) -> None:
        """Pictures and card with the averaged weights."""
        step = self.loop.step
        if self._main and (self._held_out or self._probe):
            self.parts.denoiser.eval()
            with self.loop.average.swapped_in():
                if self._held_out:
                    sheet = contact_sheet(self._held_out, self.generator.generate, self.recipe.seed)
                    write_atomic(self.folder.path / "validation" / f"step-{step:08d}.png", sheet)
                if self._probe:
                    scores = self._probe.measure(self.generator.generate)
                    self.folder.save_scores(step, scores)
                    card = self._probe.card(step, scores)
                    self.folder.append(QUALITY_FILE, [asdict(row) for row in card])
            self.parts.denoiser.train()
        self._wait()

    def finish(self, merge: bool, **changes: Any) -> Trained:
        """Write the result, with the averaged weights; `changes` are those of `export_pipeline`.

        A pipeline is told the steps and guidance that its pictures were measured with.
        """
        pipeline = lora = None
        changes.setdefault("defaults", self._chosen or None)
        path = self.folder.path
        if self._main:
            if self.recipe.lora_rank is None:
                with self.loop.average.swapped_in():
                    pipeline = export_pipeline(self.parts.base, self.parts.denoiser, path / "pipeline", **changes)
            else:
                weights = lora_weights(self.loop.average.values)
                lora = save_lora(path / "lora", self.parts.base.denoiser, weights)
                if merge:
                    merged = merged_denoiser(self.parts.base, type(self.parts.denoiser), weights)
                    pipeline = export_pipeline(self.parts.base, merged, path / "pipeline", **changes)
        self._wait()
        cards = read_cards(path)
        return Trained(pipeline, lora, cards, self.loop.step, self._gain(cards))

    def _gain(self, cards: Sequence[Sequence[QualityRow]]) -> Gain | None:
        """Of the last card over the first, where there are two and a probe."""
        if self._probe is None or len(cards) < 2:
            return None
        before, after = (self.folder.scores(card[0].step) for card in (cards[0], cards[-1]))
        return self._probe.gain(before, after)


def read_cards(folder: Path) -> tuple[tuple[QualityRow, ...], ...]:
    """Quality cards of a training, by step."""
    rows = [
        QualityRow(int(row["step"]), row["concept"], float(row["real"]), float(row["generated"]))
        for row in TrainingFolder(folder).read(QUALITY_FILE)
    ]
    return tuple(tuple(row for row in rows if row.step == step) for step in sorted({row.step for row in rows}))


def open_folder(folder: TrainingFolder, accelerator: Any, identity: dict[str, Any], overwrite: bool) -> None:
    """Open the folder in the first process; the others wait.

    Raises:
        UserError: see `TrainingFolder.open`.
    """
    if accelerator.is_main_process:
        folder.open(identity, overwrite=overwrite)
    accelerator.wait_for_everyone()


def new_accelerator(recipe: FinetuneRecipe, device: str) -> Any:
    """Accelerate's own, with its process-wide state begun anew, as another training may have left it."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(device == "cpu")
    GradientState._reset_state()
    try:
        return Accelerator(
            mixed_precision=recipe.precision, gradient_accumulation_steps=recipe.accumulation, cpu=device == "cpu"
        )
    except ValueError as error:
        raise UserError(f"Accelerate can't train with precision {recipe.precision} here: {error}") from error


def check_device(device: str, recipe: FinetuneRecipe) -> None:
    """Refuse a device that training can't choose, and fp16 where there is no GPU.

    Raises:
        UserError: either.
    """
    if device not in ("auto", "cpu"):
        raise UserError(
            f"`device` must be auto or cpu; got {device!r}. Choose a GPU by CUDA_VISIBLE_DEVICES, several by "
            "`accelerate launch`."
        )
    import torch

    if recipe.precision == "fp16" and (device == "cpu" or not torch.cuda.is_available()):
        raise UserError("`precision` fp16 needs a GPU; got a CPU. Use bf16 or no.")


@contextmanager
def _task(progress: Progress, name: str, total: int) -> Iterator[None]:
    progress.start(name, total)
    try:
        yield
    finally:
        progress.done()


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them: a step is never cut in two. A second one cuts it."""
    stopped: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def note(number: int, _: Any) -> None:
        if stopped:
            raise KeyboardInterrupt
        stopped.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_if(stopped: Sequence[int], step: int) -> None:
    if stopped:
        raise KeyboardInterrupt(f"Stopped after step {step:,}, which is kept. The same command goes on from there.")
