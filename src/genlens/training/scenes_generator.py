"""Train the shipped text-to-image diffusion model of scenes, on CPUs, in stages.

    python -m genlens.training.scenes_generator vae      --out build/scenes_generator
    python -m genlens.training.scenes_generator text     --out build/scenes_generator --seconds 240
    python -m genlens.training.scenes_generator decoder  --out build/scenes_generator --seconds 1200
    python -m genlens.training.scenes_generator denoiser --out build/scenes_generator --seconds 3600 [--resume]
    python -m genlens.training.scenes_generator decoder  --out build/scenes_generator --seconds 300
    python -m genlens.training.scenes_generator export   --out build/scenes_generator --to DIRECTORY

The recipe is that of `genlens.training.shapes_generator`; data, words and encoder differ. The first `decoder` learns
from the encoder's latents, the second from the denoiser's as well.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genlens.training import shapes_generator
from genlens.training.scenes_autoencoder import build_autoencoder
from genlens.training.scenes_data import CoupledRows, real_images, sample_coupled
from genlens.training.scenes_text import train_text_encoder
from genlens.training.shapes_decoder import train_decoder
from genlens.training.shapes_denoiser import Recipe, Trainer
from genlens.training.shapes_generator import export_pipeline, load_denoiser, load_encoders, stage_parser
from genlens.training.shapes_pool import Batch, Encoders
from genlens.training.shapes_vae import to_tensor
from genlens.training.team import Team, run_team

FULL_SHARE = 0.45
"""Share of the denoiser's captions in the full style."""
MOST_WEIGHTS = 8_000_000
"""More than the denoiser has."""
TEXT_TOKENS = 32
"""The longest caption of the training rows, with its start and end tokens."""
RECIPE = Recipe(seconds=3600.0, presence_share=FULL_SHARE, pure_noise_share=0.75, boost=8.0, boost_share=0.75)
"""The denoiser's: in place of presence-only captions, `presence_share` is the share of the full style."""
_SETTINGS = {"num_inference_steps": 1, "guidance_scale": 1.0}


class SceneEncoders(Encoders):
    """The frozen stages before the denoiser, with rows of scenes."""

    def batch(self, n: int, seed: int, full_share: float) -> Batch:
        """Fresh rows; see `sample_coupled`."""
        rows = sample_coupled(n, seed, full_share)
        return self.encoded(rows, rows.images())

    @torch.no_grad()
    def encoded(self, rows: CoupledRows, pictures: NDArray[np.uint8]) -> Batch:
        """Rows as the denoiser sees them; the noise of every row is coupled."""
        with torch.autocast("cpu", torch.bfloat16):
            text, mask = self.words(rows.captions(), TEXT_TOKENS)
        latents = self.vae.encode(to_tensor(pictures)).latents
        return Batch(latents, text, mask, torch.from_numpy(rows.numbers), torch.ones(len(latents), dtype=torch.bool))


class SceneTrainer(Trainer):
    """The denoiser's training; held-out errors are of default and of full captions."""

    log_fields = ("seconds", "step", "samples", "rate", "loss", "held_out_default", "held_out_full")
    quiet = 0.2

    def row(self, loss: float) -> dict[str, float]:
        """One line of the log, by the team's first process; the others have none."""
        return {} if self.team.rank else super().row(loss)

    def save(self) -> None:
        """Write the checkpoint, in the team's first process only."""
        if not self.team.rank:
            super().save()


def _settle(team: Team) -> None:
    """Threads of one process of a team."""
    torch.set_num_threads(1 if team.size > 1 else torch.get_num_threads())
    torch.set_flush_denormal(True)


def load_stages(folder: Path, vae: str = "vae") -> SceneEncoders:
    """The frozen autoencoder (folder name `vae`), tokenizer and text encoder of earlier stages in `folder`."""
    return SceneEncoders(**vars(load_encoders(folder, vae)))


def train_denoiser(team: Team, folder: Path, recipe: Recipe, resume: bool) -> None:
    """Stage 3 in one process of a team; the first prints and logs a line a minute."""
    _settle(team)
    shapes_generator.train_denoiser(SceneTrainer(load_stages(folder), recipe, folder, team), folder, resume)


@torch.no_grad()
def scene_rows(encoders: Any, n: int, seed: int) -> tuple[Batch, NDArray[np.uint8]]:
    """Fresh rows of scenes as the denoiser sees them, and their pictures."""
    rows = sample_coupled(n, seed, FULL_SHARE)
    pictures = rows.images()
    batch = encoders.encoded(rows, pictures)
    real = real_images(n // 8, seed)  # as the last rows: they are only decoded
    pictures[-len(real) :] = real
    batch.latents[-len(real) :] = encoders.vae.encode(to_tensor(real)).latents
    return batch, pictures


def tune_decoder(team: Team, folder: Path, seconds: float) -> None:
    """The decoder, to `folder`/vae_tuned: from the encoder's latents; or, once it is there, from the denoiser's."""
    _settle(team)
    tuned, model, rate = folder / "vae_tuned", None, 2e-3
    if tuned.exists():
        model, rate = load_denoiser(folder), 1e-3
    encoders = load_stages(folder, "vae_tuned" if tuned.exists() else "vae")
    train_decoder(encoders, model, tuned, seconds, rate=rate, rows_of=scene_rows, noise=0.03, team=team)


def export(folder: Path, to: Path) -> None:
    """Pack the stages into a diffusers pipeline directory `to`, with the settings genlens calls it with."""
    export_pipeline(folder, to)
    (to / "genlens.json").write_text(json.dumps(_SETTINGS) + "\n")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = stage_parser("scenes_generator", __doc__)
    parser.add_argument("--workers", type=int, default=1, help="processes of the denoiser, one thread each if several")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one stage."""
    options = _arguments(argv)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.stage == "vae":
        build_autoencoder(options.out / "vae")
    elif options.stage == "text":
        train_text_encoder(options.out, options.seconds)
    elif options.stage == "denoiser":
        recipe = replace(RECIPE, seconds=options.seconds)
        run_team(train_denoiser, options.workers, MOST_WEIGHTS, (options.out, recipe, options.resume))
    elif options.stage == "decoder":
        run_team(tune_decoder, options.workers, MOST_WEIGHTS, (options.out, options.seconds))
    else:
        export(options.out, options.to)


if __name__ == "__main__":
    main()
