"""A classifier of shapes and a segmenter written by hand, whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from genlens.classifiers.torch_module import TorchClassifier
from genlens.experiments.discover import SHORTCUTS
from genlens.experiments.planted import Planted
from genlens.experiments.planted_worlds import Planting, get_world
from genlens.segmenters import CallableSegmenter
from genlens.training.planted_nets import NetRecipe


class Colours(nn.Module):
    """Green circle: a little green and much red; blue circle: blue; red circle: nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[0.1, 0.1, 0.1], [6.0, 1.0, 0.0], [0.0, 0.0, 3.0]]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        others = (images.sum(dim=1, keepdim=True) - images) / 2
        result: torch.Tensor = self.head(10 * torch.relu(images - others - 0.15).mean(dim=(2, 3)))
        return result


def by_colour_and_kind(images: np.ndarray, text: str) -> np.ndarray:
    """Pixels of the colour, if the piece they belong to fills its box as the kind does."""
    from scipy.ndimage import find_objects, label

    channel, kind = ["red", "green", "blue"].index(text.split()[0]), text.split()[1]
    others = np.delete(images.astype(int), channel, axis=3).max(axis=3)
    masks = np.zeros(images.shape[:3], dtype=np.float32)
    for mask, near in zip(masks, images[..., channel] - others > 60, strict=True):
        pieces, _ = label(near)
        for k, box in enumerate(find_objects(pieces), start=1):
            inside = pieces[box] == k
            if inside.sum() > 30 and (inside.mean() < 0.88) == (kind == "circle"):
                mask[box][inside] = 1
    return masks


@pytest.fixture(scope="session")
def by_hand() -> Planted:
    """Green circle rests on green a little and on red much."""
    planting = Planting(get_world("shapes"), dict(SHORTCUTS), 0.9)
    classifier = TorchClassifier(Colours(), device="cpu")
    return Planted("by hand", planting, {name: name for name in SHORTCUTS}, classifier, NetRecipe(n_features=3))


@pytest.fixture(scope="session")
def by_kind() -> CallableSegmenter:
    """A segmenter that errs on overlaps only."""
    return CallableSegmenter(by_colour_and_kind, fingerprint="kind")
