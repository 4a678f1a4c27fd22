"""Resizing with gradients is PIL's."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from genlens.classifiers.preprocess import ImagePreprocess, Interpolation
from genlens.classifiers.resample import preprocess_tensor, weights

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("interpolation", get_args(Interpolation))
@pytest.mark.parametrize("size", [(16, 16), (40, 23), (64, 64), (11, 70)])
@pytest.mark.parametrize("how", ["squash", "center"])
def test_pictures_come_out_as_pil_makes_them(
    interpolation: Interpolation, size: tuple[int, int], how: str
) -> None:
    picture = RNG.integers(0, 256, (64, 48, 3), dtype=np.uint8)
    share = 1.0 if how == "squash" else 0.875
    spec = ImagePreprocess(size, (0.1, 0.2, 0.3), (0.5, 0.25, 1.0), how, share, interpolation)  # type: ignore[arg-type]
    found = preprocess_tensor(torch.as_tensor(picture / 255).float().permute(2, 0, 1)[None], spec)
    assert np.abs(found.numpy() - spec([picture])).max() <= 2 / 255 / 0.25


def test_weights_sum_to_one_and_the_same_size_is_the_identity() -> None:
    for interpolation in get_args(Interpolation):
        assert torch.allclose(weights(13, 7, interpolation).sum(dim=1), torch.ones(7))
        assert torch.allclose(weights(9, 9, interpolation), torch.eye(9), atol=1e-6)


def test_gradients_reach_every_pixel() -> None:
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    preprocess_tensor(images, ImagePreprocess((8, 8))).sum().backward()
    assert images.grad is not None and bool((images.grad != 0).all())
