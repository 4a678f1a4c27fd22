"""The feature attack of Salient ImageNet (Singla and Feizi 2022): real pictures pushed until the classifier is certain.

It starts from the pictures that activate a class or a neural feature most and goes along the gradient, normalised to
length 1. Published are 100 steps of length 10 on pictures of 224 x 224 pixels in [0, 1], clamped after each. A length
means another change of a pixel on another size, so it is scaled: the mean square change of a pixel in a step stays as
published, (10 / sqrt(3 x 224 x 224))^2, which is a length of 2.86 on 64 x 64 pixels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genlens.errors import UserError, check_integer
from genlens.prompts.activation_max import Objective

STEPS, LENGTH, SIDE = 100, 10.0, 224
"""As published."""
TOP = 5
"""Pictures that the published attack starts from."""
_SMALLEST = 1e-12


def most_activating(objective: Objective, images: NDArray[np.uint8], k: int = TOP) -> NDArray[np.int64]:
    """Indices (k,) of the pictures (N, H, W, 3) that score highest, highest first.

    Raises:
        UserError: fewer than `k` pictures.
    """
    if check_integer("k", k, 1) > len(images):
        raise UserError(f"`k` must be at most the number of pictures, {len(images)}; got {k}.")
    with torch.no_grad():
        parts = [objective(_pictures(images[start : start + 250])) for start in range(0, len(images), 250)]
    scores: NDArray[Any] = torch.cat(parts).double().cpu().numpy()
    return np.argsort(-scores, kind="stable")[:k]


def step_length(height: int, width: int, published: float = LENGTH) -> float:
    """Length of a step on pictures of another size than 224 x 224: the same mean square change of a pixel."""
    return published * math.sqrt(height * width) / SIDE


def feature_attack(
    objective: Objective,
    images: NDArray[np.uint8],
    *,
    steps: int = STEPS,
    length: float = LENGTH,
    batch_size: int = 50,
) -> NDArray[np.uint8]:
    """Push pictures along the normalised gradient.

    Args:
        objective: of a picture, differentiable; higher is better.
        images: the starts, uint8 (B, H, W, 3).
        steps: how many.
        length: of a step on 224 x 224 pixels, scaled to the pictures' size by `step_length`.
        batch_size: pictures at a time.

    Returns:
        uint8 (B, H, W, 3).

    Raises:
        UserError: `steps` < 1, or a length that isn't > 0.
    """
    check_integer("steps", steps, 1)
    if not 0 < length < float("inf"):
        raise UserError(f"`length` must be a finite number > 0; got {length!r}.")
    height, width = images.shape[1:3]
    scaled = step_length(height, width, length)
    parts = [
        _attack(objective, images[start : start + batch_size], steps, scaled)
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(parts)


def _attack(objective: Objective, images: NDArray[np.uint8], steps: int, length: float) -> NDArray[np.uint8]:
    moved = _pictures(images)  # (B, 3, H, W)
    for _ in range(steps):
        moved.requires_grad_()
        (gradient,) = torch.autograd.grad(objective(moved).sum(), moved)
        norm = gradient.flatten(1).norm(dim=1).clamp(min=_SMALLEST)[:, None, None, None]
        moved = (moved.detach() + length * gradient / norm).clamp(0, 1)
    pixels: NDArray[np.uint8] = (moved * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return pixels


def _pictures(images: NDArray[np.uint8]) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
