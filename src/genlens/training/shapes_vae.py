"""Stage 1 of the shapes generator: a small `AutoencoderTiny`, 64 x 64 x 3 pixels <-> 8 x 8 x 16 latents.

Latents are kept at mean 0 and variance 1 a channel by a penalty, so the pipeline needs no scaling factor, and noise is
added to them in training, so the decoder forgives the denoiser's small errors.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlens.training.shapes_data import GENERATOR_SEEDS, sample_rows
from genlens.training.team import Team
from genlens.training.timed import TimedTraining

if TYPE_CHECKING:
    from diffusers import AutoencoderTiny

LATENT_CHANNELS = 16
LATENT_SIZE = 8


def new_vae(channels: int = LATENT_CHANNELS) -> AutoencoderTiny:
    """An untrained autoencoder of the shipped size; its decoder spends its convolutions below full resolution."""
    from diffusers import AutoencoderTiny

    return AutoencoderTiny(
        encoder_block_out_channels=(32,) * 4,
        decoder_block_out_channels=(32,) * 4,
        num_encoder_blocks=(0, 1, 1, 2),
        num_decoder_blocks=(3, 2, 1, 0),
        latent_channels=channels,
    )


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [-1, 1], channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def vae_loss(vae: AutoencoderTiny, images: Tensor, noise: float = 0.1) -> tuple[Tensor, Tensor]:
    """Reconstruction (squared and absolute error) and the penalty that standardises latents, both scalars."""
    latents = vae.encode(images).latents.float()
    spread, centre = torch.var_mean(latents, dim=(0, 2, 3))
    penalty = centre.square().mean() + (spread - 1).square().mean()
    decoded = vae.decode(latents + noise * torch.randn_like(latents)).sample.float()
    error = decoded - images
    return error.square().mean() + 0.1 * error.abs().mean(), penalty


def shapes_images(n: int, seed: int) -> NDArray[np.uint8]:
    """`n` fresh drawings of shapes."""
    return sample_rows(n, seed).images()


def train_vae(
    out: Path,
    seconds: float,
    batch: int = 64,
    rate: float = 2e-3,
    seed: int = 0,
    images_of: Callable[[int, int], NDArray[np.uint8]] = shapes_images,
    start_from: AutoencoderTiny | None = None,
    team: Team | None = None,
    noise: float = 0.1,
) -> AutoencoderTiny:
    """Train for `seconds` on fresh drawings, `images_of(batch, data seed)`, and save to `out`; a line every 50 steps.

    `start_from` is the autoencoder to go on from (None: an untrained one), `noise` is added to latents; with a `team`
    each process has its share of the batch.
    """
    team = team or Team()
    torch.manual_seed(seed)
    vae: Any = (start_from or new_vae()).to(memory_format=torch.channels_last)
    training = TimedTraining("vae", vae, seconds, rate, team=team)
    for step in training.steps():
        images = to_tensor(images_of(batch // team.size, GENERATOR_SEEDS + team.size * step + team.rank))
        with torch.autocast("cpu", torch.bfloat16):
            reconstruction, penalty = vae_loss(vae, images, noise)
        training.update(reconstruction + 0.05 * penalty, loss=reconstruction, penalty=penalty)
    if not team.rank:
        vae.save_pretrained(out)
    return vae
