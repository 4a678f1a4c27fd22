"""Consistency distillation of a latent diffusion pipeline into one of a few steps (LCM).

Luo et al. 2023 (arXiv 2310.04378), algorithm 1, with a fixed guidance in place of the guidance embedding: the student f
maps any point of the teacher's trajectory to its end. A step of DDIM by the teacher leads from time t to the time one
skip earlier; f at t learns to say what its average f- says there. f(x, t) = c_skip(t) x + c_out(t) x0(x, t) with
c_skip(0) = 1, c_out(0) = 0 (Song et al. 2023, arXiv 2303.01469), as diffusers' LCMScheduler has them.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genlens.errors import UserError, check_integer
from genlens.progress import Progress, SilentProgress
from genlens.training.finetune import base_digest, data_digest
from genlens.training.finetune_checkpoint import TrainingFolder
from genlens.training.finetune_data import CaptionedImages
from genlens.training.finetune_loss import Predict, add_noise, clean_of, noise_schedule
from genlens.training.finetune_parts import Base, Parts
from genlens.training.finetune_quality import QualityProbe
from genlens.training.finetune_recipe import FinetuneRecipe
from genlens.training.finetune_run import Schedule, Trained, Training, check_device, new_accelerator, open_folder

SOLVER_STEPS = 50
"""Times of the teacher's trajectory; the skip is the number of training times divided by it."""
SIGMA_DATA, TIMESTEP_SCALING = 0.5, 10.0
"""Of the boundary conditions, as in LCMScheduler."""
TARGET_EMA = 0.95
"""Share of f- that a step keeps."""
_HUBER = 1e-3


def boundary_scalings(times: Tensor) -> tuple[Tensor, Tensor]:
    """c_skip and c_out at times (B,): sigma^2 / ((10 t)^2 + sigma^2) and 10 t / sqrt((10 t)^2 + sigma^2)."""
    scaled = times.double() * TIMESTEP_SCALING
    skip = SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2)
    return skip.float(), (scaled / (scaled**2 + SIGMA_DATA**2).sqrt()).float()


