"""Training of concept nets and of the logistic head, on problems small enough for a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genlens.classifiers import ConceptNet
from genlens.concepts import ConceptTable
from genlens.datasets import shapes
from genlens.errors import UserError
from genlens.training.concept_nets import (
    Recipe,
    augment,
    concept_quality,
    fit_logistic_head,
    masked_loss,
    table_batches,
    train_concept_net,
)
from genlens.training.shapes_concepts import (
    DATA_SEEDS,
    HELD_OUT_SEED,
    RECIPES,
    VISIBLE,
    card,
    measure,
    shapes_batches,
    visible_labels,
)
from genlens.training.shapes_data import GENERATOR_SEEDS, JUDGE_SEEDS, Rows


def bright_halves(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Concepts that a net learns in seconds: the left half is red, the right half is blue."""
    rng = np.random.default_rng(step)
    labels = rng.integers(0, 2, (32, 2)).astype(np.float32)
    images = np.full((32, 16, 16, 3), 100, np.uint8)
    images[:, :, :8, 0] = 100 + 120 * labels[:, 0, None, None]
    images[:, :, 8:, 2] = 100 + 120 * labels[:, 1, None, None]
    return images, labels


@pytest.mark.parametrize("architecture", ["plain", "residual"])
def test_a_net_learns_what_the_labels_say(architecture: str) -> None:
    lines: list[str] = []
    recipe = Recipe(architecture, width=4, steps=60, rate=1e-2)
    net = train_concept_net(bright_halves, ["red", "blue"], recipe, size=(16, 16), log=lines.append)
    images, labels = bright_halves(10_000)
    quality = concept_quality(net, images, labels)
    assert quality["auroc_min"] >= 0.99
    assert quality["accuracy"] >= 0.9
    assert net.concept_names == ("red", "blue")
    assert [line.split(":")[0] for line in lines] == ["step 1 of 60", "step 60 of 60"]


def test_training_repeats_from_its_seed_and_leaves_torchs_own_alone() -> None:
    def fingerprint(seed: int) -> str:
        return train_concept_net(
            bright_halves, ["a", "b"], Recipe(width=2, steps=2, seed=seed), size=(16, 16)
        ).fingerprint

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert fingerprint(1) == fingerprint(1) != fingerprint(2)
    assert torch.equal(torch.rand(1), expected)


def test_labels_that_are_unknown_teach_nothing() -> None:
    logits = torch.zeros(2, 2, requires_grad=True)
    loss = masked_loss(logits, torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan]]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(np.log(2))
    assert logits.grad is not None
    assert (logits.grad != 0).tolist() == [[True, False], [False, False]]


def test_augmentation_is_mild_repeatable_and_different_for_every_image() -> None:
    images = np.repeat(shapes.draw(shapes.sample_presence(1, 0, p=1.0), shapes.sample_slots(1, 0)), 16, axis=0)
    found = augment(images, np.random.default_rng(0))
    assert found.dtype == np.uint8
    assert found.shape == images.shape
    assert np.array_equal(found, augment(images, np.random.default_rng(0)))
    assert len({image.tobytes() for image in found}) == 16
    assert np.abs(found.astype(float) - images).mean() < 30


def test_a_table_gives_batches_of_its_own_images(shapes_table: ConceptTable) -> None:
    batches = table_batches(shapes_table, size=(32, 32), batch_size=8)
    images, labels = batches(3)
    assert images.shape == (8, 32, 32, 3)
    assert labels.shape == (8, 6)
    assert {row.tobytes() for row in labels} <= {row.tobytes() for row in shapes_table.presence().astype(np.float32)}
    again, _ = table_batches(shapes_table, size=(32, 32), batch_size=8)(3)
    assert np.array_equal(images, again)
    assert not np.array_equal(images, batches(4)[0])
    assert len(table_batches(shapes_table, batch_size=1000)(0)[0]) == 64


def test_a_table_without_images_is_refused() -> None:
    frame = {"file_name": ["a", "b"], "dog": [0, 1], "label": [0, 1]}
    import pandas as pd

    table = ConceptTable.from_frame(pd.DataFrame(frame), ["dog"], "label")
    with pytest.raises(UserError, match="The table has no images to train on"):
        table_batches(table)


def test_the_logistic_head_finds_direction_and_offset() -> None:
    rng = np.random.default_rng(0)
    concepts = rng.random((4000, 3))
    odds = concepts @ np.array([4.0, 0.0, -2.0]) - 1
    labels = (rng.random(4000) < 1 / (1 + np.exp(-odds))).astype(int)
    weights, bias = fit_logistic_head(concepts, labels, strength=100.0)
    assert np.allclose(weights, [4, 0, -2], atol=0.5)
    assert bias == pytest.approx(-1, abs=0.4)
    with pytest.raises(UserError, match="`labels` must have two classes; got 1"):
        fit_logistic_head(concepts, np.zeros(4000))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "huge"}, "`architecture` must be one of plain, residual; got 'huge'"),
        ({"steps": 0}, "`steps` must be an integer >= 1"),
        ({"width": 0}, "`width` must be an integer >= 1"),
        ({"seed": -1}, "`seed` must be an integer >= 0"),
    ],
)
def test_bad_recipes_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Recipe(**options)  # type: ignore[arg-type]


def test_hidden_shapes_are_neither_present_nor_absent() -> None:
    slots = shapes.sample_slots(2, 0).params.astype(float)
    slots[:, 0] = [20, 20, 6, 0]  # a red circle of radius 6 ...
    slots[:, 5] = [20, 20, 18, 18]  # ... behind a blue rectangle of 18 x 18
    slots[:, 1:5, :2] = [50, 50]
    presence = np.array([[1, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0]])
    labels = visible_labels(Rows(presence, slots))
    assert np.isnan(labels[0, 0])
    assert labels[0, 1:].tolist() == [0, 0, 0, 0, 1]
    assert labels[1].tolist() == [1, 0, 0, 0, 0, 0]
    assert 0 < VISIBLE < 1


def test_shapes_that_do_not_touch_keep_their_labels() -> None:
    presence = shapes.sample_presence(50, 1)
    assert np.array_equal(visible_labels(Rows(presence, shapes.sample_slots(50, 1).params)), presence)


def test_the_two_shipped_recipes_share_nothing_and_stay_off_held_out_data() -> None:
    first, second = RECIPES["shapes_concepts"], RECIPES["shapes_checker"]
    assert first.architecture != second.architecture
    assert first.seed != second.seed
    starts = sorted([*DATA_SEEDS.values(), GENERATOR_SEEDS, JUDGE_SEEDS])
    assert np.diff(starts).min() > max(first.steps, second.steps)
    assert starts[0] > HELD_OUT_SEED + 1
    assert not np.array_equal(shapes_batches(DATA_SEEDS["shapes_concepts"], 4)(0)[0], shapes_batches(5, 4)(0)[0])


def test_quality_and_card_are_complete(tmp_path: Path) -> None:
    net = train_concept_net(shapes_batches(5, 4), shapes.CONCEPTS, Recipe(width=2, steps=1))
    quality = measure(net, n=40)
    assert set(quality) == {"clean", "overlapping", "faulty"}
    assert set(quality["clean"]["auroc"]) == set(shapes.CONCEPTS)
    text = card("shapes_concepts", RECIPES["shapes_concepts"], quality, 123, 60)
    assert f"| faulty | {quality['faulty']['auroc_mean']:.5f} |" in text
    net.save(tmp_path)
    assert ConceptNet.load(tmp_path).concept_names == shapes.CONCEPTS
