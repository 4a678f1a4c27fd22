"""The shapes generator: its parts, a training of seconds, and the shipped weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import genlens
from genlens.datasets import shapes
from genlens.training import quality, shapes_judge, shapes_layout, shapes_text
from genlens.training.shapes_data import sample_rows
from genlens.training.shapes_denoiser import Recipe, Trainer, new_scheduler, rate_factor
from genlens.training.shapes_generator import export_pipeline, load_encoders
from genlens.training.shapes_vae import LATENT_CHANNELS, new_vae

SHIPPED = Path(genlens.__file__).parent / "assets" / "shapes_generator"


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return quality.load_pipeline(SHIPPED)


@pytest.fixture(scope="module")
def judge() -> shapes_judge.Judge:
    return shapes_judge.load_judge()


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the first two stages leave it, with random weights."""
    folder = tmp_path_factory.mktemp("stages")
    tokenizer = shapes_text.new_tokenizer()
    new_vae().save_pretrained(folder / "vae")
    tokenizer.save_pretrained(folder / "tokenizer")
    shapes_text.new_text_encoder(tokenizer).save_pretrained(folder / "text_encoder")
    return folder


def test_a_segment_is_its_words_and_ends_with_one_comma_token() -> None:
    tokenizer = shapes_text.new_tokenizer()
    ids = tokenizer("red circle (12, 40) 9, Blue rectangle (1,2) 14 10").input_ids
    words = "[BOS] red circle 12 40 9 , blue rectangle 1 2 14 10 [EOS]"
    assert tokenizer.convert_ids_to_tokens(ids) == words.split()
    assert len(tokenizer("").input_ids) == 2
    assert "[UNK]" in tokenizer.convert_ids_to_tokens(tokenizer("2 person, 1 couch").input_ids)


def test_the_longest_caption_fits_the_text_encoder() -> None:
    caption = shapes.segment_caption([1] * 6, shapes.sample_slots(1, 0).params[0])
    assert len(shapes_text.new_tokenizer()(caption).input_ids) <= shapes_text.MAX_TOKENS


def test_targets_of_the_text_encoder_stand_at_segment_ends_only() -> None:
    ids, mask, target = shapes_text.text_batch(shapes_text.new_tokenizer(), 64, 3)
    named = target[..., 6] > 0
    assert target.shape == (*ids.shape, shapes_text.TARGET_CHANNELS)
    assert not target[~named].any()
    assert bool((mask[named] == 1).all())
    assert bool((target[named][:, :6].sum(dim=1) == 1).all())


def test_layout_of_noise_is_free_of_overlap_inside_and_independent_of_other_noise() -> None:
    means = torch.randn(2000, LATENT_CHANNELS, generator=torch.Generator().manual_seed(0))
    slots = shapes_layout.layout_of(means)
    drawn = shapes.masks(np.ones((2000, 6), dtype=int), slots)
    assert drawn.sum(axis=1).max() == 1
    half = shapes.half_extents(slots)
    assert (slots[..., :2] - half).min() >= 0
    assert (slots[..., :2] + half).max() <= shapes.IMAGE_SIZE
    angle = np.arctan2(slots[:, 0, 1] - 32, slots[:, 0, 0] - 32)
    assert np.histogram(angle, 8, (-np.pi, np.pi))[0] == pytest.approx(np.full(8, 250), abs=60)


def test_noise_with_given_means_has_them_and_stays_standard_normal() -> None:
    rng = torch.Generator().manual_seed(1)
    means = torch.randn(500, LATENT_CHANNELS, generator=rng)
    noise = shapes_layout.with_channel_means(torch.randn(500, LATENT_CHANNELS, 8, 8, generator=rng), means)
    torch.testing.assert_close(shapes_layout.channel_means(noise), means, atol=1e-5, rtol=1e-5)
    assert float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float(noise.std()) == pytest.approx(1, abs=0.01)


def test_one_step_of_the_scheduler_returns_the_prediction_itself() -> None:
    scheduler = new_scheduler()
    scheduler.set_timesteps(1)
    guess = torch.randn(1, 2, 3, 3)
    assert scheduler.timesteps.tolist() == [999]
    assert float(scheduler.alphas_cumprod[999]) == pytest.approx(0, abs=1e-7)
    torch.testing.assert_close(scheduler.step(guess, 999, torch.randn(1, 2, 3, 3)).prev_sample, guess)


