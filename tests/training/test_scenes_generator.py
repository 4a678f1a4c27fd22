"""The scenes generator: its parts, a training of seconds, and the shipped weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.metrics import roc_auc_score

import genlens
from genlens.classifiers.concept_net import ConceptNet
from genlens.datasets.idx import load_photos
from genlens.datasets.scenes import sample_counts
from genlens.datasets.scenes_captions import CONCEPTS, caption_of, parse_caption
from genlens.datasets.scenes_drawing import COLOURS, KINDS
from genlens.training import (
    quality,
    scenes_autoencoder,
    scenes_data,
    scenes_generator,
    scenes_prototypes,
    scenes_quality,
    scenes_text,
)
from genlens.training.shapes_denoiser import Recipe
from genlens.training.shapes_text import new_text_encoder, new_tokenizer
from genlens.training.shapes_vae import to_tensor
from genlens.training.team import Team, run_team

SHIPPED = Path(genlens.__file__).parent / "assets" / "scenes_generator"


@pytest.fixture(autouse=True)
def fake_photographs(fashion_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLENS_FASHION_MNIST", str(fashion_folder))
    monkeypatch.setattr(scenes_prototypes, "_NEIGHBOURS", 10)
    scenes_prototypes.load_prototypes.cache_clear()


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return quality.load_pipeline(SHIPPED)


def test_prototypes_look_like_their_class(fashion_folder: Path) -> None:
    photos = load_photos("train", fashion_folder)
    found = scenes_prototypes.make_prototypes(photos)
    stamps = found.stamps(np.arange(10), np.zeros(10, dtype=np.int64), np.zeros((10, 10)))
    assert stamps.shape == (10, 2, 28, 28)
    assert 0 <= stamps.min() <= stamps.max() <= 1
    assert (stamps[:, 0] <= stamps[:, 1]).all()
    for concept, stamp in enumerate(stamps):
        real = (photos.images[photos.of(concept)] > 0).mean(axis=0)
        assert np.abs(stamp[1] - real).mean() < 0.02


def test_numbers_change_prototypes_smoothly_and_copies_differ(fashion_folder: Path) -> None:
    found = scenes_prototypes.make_prototypes(load_photos("train", fashion_folder))
    numbers = np.random.default_rng(0).standard_normal((1, 10))
    some = found.stamps(np.zeros(3, dtype=np.int64), np.arange(3), np.repeat(numbers, 3, axis=0))
    near = found.stamps(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), numbers + 1e-3)
    assert np.abs(near[0] - some[0]).max() < 0.01
    assert min(np.abs(some[0] - some[1]).mean(), np.abs(some[0] - some[2]).mean()) > 0.002


def test_rows_are_settled_by_their_numbers_whatever_else_is_asked_for() -> None:
    rows = scenes_data.sample_coupled(40, 5, 0.5)
    images = rows.images()
    fewer = scenes_data.CoupledRows(**{**vars(rows), "counts": np.where(np.arange(10) == 3, 0, rows.counts)})
    alone = scenes_data.CoupledRows(**{**vars(rows), "counts": np.where(np.arange(10) == 3, rows.counts, 0)})
    empty = scenes_data.CoupledRows(**{**vars(rows), "counts": np.zeros_like(rows.counts)})
    changed = (images != fewer.images()).any(axis=-1)
    reach = (alone.images() != empty.images()).any(axis=-1)
    near = ndimage.binary_dilation(reach, np.ones((1, 5, 5), dtype=bool))  # faint rims show on things, not on grounds
    assert not (changed & ~near).any()
    assert changed.any()
    assert np.array_equal(images, scenes_data.sample_coupled(40, 5, 0.5).images())


def test_captions_say_what_is_drawn() -> None:
    rows = scenes_data.sample_coupled(300, 6, 0.4)
    for row, caption in enumerate(rows.captions()):
        asked = parse_caption(caption)
        assert asked.counts == tuple(rows.counts[row])
        assert asked.kind in (None, KINDS[rows.kinds[row]])
        assert asked.colour in (None, tuple(COLOURS)[rows.colours[row]])
        assert (asked.kind is not None, asked.colour is not None) == (rows.said_kind[row], rows.said_colour[row])
        assert asked.frame == rows.frames[row]
    assert (rows.counts.sum(axis=1) == 0).any()
    assert 0.4 < (rows.said_kind & rows.said_colour).mean() < 0.7


def test_sectors_are_equally_likely() -> None:
    numbers = np.random.default_rng(0).standard_normal((50_000, 2))
    assert np.bincount(scenes_data.sectors(numbers, 5), minlength=5) / 50_000 == pytest.approx(0.2, abs=0.01)


def test_every_caption_fits_the_text_encoder_and_has_no_unknown_word() -> None:
    tokenizer = new_tokenizer(scenes_text.WORDS, scenes_text.MAX_TOKENS)
    longest = ", ".join([*(f"3 {name}" for name in CONCEPTS), "striped purple background", "frame"])
    ids = tokenizer(longest).input_ids
    assert len(ids) <= scenes_text.MAX_TOKENS
    assert tokenizer.unk_token_id not in ids
    lengths = [len(tokenizer(caption).input_ids) for caption in scenes_data.sample_coupled(3000, 1, 0.5).captions()]
    assert max(lengths) <= scenes_generator.TEXT_TOKENS


def test_targets_of_the_text_encoder_stand_at_segment_ends() -> None:
    tokenizer = new_tokenizer(scenes_text.WORDS, scenes_text.MAX_TOKENS)
    ids, mask, target = scenes_text.text_batch(tokenizer, 200, 3)
    captions, words = scenes_text.sample_segments(200, 3)
    assert target.shape == (*ids.shape, scenes_text.TARGET_CHANNELS)
    ends = target[..., 24] > 0
    assert int(ends.sum()) == sum(segment[0] != "other" for row in captions for segment in row)
    assert not target[~ends].any()
    assert bool((mask[ends] == 1).all())
    assert any("1 frame" in row for row in words)


@pytest.mark.parametrize(
    ("segment", "channels"),
    [
        (("item", 7, 2), {7, 11, 24}),
        (("item", 0, 9), {0, 12, 24}),
        (("background", 2, -1), {15, 24}),
        (("background", 0, 4), {13, 22, 24}),
        (("frame", 0, 0), {23, 24}),
        (("other", 0, 0), set()),
    ],
)
def test_target_vectors(segment: scenes_data.Segment, channels: set[int]) -> None:
    assert set(np.flatnonzero(scenes_text.target_of(segment)).tolist()) == channels


def test_encoder_is_the_linear_map_of_patches() -> None:
    images = scenes_data.mixed_images(48, 2)
    rows, middle = scenes_autoencoder.patch_basis(images)
    vae = scenes_autoencoder.new_autoencoder(rows, middle)
    with torch.no_grad():
        latents = vae.encode(to_tensor(images)).latents.numpy()  # (N, 48, 8, 8)
    patches = images.reshape(48, 8, 8, 8, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(48, 8, 8, -1) / 255
    assert np.abs(latents.transpose(0, 2, 3, 1) - (patches - middle) @ rows.T).max() < 1e-4
    assert latents[:, 0].std() == pytest.approx(1.5, abs=0.01)
    assert np.abs(latents.mean(axis=(0, 2, 3))).max() < 1e-3


def _mean_of_ranks(team: Team, out: Path) -> None:
    total = sum(team.same(float(team.rank + step)) for step in range(5))
    model = torch.nn.Linear(2, 1)
    (model(torch.full((1, 2), float(team.rank))).sum()).backward()
    team.average_gradients(model)
    (out / f"{team.rank}.txt").write_text(f"{total} {model.weight.grad.tolist()}")  # type: ignore[union-attr]


def test_processes_of_a_team_agree(tmp_path: Path) -> None:
    run_team(_mean_of_ranks, 2, 3, (tmp_path,))
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)] == ["12.5 [[0.5, 0.5]]"] * 2


def test_training_learns_saves_resumes_and_packs_a_pipeline(tmp_path: Path) -> None:
    tokenizer = new_tokenizer(scenes_text.WORDS, scenes_text.MAX_TOKENS)
    scenes_autoencoder.build_autoencoder(tmp_path / "vae", 30)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    new_text_encoder(tokenizer, layers=1).save_pretrained(tmp_path / "text_encoder")
    recipe = Recipe(seconds=1e9, batch=16, pool=256, heads=1, layers=1, rate=5e-3, presence_share=0.5)
    trainer = scenes_generator.SceneTrainer(scenes_generator.load_stages(tmp_path), recipe, tmp_path)
    rows = trainer.run(log_seconds=0.0, save_seconds=1e9)
    trainer.seconds = 0.05 * recipe.seconds  # past the warm-up
    assert tuple(next(rows)) == scenes_generator.SceneTrainer.log_fields
    batch, rng = trainer.encoders.batch(16, 3, 0.5), torch.Generator().manual_seed(0)
    losses = [trainer.learn(batch, rng) for _ in range(8)]
    assert min(losses[4:]) < losses[0]
    trainer.save()
    again = scenes_generator.SceneTrainer(scenes_generator.load_stages(tmp_path), recipe, tmp_path)
    again.resume()
    assert again.step == trainer.step == 9
    scenes_generator.tune_decoder(Team(), tmp_path, 0.01)
    scenes_generator.tune_decoder(Team(), tmp_path, 0.01)
    scenes_generator.export(tmp_path, tmp_path / "pipeline")
    pipeline = quality.load_pipeline(tmp_path / "pipeline")
    pictures = quality.generate(pipeline, ["2 sneaker, 1 bag, striped blue background, frame", ""], [0, 1], steps=1)
    assert pictures.shape == (2, 64, 64, 3)


def test_shipped_pipeline_is_small_and_safe() -> None:
    files = [path for path in SHIPPED.rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) <= 30e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md", ".csv"}


def test_shipped_pipeline_gives_a_seed_the_same_picture_in_any_batch(pipeline: Any) -> None:
    captions = ["2 sneaker", "", "2 person, 1 couch", "1 bag, dotted red background, frame"]
    together = quality.generate(pipeline, captions, [5, 6, 7, 8], steps=1)
    alone = quality.generate(pipeline, captions[3:], [8], steps=1)
    assert np.abs(together[3].astype(int) - alone[0].astype(int)).max() <= 1


def test_shipped_pipeline_draws_what_captions_say(pipeline: Any) -> None:
    judge = ConceptNet.load(scenes_quality.JUDGE, device="cpu")
    rng = np.random.default_rng(3)
    counts = np.stack([sample_counts(rng) for _ in range(60)])
    captions = [caption_of(row, "checked red background", i % 2 == 0, "full") for i, row in enumerate(counts)]
    scores = judge.predict(quality.generate(pipeline, captions, range(60), steps=1))
    areas = [roc_auc_score(counts[:, j] > 0, scores[:, j]) for j in range(10)]
    assert np.mean(areas) > 0.95
    names = judge.concept_names
    assert (scores[:, names.index("checked")] > 0).all()
    assert (scores[:, names.index("red")] > 0).all()
    assert ((scores[:, names.index("frame")] > 0) == (np.arange(60) % 2 == 0)).all()


def test_shipped_card_says_how_good_every_class_is() -> None:
    card = json.loads((SHIPPED / "quality.json").read_text())
    for found in card["generator"]:
        assert found["rows"] >= 500
        assert set(CONCEPTS) <= set(found["auroc"])
        assert found["auroc_mean"] >= 0.95
        assert found["auroc_min"] >= 0.9
        assert found["others_stay_mean"] >= 0.95
        assert found["several"]["at least 2"] == sorted(found["several"]["at least 2"])
