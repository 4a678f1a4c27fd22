"""A small, untrained Stable Diffusion pipeline whose words are those of given captions: a base to train on a laptop.

    python -m genlens.training.tiny_pipeline OUT data/train/metadata.csv --column caption

It has the parts and the folder layout of Stable Diffusion 1.5, so what trains it trains the real one.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

MAX_TOKENS = 77
_SPECIAL = ("<start>", "<end>", "<unknown>")


def new_tokenizer(captions: Iterable[str]) -> Any:
    """A word tokenizer with every word, number and sign of the captions."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for caption in captions for word in re.findall(r"\w+|[^\w\s]", caption.lower())})
    vocabulary = {word: number for number, word in enumerate((*_SPECIAL, *words))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), "removed", invert=True)
    backend.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 0), ("<end>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<start>", eos_token="<end>", pad_token="<end>", unk_token="<unknown>",
        model_max_length=MAX_TOKENS,
    )  # fmt: skip


def tiny_pipeline(captions: Iterable[str], *, size: int = 64, seed: int = 0) -> Any:
    """A `StableDiffusionPipeline` with random weights, about 3 million.

    Args:
        captions: what its words are taken from.
        size: side of its images in pixels, a multiple of 16.
        seed: of the weights.
    """
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = new_tokenizer(captions)
    torch.manual_seed(seed)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=MAX_TOKENS, projection_dim=64, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(16, 32, 32), down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, latent_channels=4, norm_num_groups=8, sample_size=size,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        block_out_channels=(48, 96), layers_per_block=1, sample_size=size // 4, in_channels=4, out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=64, attention_head_dim=16, norm_num_groups=8,
    )  # fmt: skip
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )
    return StableDiffusionPipeline(
        vae=vae, text_encoder=CLIPTextModel(text).eval(), tokenizer=tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Write a pipeline."""
    from genlens.datasets.imagefolder import read_metadata

    parser = argparse.ArgumentParser(prog="python -m genlens.training.tiny_pipeline", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("out", type=Path)
    parser.add_argument("metadata", type=Path, nargs="+", help="metadata files with captions")
    parser.add_argument("--column", default="caption")
    parser.add_argument("--size", type=int, default=64)
    options = parser.parse_args(argv)
    captions = [str(text) for path in options.metadata for text in read_metadata(path)[options.column]]
    tiny_pipeline(captions, size=options.size).save_pretrained(options.out)


if __name__ == "__main__":
    main()
