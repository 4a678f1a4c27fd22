"""Pictures with a red square on the left and a blue one on the right, and networks whose maps are known."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from genlens.classifiers.concept_net import ConceptNet
from genlens.classifiers.preprocess import ImagePreprocess
from genlens.concepts import Concept, ConceptTable

BACKGROUND = (230, 230, 230)
SQUARES = {"red": ((200, 0, 0), slice(8, 24), slice(0, 16)), "blue": ((0, 0, 200), slice(8, 16), slice(24, 32))}
"""Colour, rows and columns of each concept's square in a picture of 32 x 32; whole blocks of 8 x 8."""


class ColourNet(nn.Module):
    """Mean red excess and mean blue excess of a picture: (B, 3, H, W) -> (B, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0
        self.colour = nn.Conv2d(3, 2, 1)
        self.relu = nn.ReLU(inplace=True)
        with torch.no_grad():
            self.colour.weight.copy_(torch.tensor([[1.0, -0.5, -0.5], [-0.5, -0.5, 1.0]])[:, :, None, None])
            self.colour.bias.zero_()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.runs += len(images)
        return 10 * self.relu(self.colour(images)).mean(dim=(2, 3)) - 1


def picture(present: tuple[int, int]) -> np.ndarray:
    image = np.empty((32, 32, 3), dtype=np.uint8)
    image[:] = BACKGROUND
    for (colour, rows, columns), drawn in zip(SQUARES.values(), present, strict=True):
        if drawn:
            image[rows, columns] = colour
    return image


def squares_masks(present: tuple[int, int]) -> np.ndarray:
    masks = np.zeros((2, 32, 32), dtype=bool)
    for j, (_, rows, columns) in enumerate(SQUARES.values()):
        masks[j, rows, columns] = bool(present[j])
    return masks


@pytest.fixture(scope="session")
def squares_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("squares")
    for present in product((0, 1), repeat=2):
        Image.fromarray(picture(present)).save(folder / f"{present[0]}{present[1]}.png")
    return folder


@pytest.fixture
def squares(squares_folder: Path) -> ConceptTable:
    """Eight rows: each combination of the squares twice. The label is red."""
    rows = np.array([*product((0, 1), repeat=2)] * 2)
    return ConceptTable(
        row_ids=tuple(f"row {i}" for i in range(8)),
        concepts=tuple(Concept(name, "binary", rows[:, j].astype(np.int8)) for j, name in enumerate(SQUARES)),
        labels=rows[:, 0],
        image_paths=tuple(squares_folder / f"{a}{b}.png" for a, b in rows),
        masks=lambda row: squares_masks(tuple(rows[row])),
    )


@pytest.fixture
def colour_net() -> ConceptNet:
    return ConceptNet(ColourNet(), ("red", "blue"), ImagePreprocess(), "plain", 1)
