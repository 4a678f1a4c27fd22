"""Stage 3 of the shapes generator: a PixArt transformer that predicts the clean latents from noise and bound words.

Most of the times are pure noise, because captions with positions fix the picture and so do presence-only captions with
their coupled noise (`genlens.training.shapes_layout`): one step must be right. Finding the layout in the noise starts
with a louder layout: without it the denoiser sat on a blurred ring for 680 steps, with it the layout was there in 300.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from genlens.training.shapes_data import GENERATOR_SEEDS
from genlens.training.shapes_pool import Batch, Encoders, Pool
from genlens.training.shapes_text import HIDDEN
from genlens.training.shapes_vae import LATENT_CHANNELS, LATENT_SIZE
from genlens.training.team import Team

if TYPE_CHECKING:
    from diffusers import DDIMScheduler, PixArtTransformer2DModel

LAST_TIME = 999
HELD_OUT_SEED = 500_000_000
LOG_FIELDS: tuple[str, ...] = ("seconds", "step", "samples", "rate", "loss", "held_out_segments", "held_out_presence")


@dataclass(frozen=True)
class Recipe:
    """How the denoiser is trained; times in seconds, shares in [0, 1].

    Attributes:
        seconds: wall-clock time; the rate falls to zero over the last `decay_share` of it.
        presence_share: share of rows with presence-only captions.
        pure_noise_share: share of times at pure noise; the others are uniform.
        boost: loudest layout in coupled noise; falls to 1 over the first `boost_share` of the time.
        ema: how much of the averaged weights a step keeps.
        pool: rows kept ready; reuse: how often each is used, with other noise.
    """

    seconds: float = 4800.0
    batch: int = 128
    rate: float = 2e-3
    muon: bool = True
    decay_share: float = 0.3
    presence_share: float = 0.6
    pure_noise_share: float = 0.6
    boost: float = 4.0
    boost_share: float = 0.5
    ema: float = 0.9985
    pool: int = 8192
    reuse: int = 4
    heads: int = 6
    layers: int = 6
    seed: int = 0


def new_scheduler() -> DDIMScheduler:
    """DDIM on the clean sample, from pure noise (zero signal at the last time) in trailing steps."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        prediction_type="sample",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )


def new_transformer(heads: int, layers: int, channels: int = LATENT_CHANNELS) -> PixArtTransformer2DModel:
    """An untrained transformer: one token a latent place, `heads` heads of 32 channels, cross-attention to words."""
    from diffusers import PixArtTransformer2DModel

    return PixArtTransformer2DModel(
        num_attention_heads=heads,
        attention_head_dim=32,
        in_channels=channels,
        out_channels=channels,
        num_layers=layers,
        cross_attention_dim=heads * 32,
        sample_size=LATENT_SIZE,
        patch_size=1,
        interpolation_scale=0.5,
        use_additional_conditions=False,
        caption_channels=HIDDEN,
    )


