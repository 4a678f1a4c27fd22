"""Train the shipped text-to-image diffusion model from the shapes drawer, on CPUs, in four stages.

    python -m genlens.training.shapes_generator vae      --out build/shapes_generator --seconds 480
    python -m genlens.training.shapes_generator text     --out build/shapes_generator --seconds 420
    python -m genlens.training.shapes_generator denoiser --out build/shapes_generator --seconds 4800 [--resume]
    python -m genlens.training.shapes_generator decoder  --out build/shapes_generator --seconds 600
    python -m genlens.training.shapes_generator export   --out build/shapes_generator --to DIRECTORY

Stages hand over through folders of `--out`. The denoiser writes a checkpoint every three minutes and goes on from it
with `--resume`; `export` may be called at any time and packs the averaged weights into a diffusers pipeline directory.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genlens.training.shapes_decoder import RowsOf, shapes_rows, train_decoder
from genlens.training.shapes_denoiser import Recipe, Trainer, append_log, new_scheduler
from genlens.training.shapes_pool import Encoders
from genlens.training.shapes_text import train_text_encoder
from genlens.training.shapes_vae import train_vae

if TYPE_CHECKING:
    from diffusers import PixArtTransformer2DModel


def load_encoders(folder: Path, vae: str = "vae") -> Encoders:
    """The frozen autoencoder (folder name `vae`), tokenizer and text encoder of earlier stages in `folder`."""
    from diffusers import AutoencoderTiny
    from transformers import AutoTokenizer, CLIPTextModel

    autoencoder = AutoencoderTiny.from_pretrained(folder / vae).eval().requires_grad_(False)
    text_encoder: Any = CLIPTextModel.from_pretrained(folder / "text_encoder").eval().requires_grad_(False)
    return Encoders(autoencoder, AutoTokenizer.from_pretrained(folder / "tokenizer"), text_encoder)


def train_denoiser(trainer: Trainer, folder: Path, resume: bool) -> None:
    """Stage 3; prints and logs a line a minute."""
    if resume:
        trainer.resume()
    for row in trainer.run():
        if row:  # other processes of a team have nothing to say
            append_log(folder / "training_log.csv", row)
            print("denoiser", row, flush=True)


def load_denoiser(folder: Path) -> PixArtTransformer2DModel:
    """The denoiser that stage 3 left in `folder`, frozen."""
    from diffusers import PixArtTransformer2DModel

    return PixArtTransformer2DModel.from_pretrained(folder / "transformer").eval().requires_grad_(False)


def tune_decoder(encoders: Encoders, folder: Path, seconds: float, rows_of: RowsOf = shapes_rows) -> None:
    """Stage 4; the autoencoder with the tuned decoder goes to `folder`/vae_tuned. See `train_decoder`."""
    train_decoder(encoders, load_denoiser(folder), folder / "vae_tuned", seconds, rows_of=rows_of)


def export_pipeline(folder: Path, to: Path) -> None:
    """Pack the stages into a diffusers pipeline directory `to` (model files there are replaced, others are left).

    The transformer is stored in half precision to save 8 MB; diffusers loads it in float32 unless told otherwise.
    """
    from diffusers import PixArtAlphaPipeline, PixArtTransformer2DModel

    encoders = load_encoders(folder, "vae_tuned" if (folder / "vae_tuned").exists() else "vae")
    pipeline: Any = PixArtAlphaPipeline(
        tokenizer=encoders.tokenizer,
        text_encoder=encoders.text_encoder,
        vae=encoders.vae,
        transformer=PixArtTransformer2DModel.from_pretrained(folder / "transformer").half(),
        scheduler=new_scheduler(),
    )
    pipeline.save_pretrained(to)
    _tidy(to)
    if (folder / "training_log.csv").exists():
        shutil.copy(folder / "training_log.csv", to / "training_log.csv")


def _tidy(to: Path) -> None:
    """Settings that would warn, name this machine's folders, or exclude other versions of transformers."""
    for path in to.glob("*/config.json"):
        settings = json.loads(path.read_text())
        settings.pop("_name_or_path", None)
        settings.pop("block_out_channels", None)  # AutoencoderTiny derives it and warns when it reads it back
        path.write_text(json.dumps(settings, indent=2) + "\n")
    for path in (to / "model_index.json", to / "tokenizer" / "tokenizer_config.json"):
        path.write_text(path.read_text().replace("TokenizersBackend", "PreTrainedTokenizerFast"))


def stage_parser(module: str, description: str | None, seconds: float = 600.0) -> argparse.ArgumentParser:
    """Options that the recipes of all generators have; `seconds` is the default time of a stage."""
    parser = argparse.ArgumentParser(prog=f"python -m genlens.training.{module}", description=description)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("stage", choices=("vae", "text", "denoiser", "decoder", "export"))
    parser.add_argument("--out", type=Path, required=True, help="folder that the stages share")
    parser.add_argument("--seconds", type=float, default=seconds, help="wall-clock time of this stage")
    parser.add_argument("--to", type=Path, help="pipeline directory that `export` writes")
    parser.add_argument("--resume", action="store_true", help="go on from the denoiser's checkpoint")
    return parser


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = stage_parser("shapes_generator", __doc__)
    parser.add_argument("--threads", type=int, default=2)
    for name in ("batch", "presence_share", "pure_noise_share", "rate", "seed"):
        kind = type(getattr(Recipe, name))
        parser.add_argument("--" + name.replace("_", "-"), type=kind, default=getattr(Recipe, name))
    parser.add_argument("--muon", action=argparse.BooleanOptionalAction, default=Recipe.muon)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one stage."""
    options = _arguments(argv)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.stage == "vae":
        train_vae(options.out / "vae", options.seconds)
    elif options.stage == "text":
        train_text_encoder(options.out, options.seconds)
    elif options.stage == "denoiser":
        names = ("seconds", "batch", "presence_share", "pure_noise_share", "rate", "seed", "muon")
        recipe = replace(Recipe(), **{n: getattr(options, n) for n in names})
        train_denoiser(Trainer(load_encoders(options.out), recipe, options.out), options.out, options.resume)
    elif options.stage == "decoder":
        tune_decoder(load_encoders(options.out), options.out, options.seconds)
    else:
        export_pipeline(options.out, options.to)


if __name__ == "__main__":
    main()
