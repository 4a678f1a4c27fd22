"""Soft prompts: where the free tokens stand, where they start, what is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlens.errors import UserError
from genlens.generators.diffusers import DiffusersGenerator
from genlens.prompts.soft import PromptState, SoftPrompt

Folders = Callable[[str], Path]


def load(folder: Path, **options: Any) -> DiffusersGenerator:
    return DiffusersGenerator.from_pretrained(folder, **{"num_inference_steps": 2, "device": "cpu", **options})


@pytest.mark.parametrize("kind", ["sd", "sdxl", "pixart"])
def test_words_put_into_the_free_places_give_the_captions_pictures(pipeline_folder: Folders, kind: str) -> None:
    generator = load(pipeline_folder(kind), guidance_scale=2.0)
    prompt = SoftPrompt(generator, "red {} , blue", 2, start="green circle")
    assert len(prompt.tokens) == (2 if kind == "sdxl" else 1)
    images = prompt.images(prompt.state(), [3, 4])
    wanted = generator.generate(["red green circle , blue"] * 2, [3, 4])
    assert np.abs(images.astype(int) - wanted).max() <= 1
    other = SoftPrompt(generator, "red {} , blue", 2, start="word:rectangle")
    assert np.abs(other.images(other.state(), [3, 4]).astype(int) - images).max() >= 1


def test_the_template_is_left_alone_and_the_free_tokens_are_not(pipeline_folder: Folders) -> None:
    prompt = SoftPrompt(load(pipeline_folder("sd")), "red {} blue", 3, restarts=2)
    embeddings, ids = prompt()
    assert embeddings[0].shape == (2, 16, 16) and ids[0].shape == (2, 16)
    fixed = prompt.gradient_generator.embed([ids[0][:1]])[0][0]
    places = [0, 1, 5, *range(6, 16)]  # <start> red . . . blue <end> and what fills up
    assert torch.equal(embeddings[0][0, places], fixed[places])
    assert torch.equal(embeddings[0][:, 2:5], prompt.tokens[0])
    again, _ = prompt(torch.tensor([1, 1, 0]))
    assert torch.equal(again[0], embeddings[0][[1, 1, 0]])


def test_only_the_free_tokens_take_gradients(pipeline_folder: Folders) -> None:
    prompt = SoftPrompt(load(pipeline_folder("sdxl")), "red {}", 2, restarts=2)
    images = prompt.gradient_generator.render(prompt.conditioning(), [1, 2])
    images.sum().backward()
    assert [name for name, _ in prompt.named_parameters()] == ["tokens.0", "tokens.1"]
    for tokens in prompt.tokens:
        assert tokens.grad is not None and bool((tokens.grad.abs().sum((1, 2)) > 0).all())


def test_starts(pipeline_folder: Folders) -> None:
    generator = load(pipeline_folder("sd"))
    one, same, other = (SoftPrompt(generator, "{}", 3, restarts=2, seed=seed).tokens[0] for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other) and not torch.equal(one[0], one[1])
    table = SoftPrompt(generator, "{}").gradient_generator.encoders[0].table
    one = one.detach()
    assert bool((torch.cdist(one.flatten(0, 1), table).amin(dim=1) < 1e-4).all())  # random words
    words = SoftPrompt(generator, "{}", 3, start="red circle", restarts=2)
    red, circle = (table[generator.pipeline.tokenizer.convert_tokens_to_ids(word)] for word in ("red", "circle"))
    assert torch.equal(words.tokens[0][0], torch.stack([red, circle, red]))
    assert 0 < float((words.tokens[0][1] - words.tokens[0][0]).detach().abs().max()) < 0.2
    assert float(words.vocabulary_distance().detach()) < 0.02
    alone = SoftPrompt(generator, "{}", 3, start="word:red")
    assert float(alone.vocabulary_distance().detach()) == pytest.approx(0, abs=1e-6)


def test_the_template_is_free_tokens_alone_where_its_words_are_unknown(
    pipeline_folder: Folders, shapes_generator: DiffusersGenerator
) -> None:
    assert SoftPrompt(shapes_generator).template == "{}"
    assert SoftPrompt(shapes_generator, "red {}").template == "red {}"


def test_states_are_saved_and_set(pipeline_folder: Folders, tmp_path: Path) -> None:
    generator = load(pipeline_folder("sdxl"))
    prompt = SoftPrompt(generator, "{}", 2, restarts=2)
    state = prompt.state(1, step=7, score=0.5)
    state.save(tmp_path / "prompt.safetensors")
    found = PromptState.load(tmp_path / "prompt.safetensors")
    assert (found.score, found.step, found.restart) == (0.5, 7, 1)
    fresh = SoftPrompt(generator, "{}", 2, seed=9)
    fresh.set_state(found)
    assert np.array_equal(fresh.images(fresh.state(), [4]), prompt.images(state, [4]))
    saved = SoftPrompt(generator, "{}", 2, restarts=2, seed=5)
    saved.load_state_dict(prompt.state_dict())
    assert torch.equal(saved.tokens[1], prompt.tokens[1])
    with pytest.raises(UserError, match="must have the shapes"):
        SoftPrompt(generator, "{}", 3).set_state(found)
    (tmp_path / "no.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match="is no saved prompt"):
        PromptState.load(tmp_path / "no.safetensors")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template": "red circle"}, "`template` must have one {}, where the optimised tokens go; got 'red circle'."),
        ({"template": "{} {}"}, "`template` must have one {}"),
        ({"n_tokens": 0}, "`n_tokens` must be an integer >= 1; got 0."),
        ({"n_tokens": 15, "template": "{}"}, "`n_tokens` must be at most 14 in this template; got 15."),
        ({"start": "word:tiger"}, "`start` 'word:tiger' is no text that the tokenizer knows."),
        ({"start": "red green blue circle"}, "has 4 tokens, more than `n_tokens` (3)"),
        ({"restarts": 0}, "`restarts` must be an integer >= 1; got 0."),
    ],
)
def test_bad_input_is_refused_in_one_line(pipeline_folder: Folders, options: dict[str, Any], message: str) -> None:
    generator = load(pipeline_folder("sd"))
    with pytest.raises(UserError, match=re.escape(message)):
        SoftPrompt(generator, **{"template": "{}", **options})


def test_a_generator_without_a_prompt_is_refused() -> None:
    from genlens.generators.drawer import DrawerGenerator

    with pytest.raises(UserError, match="DrawerGenerator has no text encoder"):
        SoftPrompt(DrawerGenerator())  # type: ignore[arg-type]
