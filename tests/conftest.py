"""What all tests share: no network, no hub, one thread, no window; small data sets; tiny pipelines."""

from __future__ import annotations

import os
import re

# Before torch and matplotlib are imported by anything: many small operations run faster on one thread than on two.
os.environ.update(
    OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", MPLBACKEND="Agg",
    TERM="dumb", COLUMNS="100", NO_COLOR="1",
)  # fmt: skip

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from genlens.concepts import ConceptTable
    from genlens.generators.drawer import DrawerGenerator


@pytest.fixture(scope="session")
def shapes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shapes data set of 64 rows as an imagefolder. Read only."""
    from genlens.datasets.shapes import write_imagefolder

    folder = tmp_path_factory.mktemp("data") / "shapes"
    write_imagefolder(folder, 64, 0)
    return folder


@pytest.fixture(scope="session")
def shapes_table(shapes_folder: Path) -> ConceptTable:
    """64 rows, six binary concepts whose captions say where each shape is, and the data set's own label."""
    from genlens.concepts import ConceptTable
    from genlens.datasets.shapes import CONCEPTS

    return ConceptTable.from_metadata(shapes_folder, list(CONCEPTS), "label")


@pytest.fixture
def drawer() -> DrawerGenerator:
    """The perfect generator for `shapes_table`."""
    from genlens.generators.drawer import DrawerGenerator

    return DrawerGenerator()


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run folder that does not exist yet."""
    return tmp_path / "run"


@pytest.fixture(scope="session")
def fashion_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fashion-MNIST's four IDX files with fake photographs: bright boxes, a form for each class. Read only."""
    import gzip
    import struct

    import numpy as np

    folder = tmp_path_factory.mktemp("fashion")
    rng = np.random.default_rng(0)
    for part, n in (("train", 360), ("t10k", 60)):
        labels = np.arange(n, dtype=np.uint8) % 10
        images = np.zeros((n, 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            height, width = 10 + 3 * (int(label) // 2), 24 - 4 * (int(label) % 4)
            top, left = (28 - height) // 2, (28 - width) // 2
            image[top : top + height, left : left + width] = rng.integers(100, 256, (height, width))
        for name, values in ((f"{part}-images-idx3", images), (f"{part}-labels-idx1", labels)):
            header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
            (folder / f"{name}-ubyte.gz").write_bytes(gzip.compress(header + values.tobytes(), mtime=0))
    return folder


# Tiny pipelines built from configuration: random weights, own tokenizers, nothing downloaded.

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
