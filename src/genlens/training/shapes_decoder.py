"""Stage 4 of the shapes generator: the decoder learns to draw sharply from the latents that the denoiser really gives.

The encoder stays as it is, so the latents keep their meaning and the denoiser isn't touched.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlens.training.shapes_data import GENERATOR_SEEDS
from genlens.training.shapes_denoiser import LAST_TIME, denoise, new_scheduler
from genlens.training.shapes_pool import Batch, Encoders, sample_captioned
from genlens.training.shapes_vae import to_tensor
from genlens.training.team import Team
from genlens.training.timed import TimedTraining

if TYPE_CHECKING:
    from diffusers import PixArtTransformer2DModel

RowsOf = Callable[[Encoders, int, int], tuple[Batch, NDArray[np.uint8]]]
"""(encoders, number of rows, seed) -> rows as the denoiser sees them and their pictures, uint8 (N, 64, 64, 3)."""
FIRST_SEED = GENERATOR_SEEDS + 40_000_000
PRESENCE_SHARE = 0.4


@torch.no_grad()
def latents_to_decode(
    model: PixArtTransformer2DModel | None, batch: Batch, rng: torch.Generator, noise: float
) -> Tensor:
    """Latents (N, C, 8, 8): for the first half of the batch what one step gives, for the rest the encoder's, noisy.

    Without a model, the encoder's for all.
    """
    half = len(batch.latents) // 2 if model is not None else 0
    rest = batch.latents[half:]
    noisy = rest + noise * torch.randn(rest.shape, generator=rng)
    if model is None:
        return noisy
    first = batch.rows(torch.arange(half))
    with torch.autocast("cpu", torch.bfloat16):
        guess = denoise(model, first, first.noise(rng), torch.full((half,), LAST_TIME), new_scheduler().alphas_cumprod)
    return torch.cat([guess, noisy])


def shapes_rows(encoders: Encoders, n: int, seed: int) -> tuple[Batch, NDArray[np.uint8]]:
    """Fresh rows of shapes as the denoiser sees them, and their pictures."""
    rows = sample_captioned(n, seed, PRESENCE_SHARE)
    return encoders.encode(rows), rows.rows.images()


def train_decoder(
    encoders: Encoders,
    model: PixArtTransformer2DModel | None,
    out: Path,
    seconds: float,
    batch: int = 64,
    rate: float = 4e-4,
    rows_of: RowsOf = shapes_rows,
    noise: float = 0.1,
    team: Team | None = None,
) -> None:
    """Tune the decoder for `seconds` with encoder, words and denoiser frozen; saves the autoencoder to `out`.

    Args:
        encoders: the frozen stages; their decoder is changed.
        model: the denoiser; None: only the encoder's latents are decoded.
        out: folder of the tuned autoencoder.
        seconds: wall-clock time.
        batch: rows a step.
        rate: the highest learning rate.
        noise: on the encoder's latents.
        team: processes that share the batch; None: this one alone.
        rows_of: makes rows.
    """
    vae: Any = encoders.vae
    team = team or Team()
    decoder = vae.decoder.requires_grad_(True).to(memory_format=torch.channels_last)
    rng = torch.Generator().manual_seed(FIRST_SEED + team.rank)
    training = TimedTraining("decoder", decoder, seconds, rate, team=team)
    for step in training.steps():
        rows, pictures = rows_of(encoders, batch // team.size, FIRST_SEED + team.size * step + team.rank)
        latents = latents_to_decode(model, rows, rng, noise)
        images = to_tensor(pictures)
        with torch.autocast("cpu", torch.bfloat16):
            error = vae.decode(latents).sample.float() - images
        training.update(error.square().mean() + 0.1 * error.abs().mean())
    if not team.rank:
        vae.save_pretrained(out)