def ddim_step(clean: Tensor, noisy: Tensor, alpha: Tensor, earlier: Tensor) -> Tensor:
    """The point of a DDIM trajectory (Song et al. 2021, equation 12, no noise) at an earlier time.

    Args:
        clean: predicted latents at the later time, (B, C, h, w).
        noisy: the point there.
        alpha: cumulative product there, (B, 1, 1, 1), below 1.
        earlier: that of the earlier time.
    """
    noise = (noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt()
    return add_noise(clean, noise, earlier)


class ConsistencyLoss:
    """Pseudo-Huber distance between f(x_t, t) and f-(x_s, s), s one skip before t, x_s by the teacher.

    Args:
        config: of the scheduler that the teacher was trained with.
        recipe: share of high noise.
        student: the denoiser that is trained; teacher and f- begin as copies of it.
        guidance: classifier-free guidance of the teacher; 1: none.
        solver_steps: see `SOLVER_STEPS`.
    """

    def __init__(
        self, config: Any, recipe: FinetuneRecipe, student: Any, guidance: float = 1.0, solver_steps: int = SOLVER_STEPS
    ) -> None:
        self.alphas, self.prediction = noise_schedule(config)
        self.recipe, self.guidance = recipe, guidance
        self.skip = len(self.alphas) // solver_steps
        self.grid = torch.arange(1, solver_steps + 1) * self.skip - 1
        self._student = student
        self.teacher, self.target = (deepcopy(student).requires_grad_(False).eval() for _ in range(2))

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """Times int64 (n,) of the solver's grid: uniform, a share of them the last."""
        index = torch.randint(0, len(self.grid), (n,), generator=rng)
        loud = torch.rand(n, generator=rng) < self.recipe.high_noise
        return self.grid[torch.where(loud, len(self.grid) - 1, index)]

    def __call__(self, model: Any, latents: Tensor, noise: Tensor, times: Tensor, predict: Predict) -> Tensor:
        """Distance of each row, (B,)."""
        alphas = self.alphas.to(latents.device)
        before = (times - self.skip).clamp(min=0)
        alpha, earlier = (alphas[t][:, None, None, None] for t in (times, before))
        noisy = add_noise(latents, noise, alpha)
        with torch.no_grad():
            point = ddim_step(self._taught(noisy, times, alpha, predict), noisy, alpha, earlier)
            wanted = self._consistent(self.target, point, before, earlier, predict)
        said = self._consistent(model, noisy, times, alpha, predict)
        distance: Tensor = ((said - wanted).square() + _HUBER**2).sqrt() - _HUBER
        return distance.mean(dim=(1, 2, 3))

    def _taught(self, noisy: Tensor, times: Tensor, alpha: Tensor, predict: Predict) -> Tensor:
        """The teacher's clean latents, guided."""
        output = predict(self.teacher, noisy, times)
        if self.guidance != 1:
            silent = predict(self.teacher, noisy, times, silent=True)
            output = silent + self.guidance * (output - silent)
        return clean_of(self.prediction, output, noisy, alpha)

    def _consistent(self, model: Any, noisy: Tensor, times: Tensor, alpha: Tensor, predict: Predict) -> Tensor:
        """f(x, t)."""
        clean = clean_of(self.prediction, predict(model, noisy, times), noisy, alpha)
        skip, out = (scale[:, None, None, None] for scale in boundary_scalings(times))
        return skip * noisy + out * clean

    @torch.no_grad()
    def after_step(self) -> None:
        """f- follows f."""
        average = [value for value in self.target.parameters()]
        torch._foreach_lerp_(average, [value.detach() for value in self._student.parameters()], 1 - TARGET_EMA)

    def state(self) -> dict[str, Tensor]:
        """The weights of f-."""
        return {name: value.detach() for name, value in self.target.named_parameters()}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Inverse of `state`."""
        for name, value in self.target.named_parameters():
            value.copy_(state[name])


def distill_generator(
    data: CaptionedImages,
    base: str | Path,
    out: str | Path,
    recipe: FinetuneRecipe,
    *,
    guidance: float | None = None,
    few_steps: int = 4,
    solver_steps: int = SOLVER_STEPS,
    held_out: CaptionedImages | None = None,
    probe: QualityProbe | None = None,
    schedule: Schedule | None = None,
    size: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Distil a pipeline into one that renders in a few steps without guidance.

    Args:
        data: images and captions to distil on; best those that the teacher was trained on.
        base: the teacher: folder or hub id of a pipeline.
        out: folder of the distillation; `pipeline/` in it is the result, with an LCMScheduler and a `genlens.json` of
            `few_steps` steps. The same call goes on where it stopped.
        recipe: as for fine-tuning; all weights are trained, captions aren't dropped, errors aren't weighted.
        guidance: of the teacher, >= 1; None: that of its `genlens.json`, or 1.
        few_steps: steps of the result, in [1, solver_steps].
        solver_steps: times of the teacher's trajectory.
        held_out: see `train_generator`.
        probe: see `train_generator`. The card of step 0 is the teacher's at `few_steps` steps of its own scheduler.
        schedule: see `train_generator`; steps and guidance of the pictures are those of the result.
        size: see `train_generator`.
        device: see `train_generator`.
        overwrite: see `train_generator`.
        progress: told about images that were trained on.

    Returns:
        Where the result is, and how good it is.

    Raises:
        UserError: see `train_generator`; or a number is out of its range, or the recipe asks for LoRA.
        KeyboardInterrupt: see `train_generator`.
    """
    if recipe.lora_rank is not None:
        raise UserError("`lora_rank` can't be used in distillation, which trains all weights. Leave it out.")
    found = Base.of(base)
    n_times = int(found.scheduler["num_train_timesteps"])
    if check_integer("solver_steps", solver_steps, 1) > n_times:
        raise UserError(f"`solver_steps` must be at most {n_times}, the scheduler's times; got {solver_steps}.")
    if check_integer("few_steps", few_steps, 1) > solver_steps:
        raise UserError(f"`few_steps` must be at most `solver_steps`, {solver_steps}; got {few_steps}.")
    guided = max(1.0, float(found.defaults.get("guidance_scale", 1.0))) if guidance is None else guidance
    if not 1 <= guided < 100:
        raise UserError(f"`guidance` must be a number in [1, 100); got {guided!r}.")
    recipe = replace(recipe, caption_dropout=0.0, min_snr=None)
    found.check_captions([*data.captions, *(held_out.captions if held_out else ()), ""])
    check_device(device, recipe)
    schedule = replace(schedule or Schedule(), render_steps=few_steps, render_guidance=1.0)
    folder = TrainingFolder(Path(out), schedule.keep)
    chosen = {"guidance": guided, "solver_steps": solver_steps, "size": size}
    identity = recipe.identity() | chosen | {"base": base_digest(found), "data": data_digest(data)}
    accelerator = new_accelerator(recipe, device)
    open_folder(folder, accelerator, identity, overwrite)
    parts = Parts(found, str(accelerator.device))
    loss = ConsistencyLoss(found.scheduler, recipe, parts.denoiser, guided, solver_steps)
    parts.denoiser.requires_grad_(True)
    scheduler = lcm_scheduler(parts.pipeline.scheduler, solver_steps)
    training = Training(folder, parts, data, loss, recipe, accelerator, schedule, size, scheduler)
    training.watch(held_out, probe)
    training.run(progress or SilentProgress())
    return training.finish(
        merge=False, scheduler=scheduler, defaults={"num_inference_steps": few_steps, "guidance_scale": 1.0}
    )


def lcm_scheduler(scheduler: Any, solver_steps: int) -> Any:
    """The LCMScheduler of the same noise as another scheduler, on the solver's grid."""
    from diffusers import LCMScheduler

    return LCMScheduler.from_config(
        scheduler.config, original_inference_steps=solver_steps, timestep_scaling=TIMESTEP_SCALING, clip_sample=False
    )
