"""Ranking of neural features, against the rule written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from genlens.classifiers.gradients import DifferentiableClassifier, differentiable
from genlens.classifiers.torch_module import TorchClassifier
from genlens.errors import UserError
from genlens.findings.features import feature_values, rank_features


class Means(nn.Module):
    """Neural features: the mean of each colour channel, and a fourth that is always 1."""

    def __init__(self, weights: list[list[float]]) -> None:
        super().__init__()
        self.head = nn.Linear(4, len(weights))
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor(weights))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean(dim=(2, 3))
        result: torch.Tensor = self.head(torch.cat([means, torch.ones(len(images), 1)], dim=1))
        return result


def model(weights: list[list[float]]) -> DifferentiableClassifier:
    return differentiable(TorchClassifier(Means(weights), device="cpu"))


def pictures() -> np.ndarray:
    images = np.zeros((5, 64, 64, 3), dtype=np.uint8)
    images[..., 0], images[..., 1], images[..., 2] = 51, 102, 255  # means .2, .4, 1
    return images


def test_values() -> None:
    assert np.allclose(feature_values(model([[1, 1, 1, 1]]), pictures(), batch_size=2), [[0.2, 0.4, 1, 1]] * 5)


def test_contribution_is_mean_times_weight() -> None:
    found = rank_features(model([[0, 0, 0, 0], [9, 5, 1, -3]]), 1, pictures())
    assert [one.index for one in found] == [1, 0, 2]  # 2.0, 1.8, 1.0; the fourth speaks against
    assert [one.contribution for one in found] == pytest.approx([2.0, 1.8, 1.0])
    assert [one.rank for one in found] == [1, 2, 3] and found[0].mean == pytest.approx(0.4)


def test_without_pictures_the_weight_alone() -> None:
    found = rank_features(model([[0, 0, 0, 0], [9, 5, 1, -3]]), 1, top_k=2)
    assert [one.index for one in found] == [0, 1]
    assert np.isnan(found[0].mean) and found[0].spec()["mean"] is None


def test_the_top_tenth_finds_what_the_mean_misses() -> None:
    images = pictures()[:1].repeat(40, axis=0)
    images[:36, ..., 2] = 0  # blue in four pictures only
    by_mean, by_top = (rank_features(model([[4, 1.5, 1, 0]]), 0, images, by=by)[0] for by in ("mean", "top"))
    assert by_mean.index == 0 and by_mean.contribution == pytest.approx(0.8)
    assert by_top.index == 2 and by_top.contribution == pytest.approx(1.0)


def test_refusals() -> None:
    with pytest.raises(UserError, match=r"The class must be in 0\.\.1; got 2"):
        rank_features(model([[0, 0, 0, 0], [9, 5, 1, -3]]), 2)
    with pytest.raises(UserError, match="No neural feature speaks for class 0"):
        rank_features(model([[0, 0, 0, 0], [9, 5, 1, -3]]), 0, pictures())
    with pytest.raises(UserError, match="`top_k` must be an integer >= 1"):
        rank_features(model([[1, 0, 0, 0], [9, 5, 1, -3]]), 1, top_k=0)