def new_optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """AdamW; or Muon for the matrices of the blocks and AdamW for the rest."""
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        inside = recipe.muon and parameter.ndim == 2 and "transformer_blocks" in name and "table" not in name
        (matrices if inside else rest).append(parameter)
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=recipe.rate, weight_decay=0.0, betas=(0.9, 0.99))
    ]
    if matrices:
        optimizers.append(torch.optim.Muon(matrices, lr=recipe.rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"))
    return optimizers


def rate_factor(progress: float, decay_share: float, warmup: float = 0.01) -> float:
    """Warm-up, then constant (so averaged weights are good at any time), then linear to zero in the last share."""
    return min(1.0, progress / warmup, max(0.0, (1 - progress) / decay_share))


def denoise(model: nn.Module, batch: Batch, noise: Tensor, times: Tensor, alphas: Tensor) -> Tensor:
    """Predicted clean latents for `batch` at `times` (N,), with `alphas` the scheduler's cumulative products."""
    alpha = alphas[times][:, None, None, None]
    noisy = alpha.sqrt() * batch.latents + (1 - alpha).sqrt() * noise
    output: Tensor = model(
        noisy,
        encoder_hidden_states=batch.text,
        timestep=times,
        encoder_attention_mask=batch.mask,
        return_dict=False,
    )[0]
    return output.float()


@torch.no_grad()
def held_out_error(model: nn.Module, encoders: Encoders, alphas: Tensor, presence_share: float) -> float:
    """Mean squared error of one step from pure noise on 256 held-out rows of one template (latents have variance 1)."""
    batch = encoders.batch(256, HELD_OUT_SEED, presence_share)
    noise = batch.noise(torch.Generator().manual_seed(HELD_OUT_SEED))
    with torch.autocast("cpu", torch.bfloat16):
        guess = denoise(model, batch, noise, torch.full((256,), LAST_TIME), alphas)
    return float((guess - batch.latents).square().mean())


class Trainer:
    """Model, averaged weights, optimisers and clock: all that a checkpoint holds."""

    log_fields: ClassVar[tuple[str, ...]] = LOG_FIELDS
    quiet: ClassVar[float] = 0.5
    """Share of the coupled rows whose layout is never louder."""

    def __init__(self, encoders: Encoders, recipe: Recipe, folder: Path, team: Team | None = None) -> None:
        from diffusers.models.attention_processor import AttnProcessor

        torch.manual_seed(recipe.seed)
        self.encoders, self.recipe, self.folder, self.team = encoders, recipe, folder, team or Team()
        channels = encoders.vae.config.latent_channels
        self.model: Any = new_transformer(recipe.heads, recipe.layers, channels)
        self.model.set_attn_processor(AttnProcessor())  # twice as fast as the fused kernel's backward pass on CPUs
        self.average: Any = new_transformer(recipe.heads, recipe.layers, channels)
        self.average.load_state_dict(self.model.state_dict())
        self.optimizers = new_optimizers(self.model, recipe)
        self.alphas = new_scheduler().alphas_cumprod
        self.step, self.seconds = 0, 0.0

    def save(self) -> None:
        """Write the checkpoint and the averaged transformer, each aside and then renamed."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "clock": {"step": self.step, "seconds": self.seconds},
        }
        aside = self.folder / "checkpoint.pt.part"
        torch.save(state, aside)
        aside.rename(self.folder / "checkpoint.pt")
        self.average.save_pretrained(self.folder / "transformer")

    def resume(self) -> None:
        """Go on from the checkpoint."""
        state = torch.load(self.folder / "checkpoint.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.seconds = state["clock"]["step"], state["clock"]["seconds"]

    def learn(self, batch: Batch, rng: torch.Generator) -> float:
        """One step on one batch; the loss."""
        n = len(batch.latents)
        times = torch.randint(0, LAST_TIME, (n,), generator=rng)
        times[torch.rand(n, generator=rng) < self.recipe.pure_noise_share] = LAST_TIME
        factor = rate_factor(self.seconds / self.recipe.seconds, self.recipe.decay_share)
        loud = max(0.0, 1 - self.seconds / self.recipe.seconds / self.recipe.boost_share)
        boost = 1 + (self.recipe.boost - 1) * loud
        with torch.autocast("cpu", torch.bfloat16):
            guess = denoise(self.model, batch, batch.noise(rng, boost, self.quiet), times, self.alphas)
        loss = (guess - batch.latents).square().mean()
        loss.backward()
        self.team.average_gradients(self.model)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.recipe.rate * factor
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        return float(loss.detach())

    def row(self, loss: float) -> dict[str, float]:
        """One line of the log."""
        errors = [held_out_error(self.average, self.encoders, self.alphas, share) for share in (0.0, 1.0)]
        rate = self.optimizers[0].param_groups[0]["lr"]
        samples = self.step * self.recipe.batch
        values = (round(self.seconds), self.step, samples, rate, loss, *errors)
        return {k: round(v, 5) for k, v in zip(self.log_fields, values, strict=True)}

    def run(self, log_seconds: float = 60.0, save_seconds: float = 180.0) -> Iterator[dict[str, float]]:
        """Train until the recipe's time is up, yielding a line of the log now and then, saving as it goes."""
        recipe, rank, workers = self.recipe, self.team.rank, self.team.size
        first_seed = GENERATOR_SEEDS + 10_000_000 + 7 * self.step + 3_000_000 * rank
        pool = Pool(self.encoders, recipe.pool // workers, recipe.reuse, first_seed, recipe.presence_share)
        rng = torch.Generator().manual_seed(recipe.seed + self.step + 1_000_000 * rank)
        clock, logged, saved, losses = time.monotonic() - self.seconds, self.seconds, self.seconds, []
        while self.seconds < recipe.seconds:
            losses.append(self.learn(pool.take(recipe.batch // workers), rng))
            self.seconds = self.team.same(time.monotonic() - clock)
            if self.seconds - logged >= log_seconds:
                yield self.row(sum(losses) / len(losses))
                losses, logged = [], self.seconds
            if self.seconds - saved >= save_seconds:
                self.save()
                saved = self.seconds
        self.save()
        if losses:
            yield self.row(sum(losses) / len(losses))


def append_log(path: Path, row: dict[str, float]) -> None:
    """Add a line to a CSV log, with a header if the file is new."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
