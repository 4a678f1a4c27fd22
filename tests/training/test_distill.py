"""Consistency distillation: closed forms, a toy whose teacher is exact, and tiny pipelines from end to end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genlens.errors import UserError
from genlens.generators.diffusers import DiffusersGenerator
from genlens.progress import SilentProgress
from genlens.training.distill import ConsistencyLoss, boundary_scalings, ddim_step, distill_generator, lcm_scheduler
from genlens.training.finetune_data import CaptionedImages
from genlens.training.finetune_loss import DenoisingLoss
from genlens.training.finetune_recipe import FinetuneRecipe
from genlens.training.finetune_run import Schedule

CONFIG = {
    "num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear",
    "prediction_type": "sample", "rescale_betas_zero_snr": True,
}  # fmt: skip
SHORT = FinetuneRecipe(steps=4, batch=4, rate=1e-3, ema=0.5)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_scalings_are_those_of_the_sampler() -> None:
    from diffusers import LCMScheduler

    skip, out = boundary_scalings(torch.tensor([0]))
    assert (skip.tolist(), out.tolist()) == ([1.0], [0.0])
    sampler = LCMScheduler()
    for time in (1, 19, 500, 999):
        wanted = sampler.get_scalings_for_boundary_condition_discrete(time)
        assert [float(v) for v in boundary_scalings(torch.tensor([time]))] == pytest.approx([float(v) for v in wanted])


def test_the_grid_is_that_of_the_sampler() -> None:
    from diffusers import DDIMScheduler

    loss = ConsistencyLoss(CONFIG, SHORT, nn.Linear(1, 1))
    sampler = lcm_scheduler(DDIMScheduler(**CONFIG), 50)
    sampler.set_timesteps(50)
    assert sorted(sampler.timesteps.tolist()) == loss.grid.tolist()
    assert set(loss.draw(500, torch.Generator().manual_seed(0)).tolist()) == set(loss.grid.tolist())
    torch.testing.assert_close(sampler.alphas_cumprod, loss.alphas)


def test_a_solver_step_is_ddims() -> None:
    from diffusers import DDIMScheduler

    sampler = DDIMScheduler(**CONFIG, clip_sample=False, timestep_spacing="trailing")
    sampler.set_timesteps(50)
    clean, noisy = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0)).unbind(0)
    wanted = sampler.step(clean, 499, noisy).prev_sample
    alphas = sampler.alphas_cumprod
    torch.testing.assert_close(ddim_step(clean, noisy, alphas[499], alphas[479]), wanted)


def test_a_teacher_that_knows_the_end_leaves_nothing_to_learn() -> None:
    """If every prediction is the same picture, f is consistent but for the skip at early times."""
    picture = torch.full((1, 1, 2, 2), 0.7)

    def predict(model: Any, noisy: Tensor, times: Tensor, *, silent: bool = False) -> Tensor:
        return picture.expand(len(noisy), -1, -1, -1)

    loss = ConsistencyLoss(CONFIG, SHORT, nn.Linear(1, 1))
    latents, noise = picture.expand(3, -1, -1, -1), torch.ones(3, 1, 2, 2)
    late = loss(None, latents, noise, torch.tensor([999, 499, 99]), predict)
    assert float(late.max()) < 1e-4
    assert float(loss(None, latents[:1], noise[:1], torch.tensor([19]), predict)[0]) > 1e-3


class TwoEnds(nn.Module):
    """The best possible prediction of data that is +1 or -1, plus a correction that is learnt and begins at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.correction = nn.Sequential(nn.Linear(3, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1))
        nn.init.zeros_(self.correction[-1].weight)
        nn.init.zeros_(self.correction[-1].bias)

    def forward(self, noisy: Tensor, times: Tensor, alphas: Tensor) -> Tensor:
        x, alpha = noisy.reshape(-1, 1), alphas[times].reshape(-1, 1)
        best = torch.tanh(alpha.sqrt() * x / (1 - alpha))  # (B, 1)
        features = torch.cat([x, alpha, (alpha + 1e-3).log() / 7], dim=1)
        return (best + self.correction(features)).reshape(noisy.shape)


SOLVER = 10


def trained(kind: str, n_steps: int = 600) -> tuple[TwoEnds, Any]:
    """The toy after some steps of a loss."""
    torch.manual_seed(0)
    model = TwoEnds()
    recipe = FinetuneRecipe(high_noise=0.2)
    distils = kind == "distil"
    loss: Any = ConsistencyLoss(CONFIG, recipe, model, 1.0, SOLVER) if distils else DenoisingLoss(CONFIG, recipe)
    alphas = loss.alphas

    def predict(net: Any, noisy: Tensor, times: Tensor, *, silent: bool = False) -> Tensor:
        result: Tensor = net(noisy, times, alphas)
        return result

    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    rng = torch.Generator().manual_seed(0)
    for _ in range(n_steps):
        latents = torch.randint(0, 2, (128, 1, 1, 1), generator=rng) * 2.0 - 1
        value = loss(model, latents, torch.randn(latents.shape, generator=rng), loss.draw(128, rng), predict).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        loss.after_step()
    return model, alphas


