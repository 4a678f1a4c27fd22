"""CLIPSeg: built small from its config, saved and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlens.errors import UserError
from genlens.segmenters import ClipSegSegmenter, load_segmenter
from genlens.training.segmenter import save
from genlens.training.segmenter_model import mask_logits, new_segmenter
from genlens.training.segmenter_text import new_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("clipseg")
    tokenizer = new_tokenizer()
    torch.manual_seed(0)
    model = new_segmenter(tokenizer)
    torch.nn.init.normal_(model.decoder.transposed_convolution[-1].weight, std=0.05)
    save(model, tokenizer, place)
    return place


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> ClipSegSegmenter:
    return ClipSegSegmenter.from_pretrained(folder, device="cpu")


def pictures(n: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def test_masks_are_those_of_the_librarys_forward(segmenter: ClipSegSegmenter) -> None:
    images = pictures(3)
    found = segmenter.segment(images, "red circle")
    assert found.shape == (3, 64, 64) and found.dtype == np.float32 and 0 <= found.min() < found.max() <= 1
    tokens = segmenter.tokenizer(["red circle"] * 3, return_tensors="pt")
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).sub(0.5).div(0.25)
    model: Any = segmenter.model
    with torch.no_grad():
        logits = model(
            input_ids=tokens.input_ids, attention_mask=tokens.attention_mask, pixel_values=pixels
        ).logits[:, None]
    full = torch.nn.functional.interpolate(logits, (64, 64), mode="bilinear")[:, 0].sigmoid()
    assert np.allclose(found, full.numpy(), atol=1e-4)


def test_training_sees_the_same_masks(segmenter: ClipSegSegmenter) -> None:
    images = pictures(2)
    tokens = segmenter.tokenizer(["circle", "a red rectangle"] * 2, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = mask_logits(segmenter.model, images, tokens)
    for k, text in enumerate(("circle", "a red rectangle")):
        assert np.allclose(segmenter.segment(images, text), logits[:, k].sigmoid().numpy(), atol=1e-4)


def test_one_picture_and_batches(segmenter: ClipSegSegmenter) -> None:
    images = pictures(3)
    whole = segmenter.segment(images, "circle")
    single = np.concatenate([segmenter.segment(image[None], "circle") for image in images])
    assert np.allclose(whole, single, atol=1e-4)


def test_masks_have_the_size_of_the_pictures(segmenter: ClipSegSegmenter) -> None:
    assert segmenter.segment(pictures(2, 48), "circle").shape == (2, 48, 48)


def test_template_and_fingerprint(folder: Path, segmenter: ClipSegSegmenter) -> None:
    phrased = ClipSegSegmenter.from_pretrained(folder, template="a photo of a {}", device="cpu")
    images = pictures(1)
    assert np.array_equal(phrased.segment(images, "circle"), segmenter.segment(images, "a photo of a circle"))
    assert phrased.fingerprint != segmenter.fingerprint
    assert load_segmenter(str(folder), device="cpu").fingerprint == segmenter.fingerprint


def test_refusals(segmenter: ClipSegSegmenter, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no word for something in 'dachshund'\. It knows: a, an"):
        segmenter.segment(pictures(1), "dachshund")
    with pytest.raises(UserError, match="`text` must have at most 16 tokens; got 22"):
        segmenter.segment(pictures(1), "red " * 20)
    with pytest.raises(UserError, match="`text` must name what to look for"):
        segmenter.segment(pictures(1), "")
    with pytest.raises(UserError, match=r"`template` must have one \{\}"):
        ClipSegSegmenter.from_pretrained(folder, template="a photo")
    with pytest.raises(UserError, match="can't be loaded as a CLIPSeg"):
        ClipSegSegmenter.from_pretrained(tmp_path / "none")
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(UserError, match="is a vit model, not a CLIPSeg"):
        ClipSegSegmenter.from_pretrained(tmp_path)
