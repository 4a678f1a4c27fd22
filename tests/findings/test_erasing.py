"""The erase test, on features whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from genlens.classifiers.gradients import DifferentiableClassifier, differentiable
from genlens.classifiers.torch_module import TorchClassifier
from genlens.findings.erasing import Activations, erase_test, erased, overlap, sensitivity_maps


class Corners(nn.Module):
    """Features: red in the left half, red in the right half, both together, their product, nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        left, right = (part.mean(dim=(1, 2)) for part in images[:, 0].chunk(2, dim=2))
        features = torch.stack([left, right, left + right, left * right, 0 * left], dim=1)
        result: torch.Tensor = self.head(features)
        return result


@pytest.fixture(scope="module")
def model() -> DifferentiableClassifier:
    return differentiable(TorchClassifier(Corners(), device="cpu"))


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Red squares left and right on black; the left one is the object."""
    images = np.zeros((3, 64, 64, 3), dtype=np.uint8)
    images[:, 20:40, 6:26, 0] = images[:, 20:40, 38:58, 0] = 255
    masks = np.zeros((3, 64, 64), dtype=bool)
    masks[:, 20:40, 6:26] = True
    return images, masks


@pytest.mark.parametrize(("feature", "part"), [(0, 1.0), (1, 0.0), (2, 0.5), (3, 0.5)])
def test_the_objects_part(model: DifferentiableClassifier, feature: int, part: float) -> None:
    assert erase_test(model, feature, *scene()).parts() == pytest.approx([part] * 3, abs=1e-6)


def test_a_feature_that_is_not_active_has_no_part(model: DifferentiableClassifier) -> None:
    assert np.isnan(erase_test(model, 4, *scene()).parts()).all()


def test_an_object_that_is_not_there_carries_nothing(model: DifferentiableClassifier) -> None:
    images, masks = scene()
    assert erase_test(model, 2, images, np.zeros_like(masks)).parts() == pytest.approx([0.0] * 3)


def test_parts_are_shapley_values_of_two_players() -> None:
    whole, without, alone, nothing = np.array([[10.0], [4.0], [5.0], [2.0]])
    # ((10 - 4) + (5 - 2)) / 2 over 10 - 2
    assert Activations(whole, without, alone, nothing).parts() == pytest.approx([4.5 / 8])


def test_reach_is_what_the_object_carries_as_a_share_of_another_activation() -> None:
    found = Activations(*np.array([[10.0, 3.0], [4.0, 3.0], [5.0, 1.0], [2.0, 1.0]]))
    assert found.gained() == pytest.approx([8, 2])
    assert found.reach(9.0) == pytest.approx([0.5, 0.0])
    assert found.reach(2.0) == pytest.approx([1.0, 0.0])  # never above all of it
    assert np.isnan(found.reach(0.0)).all() and np.isnan(found.reach(float("nan"))).all()


def test_the_most_a_feature_gives_is_over_empty_or_plain_pictures() -> None:
    ground = Activations(*np.array([[10.0, 8.0], [10.0, 8.0], [9.5, 8.0], [9.0, 8.0]]))  # an empty one is as good
    assert ground.most(plain=1.0) == pytest.approx(8.0)
    assert ground.most(plain=9.5) == pytest.approx(1.0)
    flat = Activations(*np.ones((4, 2)))
    assert flat.most(plain=0.25) == pytest.approx(0.75) and flat.most(plain=1.0) == 0.0


def test_erased_pictures() -> None:
    images, masks = scene()
    images[..., 2] = 40  # the ground is dark blue
    without, only, nothing = erased(images, masks)
    assert (nothing == [0, 0, 40]).all()
    assert (without[masks] == [0, 0, 40]).all() and (without[:, 20:40, 38:58, 0] == 255).all()
    assert (only[:, 20:40, 6:26, 0] == 255).all() and (only[:, 20:40, 38:58, 0] == 0).all()
    everywhere = erased(images, np.ones_like(masks))
    assert (everywhere[1] == images).all()


def test_where_a_feature_looks(model: DifferentiableClassifier) -> None:
    images, masks = scene()
    half = np.zeros_like(masks)
    half[:, :, :32] = True
    maps = sensitivity_maps(model, 0, images)
    assert maps.sum(axis=(1, 2)) == pytest.approx([1.0] * 3, abs=1e-4)
    assert overlap(maps, half) > 0.9
    assert overlap(sensitivity_maps(model, 1, images), half) < 0.1
    assert overlap(sensitivity_maps(model, 4, images), half) == pytest.approx(0.5, abs=0.01)  # flat
    assert np.isnan(overlap(maps, np.zeros_like(masks)))
