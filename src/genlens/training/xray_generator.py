"""Train the X-ray generator from the phantom's own pairs of drawing and report, on a CPU, in four stages.

    python -m genlens.training.xray_generator text     --out build/xray_generator --seconds 180
    python -m genlens.training.xray_generator vae      --out build/xray_generator --seconds 330
    python -m genlens.training.xray_generator denoiser --out build/xray_generator --seconds 1900 [--resume]
    python -m genlens.training.xray_generator decoder  --out build/xray_generator --seconds 240
    python -m genlens.training.xray_generator export   --out build/xray_generator --to DIRECTORY

The recipe is that of `genlens.training.shapes_generator`: what a caption leaves open, the body's anatomy, is a smooth
function of the initial noise's channel means, so that one step can draw the picture and a flip moves nothing else.
Unlike there the pairs are observational: findings hang on age, BMI and sex, and reports leave some of them out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlens.datasets.xray import sample
from genlens.datasets.xray_drawing import N_ANATOMY, draw
from genlens.training.shapes_denoiser import Recipe, Trainer
from genlens.training.shapes_generator import (
    export_pipeline,
    load_encoders,
    stage_parser,
    train_denoiser,
    tune_decoder,
)
from genlens.training.shapes_pool import Batch, Encoders
from genlens.training.shapes_vae import LATENT_CHANNELS, to_tensor, train_vae
from genlens.training.xray_text import MAX_TOKENS, train_text_encoder

RECIPE = replace(
    Recipe(), seconds=1900.0, pool=2048, heads=4, layers=4, presence_share=1.0, pure_noise_share=1.0, boost=2.0
)


def anatomy_of(means: Tensor) -> NDArray[np.float64]:
    """The anatomy (N, 12), even in [0, 1], that noise with these channel means (N, C) asks for."""
    numbers = means[:, :N_ANATOMY].double()
    result: NDArray[np.float64] = (0.5 * (1 + (numbers / math.sqrt(2)).erf())).numpy()
    return result


def pairs(n: int, seed: int) -> tuple[list[str], Tensor, NDArray[np.uint8]]:
    """Captions, channel means (N, 16) and pictures (N, 64, 64, 3) without grain, which no caption could say."""
    rows = sample(n, seed)
    means = torch.randn(n, LATENT_CHANNELS, generator=torch.Generator().manual_seed(seed))
    grey = draw(replace(rows.bodies, anatomy=anatomy_of(means)))
    return rows.captions(), means, np.repeat(grey[..., None], 3, axis=3)


class XrayEncoders(Encoders):
    """The frozen stages before the denoiser, for the phantom's rows."""

    @torch.no_grad()
    def batch(self, n: int, seed: int, presence_share: float) -> Batch:
        """Fresh rows; all are coupled to their noise, whatever `presence_share` is."""
        captions, means, images = pairs(n, seed)
        with torch.autocast("cpu", torch.bfloat16):
            text, mask = self.words(captions, MAX_TOKENS)
            latents = self.vae.encode(to_tensor(images)).latents.float()
        return Batch(latents, text, mask, means, torch.ones(n, dtype=torch.bool))


def _encoders(folder: Path) -> XrayEncoders:
    return XrayEncoders(**vars(load_encoders(folder)))


def _rows(encoders: Encoders, n: int, seed: int) -> tuple[Batch, NDArray[np.uint8]]:
    """Fresh rows as the denoiser sees them, and their pictures."""
    return encoders.batch(n, seed, RECIPE.presence_share), pairs(n, seed)[2]


def main(argv: Sequence[str] | None = None) -> None:
    """Run one stage."""
    options = stage_parser("xray_generator", __doc__, 300.0).parse_args(argv)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.stage == "vae":
        train_vae(options.out / "vae", options.seconds, images_of=lambda n, seed: pairs(n, seed)[2])
    elif options.stage == "text":
        train_text_encoder(options.out, options.seconds)
    elif options.stage == "denoiser":
        # both held-out columns of its log are of the same kind here
        trainer = Trainer(_encoders(options.out), replace(RECIPE, seconds=options.seconds), options.out)
        train_denoiser(trainer, options.out, options.resume and (options.out / "checkpoint.pt").exists())
    elif options.stage == "decoder":
        tune_decoder(_encoders(options.out), options.out, options.seconds, _rows)
    else:
        export_pipeline(options.out, options.to)


if __name__ == "__main__":
    main()