def test_rate_warms_up_stays_and_decays() -> None:
    factors = [rate_factor(progress, decay_share=0.25) for progress in (0.0, 0.005, 0.5, 0.75, 0.875, 1.0)]
    assert factors == pytest.approx([0, 0.5, 1, 1, 0.5, 0])


def test_donor_rows_differ_from_their_own_slots_and_rows_repeat() -> None:
    rows = sample_rows(50, 8, donors=1.0)
    assert np.array_equal(rows.slots, sample_rows(50, 8, donors=1.0).slots)
    assert not np.array_equal(rows.slots, shapes.sample_slots(50, 8).params)


def test_training_learns_saves_resumes_and_packs_a_pipeline(untrained: Path, tmp_path: Path) -> None:
    recipe = Recipe(seconds=1e9, batch=16, pool=256, heads=1, layers=1, rate=5e-3)
    trainer = Trainer(load_encoders(untrained), recipe, untrained)
    rows = trainer.run(log_seconds=0.0, save_seconds=1e9)
    trainer.seconds = 0.05 * recipe.seconds  # past the warm-up
    losses = [next(rows)["loss"] for _ in range(6)]
    assert min(losses[3:]) < losses[0]
    trainer.save()
    again = Trainer(load_encoders(untrained), recipe, untrained)
    again.resume()
    assert again.step == trainer.step == 6
    for one, other in zip(again.average.parameters(), trainer.average.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    export_pipeline(untrained, tmp_path / "pipeline")
    pictures = quality.generate(quality.load_pipeline(tmp_path / "pipeline"), ["red circle", ""], [0, 1], steps=1)
    assert pictures.shape == (2, 64, 64, 3)
    assert str(untrained) not in "".join(path.read_text() for path in (tmp_path / "pipeline").rglob("*.json"))


def test_flips_are_counted_by_decisions_that_change() -> None:
    scores = np.full((1, 6), -1.0)
    flipped = np.where(np.eye(6, dtype=bool), 1.0, -1.0)[:, None, :]
    assert quality.flips_of(scores, flipped) == (1.0, 1.0)
    flipped[0, 0, :] = [-1.0, 1.0, -1.0, -1.0, -1.0, -1.0]  # the first flip shows as another concept
    shown, stay = quality.flips_of(scores, flipped)
    assert shown == pytest.approx(5 / 6)
    assert stay == pytest.approx(29 / 30)


def test_judge_knows_drawings(judge: shapes_judge.Judge) -> None:
    rows = quality.held_out("segments", 200, seed=321)
    assert min(quality.auroc(rows.presence, judge.score(shapes.draw(rows.presence, rows.slots)))) > 0.995


def test_shipped_pipeline_is_small_and_safe() -> None:
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md", ".csv"}


@pytest.mark.parametrize("template", ["segments", "presence"])
def test_shipped_pipeline_draws_what_captions_say(pipeline: Any, judge: shapes_judge.Judge, template: str) -> None:
    rows = quality.held_out(template, 60, seed=4321)
    images = quality.generate(pipeline, rows.captions(rows.presence), range(60), steps=1)
    decisions = judge.score(images) > 0
    assert (decisions == rows.presence).mean() > 0.97


def test_shipped_pipeline_gives_a_seed_the_same_picture_in_any_batch(pipeline: Any) -> None:
    captions = ["red circle", "", "2 person, 1 couch", "blue rectangle (20, 30) 14 12"]
    together = quality.generate(pipeline, captions, [5, 6, 7, 8], steps=1)
    alone = quality.generate(pipeline, captions[3:], [8], steps=1)
    assert np.abs(together[3].astype(int) - alone[0].astype(int)).max() <= 1


def test_shipped_card_meets_the_bounds_it_was_built_for() -> None:
    cards = json.loads((SHIPPED / "quality.json").read_text())["cards"]
    for card in cards:
        if card["steps"] == 1 and card["template"] != "donors":
            assert card["rows"] >= 1000
            assert card["auroc_mean"] >= 0.99
            assert card["auroc_min"] >= 0.98
            assert card["flips_shown"] >= 0.97
            assert card["others_stay"] >= 0.98