@torch.no_grad()
def distance(model: TwoEnds, alphas: Tensor, n_steps: int, lcm: bool) -> float:
    """Mean distance of sampled numbers from the nearer of +1 and -1."""
    from diffusers import DDIMScheduler

    sampler: Any = DDIMScheduler(**CONFIG, clip_sample=False, timestep_spacing="trailing")
    if lcm:
        sampler = lcm_scheduler(sampler, SOLVER)
    sampler.set_timesteps(n_steps)
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(500, 1, 1, 1, generator=rng)
    for time in sampler.timesteps:
        said = model(x, torch.full((500,), int(time)), alphas)
        x = sampler.step(said, time, x, **({"generator": rng} if lcm else {})).prev_sample
    return float((x.abs() - 1).abs().mean())


def test_distillation_makes_few_steps_good_and_denoising_does_not() -> None:
    """The teacher needs many steps: one of them is the mean of both ends, 0. Distilled, one or two do."""
    teacher, alphas = trained("denoise", 0)
    before = {n: distance(teacher, alphas, n, lcm=False) for n in (1, 2, 50)}
    assert before[1] > 0.9 and before[50] < 0.1
    student, _ = trained("distil")
    assert distance(student, alphas, 1, lcm=True) < 0.6 * before[1]
    assert distance(student, alphas, 2, lcm=True) < 0.8 * before[2]
    control, _ = trained("denoise")  # the same steps of the usual loss
    assert distance(control, alphas, 1, lcm=False) > 0.85


class CutAt(SilentProgress):
    """Raises once the n-th step of training is done."""

    def __init__(self, n: int) -> None:
        self.n, self.training = n, False

    def start(self, task: str, total: int) -> None:
        self.training = task == "Training"

    def advance(self, n: int) -> None:
        self.n -= self.training
        if self.training and self.n == 0:
            raise RuntimeError("cut")


@pytest.mark.parametrize("kind", ["sd", "pixart"])
def test_pipelines_come_out_distilled_and_resume(
    kind: str, pipeline_folder: Any, captioned: CaptionedImages, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    base = pipeline_folder(kind)
    call: dict[str, Any] = {"guidance": 2.0, "few_steps": 2, "device": "cpu", "schedule": Schedule(checkpoint_every=2)}
    whole = distill_generator(captioned, base, tmp_path / "whole", SHORT, **call).pipeline
    assert whole is not None
    index = json.loads((whole / "model_index.json").read_text())
    assert index["scheduler"] == ["diffusers", "LCMScheduler"]
    assert json.loads((whole / "genlens.json").read_text()) == {"num_inference_steps": 2, "guidance_scale": 1.0}
    generator = DiffusersGenerator.from_pretrained(whole, device="cpu")
    assert generator.num_inference_steps == 2 and generator.generate(["red circle"], [0]).shape == (1, 16, 16, 3)
    with pytest.raises(RuntimeError, match="cut"):
        distill_generator(captioned, base, tmp_path / "cut", SHORT, progress=CutAt(3), **call)
    resumed = distill_generator(captioned, base, tmp_path / "cut", SHORT, **call).pipeline
    assert resumed is not None
    part = f"{'unet' if kind == 'sd' else 'transformer'}/diffusion_pytorch_model.safetensors"
    one, other, first = (load_file(folder / part) for folder in (whole, resumed, base))
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert not all(torch.equal(value, first[name]) for name, value in one.items())


def test_refusals(pipeline_folder: Any, captioned: CaptionedImages, tmp_path: Path) -> None:
    def distil(recipe: FinetuneRecipe = SHORT, **options: Any) -> None:
        distill_generator(captioned, pipeline_folder("sd"), tmp_path / "out", recipe, device="cpu", **options)

    with pytest.raises(UserError, match="`lora_rank` can't be used in distillation"):
        distil(FinetuneRecipe(lora_rank=2))
    with pytest.raises(UserError, match="`few_steps` must be at most `solver_steps`, 50; got 60"):
        distil(few_steps=60)
    with pytest.raises(UserError, match="`solver_steps` must be at most 1000"):
        distil(solver_steps=2000)
    with pytest.raises(UserError, match=r"`guidance` must be a number in \[1, 100\); got 0.5"):
        distil(guidance=0.5)
    assert not (tmp_path / "out").exists()
