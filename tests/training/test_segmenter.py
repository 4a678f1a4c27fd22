"""The segmenter's training: labels, words, and that a stopped run goes on."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from genlens.datasets import shapes
from genlens.segmenters import CallableSegmenter
from genlens.training.segmenter import (
    SegmenterRecipe,
    mask_loss,
    prompted_batch,
    text_loss,
    text_targets,
    train_segmenter,
)
from genlens.training.segmenter_data import SHAPES, SHAPES_PROMPTS, sample_shapes, shapes_prompt_masks, visible_masks
from genlens.training.segmenter_model import new_segmenter
from genlens.training.segmenter_quality import measure_segmenter
from genlens.training.segmenter_text import new_tokenizer


def test_masks_of_prompts_fit_together() -> None:
    found = sample_shapes(40, 5)
    masks = {name: found.masks[:, j] for j, name in enumerate(SHAPES_PROMPTS)}
    everything = masks["circle"] | masks["rectangle"]
    assert (masks["background"] == ~everything).all()
    assert not (masks["circle"] & masks["rectangle"]).any()
    for name in shapes.CONCEPTS:
        colour, kind = name.split()
        assert not (masks[name] & ~(masks[colour] & masks[kind])).any()
    assert (sample_shapes(40, 5).images == found.images).all()


def test_hidden_shapes_are_not_in_the_mask_and_hardly_seen_ones_unknown() -> None:
    slots = np.tile(np.array([32, 32, 12, 12]), (1, 6, 1))
    slots[0, :3, 2:] = (6, 0)
    presence = np.array([[1, 0, 0, 0, 0, 1]])  # a blue rectangle right on a red circle
    drawn = visible_masks(presence, slots)
    assert not drawn[0, 0].any() and drawn[0, 5].any()
    _, known = shapes_prompt_masks(drawn, presence, np.zeros((1, 6), dtype=bool))
    at = SHAPES_PROMPTS.index
    assert not known[0, at("red circle")] and not known[0, at("circle")] and not known[0, at("red")]
    assert known[0, at("blue rectangle")] and known[0, at("green circle")]


def test_a_strange_colour_keeps_its_kind() -> None:
    presence, slots = np.array([[1, 0, 0, 0, 0, 0]]), shapes.sample_slots(1, 0).params
    drawn = visible_masks(presence, slots)
    masks, _ = shapes_prompt_masks(drawn, presence, presence.astype(bool))
    at = SHAPES_PROMPTS.index
    assert not masks[0, at("red circle")].any() and not masks[0, at("red")].any()
    assert (masks[0, at("circle")] == drawn[0, 0]).all()


def test_prompts_of_strangers_have_empty_masks() -> None:
    recipe = SegmenterRecipe(batch=16, prompts=4, worlds=("shapes",))
    images, prompts, masks, known = prompted_batch((SHAPES,), recipe, 3)
    assert images.shape == (16, 64, 64, 3) and len(prompts) == 64 and masks.shape == (16, 4, 64, 64)
    strange = np.array([any(word in prompt for word in ("person", "dog", "car")) for prompt in prompts]).reshape(16, 4)
    assert strange.any() and not masks[strange].any() and known[strange].all()


def test_words() -> None:
    tokenizer = new_tokenizer()
    assert tokenizer("T-shirt/top")["input_ids"] == tokenizer("tshirt")["input_ids"]
    assert tokenizer("Ankle boot")["input_ids"] == tokenizer("boot")["input_ids"]
    assert tokenizer.unk_token_id in tokenizer("a photo of a dachshund")["input_ids"]


def test_names_that_share_a_word_share_a_part() -> None:
    own = text_targets(["red circle"])[0]
    same, shared, different = text_targets(["red circle", "red", "blue rectangle"]) @ own / 64
    assert same > 0.9 and 0.3 < shared < 0.9 and abs(different) < 0.3


def test_text_learns_what_phrases_mean() -> None:
    tokenizer = new_tokenizer()
    torch.manual_seed(0)
    model = new_segmenter(tokenizer)
    parameters = [*model.clip.text_model.parameters(), *model.clip.text_projection.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3)
    first = float(text_loss(model, tokenizer, ["red circle", "blue"], 999).detach())
    for step in range(25):
        loss = text_loss(model, tokenizer, ["red circle", "blue"], step)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert float(text_loss(model, tokenizer, ["red circle", "blue"], 999).detach()) < 0.3 * first


def test_loss_prefers_the_right_masks() -> None:
    masks = torch.zeros(1, 2, 8, 8)
    masks[0, 0, :4] = 1
    right, wrong, known = (masks * 2 - 1) * 6, -(masks * 2 - 1) * 6, torch.ones(1, 2)
    assert mask_loss(right, masks, known) < 0.05 < mask_loss(wrong, masks, known)
    unknown = torch.tensor([[0.0, 1.0]])
    assert mask_loss(torch.cat([wrong[:, :1], right[:, 1:]], dim=1), masks, unknown) < 0.05


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    recipe = SegmenterRecipe(text_steps=2, vision_steps=2, decoder_steps=2, batch=2, prompts=2, worlds=("shapes",))
    whole = train_segmenter(recipe, tmp_path / "whole", log=lambda line: None)

    class Stop(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("decoder"):
            raise Stop

    with suppress(Stop):
        train_segmenter(recipe, tmp_path / "stopped", log=stop)
    assert (tmp_path / "stopped" / "vision.pt").exists()
    again = train_segmenter(recipe, tmp_path / "stopped", log=lambda line: None)
    assert not list((tmp_path / "stopped").glob("*.pt"))
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, again.state_dict()[name], atol=1e-6), name


def test_quality_of_a_segmenter_that_knows_the_truth() -> None:
    found = sample_shapes(30, 8)

    def perfect(images: np.ndarray, text: str) -> np.ndarray:
        return found.masks[:, SHAPES_PROMPTS.index(text)].astype(np.float32)

    def inverted(images: np.ndarray, text: str) -> np.ndarray:
        return 1 - perfect(images, text)

    good, bad = (
        measure_segmenter(CallableSegmenter(one, fingerprint="x"), found, SHAPES_PROMPTS, shapes.CONCEPTS)["mean"]
        for one in (perfect, inverted)
    )
    assert good["iou"] == 1 and good["false_present"] == 0 and good["auroc"] > 0.99
    assert good["false_absent"] < 0.1  # shapes of which less than .5% of the picture is to be seen
    assert bad["iou"] == 0 and bad["false_present"] == 1
