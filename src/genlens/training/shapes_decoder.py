"""Stage 4 of the shapes generator: the decoder learns to draw sharply from the latents that the denoiser really gives.

The encoder stays as it is, so the latents keep their meaning and the denoiser isn't touched.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genlens.training.shapes_data import GENERATOR_SEEDS
from genlens.training.shapes_denoiser import LAST_TIME, denoise, new_scheduler
from genlens.training.shapes_pool import Batch, Encoders, sample_captioned
from genlens.training.shapes_vae import to_tensor, warmup_cosine

if TYPE_CHECKING:
    from diffusers import PixArtTransformer2DModel

FIRST_SEED = GENERATOR_SEEDS + 40_000_000


@torch.no_grad()
def latents_to_decode(model: PixArtTransformer2DModel, batch: Batch, rng: torch.Generator, noise: float) -> Tensor:
    """Latents (N, 16, 8, 8): for the first half of the batch what one step gives, for the rest the encoder's, noisy."""
    half = len(batch.latents) // 2
    first = batch.rows(torch.arange(half))
    with torch.autocast("cpu", torch.bfloat16):
        guess = denoise(model, first, first.noise(rng), torch.full((half,), LAST_TIME), new_scheduler().alphas_cumprod)
    rest = batch.latents[half:]
    return torch.cat([guess, rest + noise * torch.randn(rest.shape, generator=rng)])


def train_decoder(encoders: Encoders, model: PixArtTransformer2DModel, out: Path, seconds: float,
                  batch: int = 64, rate: float = 4e-4, presence_share: float = 0.4) -> None:  # fmt: skip
    """Tune the decoder for `seconds` with encoder, words and denoiser frozen; saves the autoencoder to `out`."""
    vae: Any = encoders.vae
    decoder = vae.decoder.requires_grad_(True).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=rate, weight_decay=0.0)
    rng = torch.Generator().manual_seed(FIRST_SEED)
    start, step = time.monotonic(), 0
    while (elapsed := time.monotonic() - start) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = rate * warmup_cosine(elapsed / seconds)
        rows = sample_captioned(batch, FIRST_SEED + step, presence_share)
        latents = latents_to_decode(model, encoders.encode(rows), rng, noise=0.1)
        images = to_tensor(rows.rows.images())
        with torch.autocast("cpu", torch.bfloat16):
            error = vae.decode(latents).sample.float() - images
        loss = error.square().mean() + 0.1 * error.abs().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            print(f"decoder {elapsed:5.0f} s  step {step}  loss {loss:.4f}", flush=True)
        step += 1
    vae.save_pretrained(out)
