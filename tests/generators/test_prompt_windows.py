"""Captions in several windows: split between words, joined embeddings, images that don't hang on their batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlens.errors import CaptionError, UserError
from genlens.generators.diffusers import DiffusersGenerator
from genlens.generators.prompt_windows import joined, split_windows, token_counts

Folders = Callable[[str], Path]
LONG = "red circle " * 10
SHORT = "blue rectangle"


def load(folder: Path, **options: Any) -> DiffusersGenerator:
    return DiffusersGenerator.from_pretrained(folder, **{"num_inference_steps": 1, "device": "cpu", **options})


def test_windows_fit_and_hold_every_word(pipeline_folder: Folders) -> None:
    generator = load(pipeline_folder("sd"))
    parts = split_windows(generator.limits, LONG)
    assert " ".join(parts) == LONG.strip()
    assert all(length <= 16 for length in generator.count_tokens(parts))
    assert len(parts) == 2 and split_windows(generator.limits, SHORT) == [SHORT] and split_windows((), LONG) == [LONG]
    assert (generator.token_limit, generator.count_tokens([SHORT])) == (16, [4])
    assert token_counts((), [LONG]) == [0]


@pytest.mark.parametrize("kind", ["sd", "sdxl", "pixart"])
@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_an_image_does_not_hang_on_its_batch(pipeline_folder: Folders, kind: str, guidance: float) -> None:
    generator = load(pipeline_folder(kind), windows=2, guidance_scale=guidance)
    together = generator.generate([LONG, SHORT], [1, 2])
    apart = np.concatenate([generator.generate([LONG], [1]), generator.generate([SHORT], [2])])
    assert np.abs(together.astype(int) - apart).max() <= 1


def test_words_of_the_second_window_reach_the_image(pipeline_folder: Folders) -> None:
    generator = load(pipeline_folder("sd"), windows=2)
    other = LONG.strip().removesuffix("circle") + "rectangle"
    images = generator.generate([LONG, other], [1, 1])
    assert (images[0] != images[1]).any()


def test_one_window_is_what_it_was(pipeline_folder: Folders) -> None:
    plain, one = load(pipeline_folder("sd")), load(pipeline_folder("sd"), windows=1)
    assert plain.fingerprint == one.fingerprint != load(pipeline_folder("sd"), windows=2).fingerprint


def test_too_many_windows_are_refused_with_what_it_takes(pipeline_folder: Folders) -> None:
    generator = load(pipeline_folder("sd"), windows=2)
    generator.check_captions([LONG, SHORT])
    with pytest.raises(CaptionError, match=r"1 of 2 captions don't fit in 2 windows of 16 tokens; the longest takes 3"):
        generator.check_captions([LONG * 2, SHORT])
    with pytest.raises(UserError, match="`windows` must be an integer >= 1"):
        load(pipeline_folder("sd"), windows=0)


def test_a_word_longer_than_a_window_is_refused() -> None:
    class Letters:
        def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
            return {"input_ids": [[0] * len(text) for text in texts]}

    assert split_windows([(Letters(), 5)], "ab cd ef") == ["ab cd", "ef"]
    with pytest.raises(CaptionError, match="The word 'abcdefg' alone is longer"):
        split_windows([(Letters(), 5)], "ab abcdefg")


def test_embeddings_are_joined_by_hand() -> None:
    embeds = torch.arange(24.0).reshape(4, 3, 2)  # two captions of two windows of three tokens
    mask = torch.ones(4, 3, dtype=torch.long)
    told = {"prompt_embeds": embeds, "prompt_attention_mask": mask, "pooled_prompt_embeds": embeds[:, 0]}
    found = joined(told, 2, [2, 1])
    torch.testing.assert_close(found["prompt_embeds"], embeds.reshape(2, 6, 2))
    assert found["prompt_attention_mask"].tolist() == [[1] * 6, [1] * 3 + [0] * 3]
    torch.testing.assert_close(found["pooled_prompt_embeds"], embeds[[0, 2], 0])
