"""The objective of `genlens explain TARGET` is the score that `genlens rank` explains."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genlens.classifiers import TorchClassifier
from genlens.classifiers.protocol import target_score
from genlens.prompts.objectives import class_log_odds, parse_objective


class Channels(nn.Module):
    """Mean of each of the first channels, as logits or as probabilities."""

    def __init__(self, count: int, squash: bool) -> None:
        super().__init__()
        self.scale, self.count, self.squash = nn.Parameter(torch.tensor(4.0)), count, squash

    def forward(self, images: Tensor) -> Tensor:
        found = self.scale * images.mean((2, 3))[:, : self.count]
        return found.softmax(1) if self.squash else found


@pytest.mark.parametrize(
    ("kind", "count"), [("logits", 3), ("logits", 2), ("logits", 1), ("probabilities", 3), ("scores", 3)]
)
def test_log_odds_are_the_target_score(kind: Any, count: int) -> None:
    classifier = TorchClassifier(Channels(count, kind == "probabilities"), outputs=kind, device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    images = torch.as_tensor(pixels).permute(0, 3, 1, 2).float() / 255  # (B, 3, H, W)
    wanted = target_score(classifier.predict(pixels), kind, 0)
    assert class_log_odds(classifier, 0)(images).detach().numpy() == pytest.approx(wanted, abs=1e-3)
    assert parse_objective("0", classifier)(images).detach().numpy() == pytest.approx(wanted, abs=1e-3)
    if kind == "logits" and count > 1:
        shifted = TorchClassifier(nn.Sequential(classifier.module, _Shift()), outputs=kind, device="cpu")
        assert class_log_odds(shifted, 0)(images).detach().numpy() == pytest.approx(wanted, abs=1e-3)


class _Shift(nn.Module):
    """Adds the same to all logits, which changes no decision."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits + 7
