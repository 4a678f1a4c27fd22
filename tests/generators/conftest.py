"""Tiny pipelines built from configuration: random weights, own tokenizers, nothing downloaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

WORDS = ["red", "green", "blue", "circle", "rectangle", "(", ")", ",", *map(str, range(64))]
MAX_TOKENS = 16


def tokenizer(max_tokens: int = MAX_TOKENS) -> Any:
    """Words, with a token before and one after, as CLIP has them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<start>", "<end>", "<unknown>"]
    vocabulary = {word: number for number, word in enumerate(special + WORDS)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    backend.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 0), ("<end>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<start>", eos_token="<end>", pad_token="<end>", unk_token="<unknown>",
        model_max_length=max_tokens,
    )  # fmt: skip


def text_encoder(projected: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(WORDS) + 3, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=MAX_TOKENS, projection_dim=16, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()


def vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4, sample_size=16,
    )  # fmt: skip


def unet(cross_attention_dim: int = 16, **more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=8, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=cross_attention_dim, attention_head_dim=4, norm_num_groups=4, **more,
    )  # fmt: skip


def ddim() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)


def build(kind: str) -> Any:
    """A pipeline with random weights: sd, sdxl, pixart, lcm."""
    import diffusers
    import torch

    torch.manual_seed(0)
    if kind in ("sd", "lcm"):
        parts = {
            "vae": vae(), "text_encoder": text_encoder(), "tokenizer": tokenizer(), "scheduler": ddim(),
            "safety_checker": None, "feature_extractor": None,
        }  # fmt: skip
        if kind == "sd":
            return diffusers.StableDiffusionPipeline(unet=unet(), requires_safety_checker=False, **parts)
        parts["scheduler"] = diffusers.LCMScheduler.from_config(ddim().config)
        student = unet(time_cond_proj_dim=8)
        return diffusers.LatentConsistencyModelPipeline(unet=student, requires_safety_checker=False, **parts)
    if kind == "sdxl":
        added = {
            "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 16 + 6 * 8,
        }  # fmt: skip
        return diffusers.StableDiffusionXLPipeline(
            vae=vae(), text_encoder=text_encoder(), text_encoder_2=text_encoder(projected=True), tokenizer=tokenizer(),
            tokenizer_2=tokenizer(), unet=unet(cross_attention_dim=32, **added), scheduler=ddim(),
            add_watermarker=False,
        )  # fmt: skip
    transformer = diffusers.PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2, sample_size=8,
        patch_size=1, cross_attention_dim=16, caption_channels=16, use_additional_conditions=False,
    )  # fmt: skip
    torch.nn.init.normal_(transformer.proj_out.weight, std=0.2)
    return diffusers.PixArtAlphaPipeline(
        tokenizer=tokenizer(), text_encoder=text_encoder(), vae=vae(), transformer=transformer, scheduler=ddim()
    )


@pytest.fixture(scope="session")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folder of a tiny pipeline by kind, written once."""
    from genlens.generators.pipelines import quiet

    written: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        assert re.fullmatch("sd|sdxl|pixart|lcm", kind)
        if kind not in written:
            written[kind] = tmp_path_factory.mktemp("pipelines") / kind
            with quiet():
                build(kind).save_pretrained(written[kind])
        return written[kind]

    return folder
