"""Tiny CLIP, OWLv2 and Grounding DINO built from configuration: random weights, own tokenizers, saved to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

WORDS = ["a", "photo", "of", "red", "green", "blue", "circle", "rectangle", "cat", "remote", "control", ".", "?", ";"]
LENGTH = 16


def tokenizer(kind: str) -> Any:
    """Words with a token before and one after, as CLIP or BERT name them."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    start, end = ("[CLS]", "[SEP]") if kind == "bert" else ("<|startoftext|>", "<|endoftext|>")
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", start, end, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, 2), (end, 3)]
    )
    names = {"cls_token": start, "sep_token": end} if kind == "bert" else {"bos_token": start, "eos_token": end}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", model_max_length=LENGTH, **names
    )


def text_config(**more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(WORDS) + 4, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": LENGTH, "bos_token_id": 2, "eos_token_id": 3,
        "pad_token_id": 0, **more,
    }  # fmt: skip


def vision_config(**more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": 32, "patch_size": 8, **more,
    }  # fmt: skip


def clip() -> tuple[Any, Any]:
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor

    model = CLIPModel(CLIPConfig(text_config=text_config(), vision_config=vision_config(), projection_dim=8))
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return model, CLIPProcessor(image_processor=pictures, tokenizer=tokenizer("clip"))


def owlv2() -> tuple[Any, Any]:
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessorPil, Owlv2Processor

    model = Owlv2ForObjectDetection(
        Owlv2Config(text_config=text_config(), vision_config=vision_config(), projection_dim=16)
    )
    pictures = Owlv2ImageProcessorPil(size={"height": 32, "width": 32})
    return model, Owlv2Processor(image_processor=pictures, tokenizer=tokenizer("clip"))


def grounding_dino() -> tuple[Any, Any]:
    from transformers import (
        BertConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessorPil,
        GroundingDinoProcessor,
        SwinConfig,
    )

    swin = SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[1, 1, 1], num_heads=[1, 1, 1], window_size=2,
        out_features=["stage2", "stage3"], out_indices=[2, 3],
    )  # fmt: skip
    bert = BertConfig(
        vocab_size=len(WORDS) + 4, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=LENGTH,
    )  # fmt: skip
    model = GroundingDinoForObjectDetection(
        GroundingDinoConfig(
            backbone_config=swin, text_config=bert, d_model=32, encoder_layers=1, decoder_layers=2,
            encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32,
            num_queries=10, num_feature_levels=3, max_text_len=LENGTH, encoder_n_points=2, decoder_n_points=2,
        )
    )  # fmt: skip
    pictures = GroundingDinoImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 64})
    return model, GroundingDinoProcessor(image_processor=pictures, tokenizer=tokenizer("bert"))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folder of a tiny model by kind, written once."""
    import torch

    makers = {"clip": clip, "owlv2": owlv2, "grounding-dino": grounding_dino}
    written: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in written:
            written[kind] = tmp_path_factory.mktemp("annotators") / kind
            torch.manual_seed(0)
            model, processor = makers[kind]()
            model.save_pretrained(written[kind])
            processor.save_pretrained(written[kind])
        return written[kind]

    return folder
