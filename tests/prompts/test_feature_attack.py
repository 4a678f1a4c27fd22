"""The feature attack: its steps are as long as published, it climbs, and it stays a picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from genlens.errors import UserError
from genlens.prompts.feature_attack import feature_attack, most_activating, step_length

GREY = np.full((3, 16, 16, 3), 128, dtype=np.uint8)


def brightness(images: Tensor) -> Tensor:
    return images.mean(dim=(1, 2, 3))


def test_a_step_changes_a_pixel_as_on_224() -> None:
    assert step_length(224, 224) == 10
    assert step_length(64, 64) == pytest.approx(10 / 3.5)
    assert step_length(64, 64) / math.sqrt(3 * 64 * 64) == pytest.approx(10 / math.sqrt(3 * 224 * 224))


def test_one_step_along_the_gradient() -> None:
    """The gradient of the mean is constant, so every pixel moves by length / sqrt(3 H W)."""
    moved = feature_attack(brightness, GREY, steps=1)
    expected = round(128 + 255 * step_length(16, 16) / math.sqrt(3 * 16 * 16))
    assert (moved == expected).all()


def test_many_steps_end_in_white_and_no_further() -> None:
    assert (feature_attack(brightness, GREY) == 255).all()


def test_starts_do_not_influence_one_another() -> None:
    images = np.random.default_rng(0).integers(0, 255, (5, 16, 16, 3), dtype=np.uint8)

    def objective(pictures: Tensor) -> Tensor:
        return (pictures[:, 0] * pictures[:, 1]).mean(dim=(1, 2))

    together = feature_attack(objective, images, steps=5)
    alone = feature_attack(objective, images[2:3], steps=5)
    assert np.abs(together[2].astype(int) - alone[0]).max() <= 1
    assert (feature_attack(objective, images, steps=5, batch_size=2) == together).mean() > 0.999


def test_no_gradient_no_change() -> None:
    assert (feature_attack(lambda x: x.sum(dim=(1, 2, 3)) * 0, GREY, steps=3) == GREY).all()


def test_the_most_activating_come_first() -> None:
    images = np.stack([np.full((8, 8, 3), value, dtype=np.uint8) for value in (10, 200, 90, 200, 30)])
    assert most_activating(brightness, images, 3).tolist() == [1, 3, 2]
    with pytest.raises(UserError, match="at most the number of pictures, 5; got 6"):
        most_activating(brightness, images, 6)


@pytest.mark.parametrize(("changes", "message"), [({"steps": 0}, "`steps`"), ({"length": 0.0}, "`length`")])
def test_values_out_of_range(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        feature_attack(brightness, GREY, **changes)


def test_the_classifiers_score_rises() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(784, 1))
    images = np.random.default_rng(1).integers(0, 255, (4, 16, 16, 3), dtype=np.uint8)

    def objective(pictures: Tensor) -> Tensor:
        return net(pictures)[:, 0]

    def scored(pixels: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return objective(torch.as_tensor(pixels).permute(0, 3, 1, 2).float() / 255).numpy()

    assert (scored(feature_attack(objective, images, steps=10)) > scored(images)).all()
