"""Few steps before and after distillation: a tiny PixArt pipeline on data of two pictures, black and white.

    python benchmarks/distillation.py          # two minutes on one core

All captions are the same, so pure noise says nothing of the picture: the teacher's first step is grey, half-way between
both, and only many steps end at one of them. The pipeline is built from configuration and trained by
`genlens.training.finetune`; then `genlens.training.distill` makes it one of few steps. Printed: how far the latents of
generated pictures lie from those of the nearer of the two data pictures, as a share of half of their distance: 1 is
grey, 0 is one of the two.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from genlens.generators.pipelines import quiet
from genlens.training.distill import distill_generator
from genlens.training.finetune import train_generator
from genlens.training.finetune_data import CaptionedImages
from genlens.training.finetune_recipe import FinetuneRecipe

SIDE, STEPS, DRAWS = 8, (1, 2, 4, 16), 256


def new_pipeline(folder: Path) -> None:
    """A PixArt pipeline of some ten thousand weights that knows one word."""
    from diffusers import AutoencoderTiny, DDIMScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    backend = Tokenizer(models.WordLevel({"<pad>": 0, "<unknown>": 1, "picture": 2}, unk_token="<unknown>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unknown>", model_max_length=4
    )
    text: Any = CLIPTextModel(
        CLIPTextConfig(vocab_size=3, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                       max_position_embeddings=4, bos_token_id=0, eos_token_id=0, pad_token_id=0)
    )  # fmt: skip
    vae = AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), num_encoder_blocks=(0, 1),
        num_decoder_blocks=(1, 0), latent_channels=4,
    )  # fmt: skip
    _standardise(vae)
    transformer = PixArtTransformer2DModel(
        num_attention_heads=4, attention_head_dim=8, in_channels=4, out_channels=4, num_layers=2, sample_size=SIDE // 2,
        patch_size=2, cross_attention_dim=32, caption_channels=16, use_additional_conditions=False,
    )  # fmt: skip
    scheduler = DDIMScheduler(
        prediction_type="sample", rescale_betas_zero_snr=True, timestep_spacing="trailing", clip_sample=False
    )
    with quiet():
        PixArtAlphaPipeline(
            tokenizer=tokenizer, text_encoder=text, vae=vae, transformer=transformer, scheduler=scheduler
        ).save_pretrained(folder)


@torch.no_grad()
def _standardise(vae: Any) -> None:
    """Latents of the two pictures at mean 0 and variance 1, as a trained autoencoder has them."""
    latents = vae.encode(_ends()).latents  # (2, C, h, w)
    vae.encoder.layers[-1].bias -= latents.mean(dim=(0, 2, 3))
    vae.register_to_config(scaling_factor=float(1 / vae.encode(_ends()).latents.std()))


def _ends() -> torch.Tensor:
    """The two pictures, (2, 3, H, W) in [-1, 1]."""
    return torch.stack([torch.full((3, SIDE, SIDE), value) for value in (-1.0, 1.0)])


def two_pictures(folder: Path) -> CaptionedImages:
    """A black and a white picture, 32 times each."""
    folder.mkdir()
    paths = []
    for i in range(64):
        paths.append(folder / f"{i}.png")
        Image.fromarray(np.full((SIDE, SIDE, 3), 255 * (i % 2), dtype=np.uint8)).save(paths[-1])
    return CaptionedImages(tuple(path.name for path in paths), tuple(paths), ("picture",) * 64)


@torch.no_grad()
def distances(folder: Path) -> list[float]:
    """Mean distance from the nearer data picture for each of `STEPS`, as a share of half the distance of the two."""
    from diffusers import PixArtAlphaPipeline

    with quiet():
        pipeline: Any = PixArtAlphaPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    ends = pipeline.vae.encode(_ends()).latents.flatten(1) * pipeline.vae.config.scaling_factor  # (2, C h w)
    found = []
    for steps in STEPS:
        with quiet():
            latents = pipeline(
                prompt=["picture"] * DRAWS, negative_prompt="", num_inference_steps=steps, guidance_scale=1.0,
                generator=torch.Generator().manual_seed(0), output_type="latent", height=SIDE, width=SIDE,
                use_resolution_binning=False, clean_caption=False, max_sequence_length=4,
            ).images.flatten(1)  # fmt: skip
        far = torch.cdist(latents, ends).min(dim=1).values.mean()
        found.append(float(far / ((ends[0] - ends[1]).norm() / 2)))
    return found


def main() -> None:
    """Train, distil, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400, help="of the teacher")
    parser.add_argument("--distill-steps", type=int, default=400)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        new_pipeline(place / "base")
        data = two_pictures(place / "data")
        recipe = FinetuneRecipe(
            steps=options.steps, batch=32, rate=3e-3, schedule="linear", ema=0.98, caption_dropout=0.0
        )
        call: dict[str, Any] = {"size": SIDE, "device": "cpu"}
        teacher = train_generator(data, place / "base", place / "teacher", recipe, **call).pipeline
        few = FinetuneRecipe(
            steps=options.distill_steps, batch=32, rate=1e-3, schedule="linear", ema=0.98, high_noise=0.1
        )
        assert teacher is not None
        call |= {"few_steps": 2, "solver_steps": 20}
        student = distill_generator(data, teacher, place / "student", few, **call).pipeline
        assert student is not None
        print("steps     " + "".join(f"{steps:8d}" for steps in STEPS))
        for label, folder in (("teacher", teacher), ("distilled", student)):
            print(f"{label:10s}" + "".join(f"{value:8.3f}" for value in distances(folder)), flush=True)


if __name__ == "__main__":
    main()
