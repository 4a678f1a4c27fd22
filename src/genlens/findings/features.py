"""Which neural features a class rests on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from genlens.classifiers.gradients import PENULTIMATE, DifferentiableClassifier
from genlens.errors import UserError, check_integer
from genlens.prompts.objectives import pooled


@dataclass(frozen=True)
class RankedFeature:
    """A neural feature of the penultimate layer, ranked for a class.

    Attributes:
        index: its unit.
        rank: 1 is the first.
        weight: from the feature to the class's output.
        mean: mean of the feature over the pictures, or over their top tenth; NaN where there were none.
        contribution: what it was ranked by: mean x weight, or the weight alone.
    """

    index: int
    rank: int
    weight: float
    mean: float
    contribution: float

    def spec(self) -> dict[str, Any]:
        """As JSON values; NaN is null."""
        return asdict(self) | {"mean": None if np.isnan(self.mean) else self.mean}


def feature_values(
    model: DifferentiableClassifier, images: NDArray[np.uint8], layer: str = PENULTIMATE, batch_size: int = 64
) -> NDArray[np.float64]:
    """Neural features (N, F) of pictures uint8 (N, H, W, 3); of maps and tokens the mean over places."""
    parts = []
    with torch.no_grad():
        for first in range(0, len(images), batch_size):
            batch = torch.as_tensor(np.ascontiguousarray(images[first : first + batch_size]))
            parts.append(pooled(model, batch.permute(0, 3, 1, 2).float() / 255, layer).double().cpu().numpy())
    return np.concatenate(parts)


def rank_features(
    model: DifferentiableClassifier, target: int, images: NDArray[np.uint8] | None = None, *, top_k: int | None = 5,
    by: Literal["mean", "top"] = "mean",
) -> list[RankedFeature]:  # fmt: skip
    """The features that contribute most to a class.

    With pictures of the class, the mean of feature x weight over them, the rule of Salient ImageNet (Singla and Feizi
    2022, arXiv 2110.04301, section 3.1). Generated pictures of the class's name show no shortcuts, so over generated
    pictures of many things the top tenth counts instead of the mean: how far the feature can reach. Without pictures,
    the weight alone: then features of a larger scale are underrated.

    Args:
        model: with a linear head.
        target: index of the class.
        images: uint8 (N, H, W, 3), pictures of the class; by "top", pictures of anything.
        top_k: features wanted; None: all. Those that speak against the class don't count.
        by: "mean" over the pictures, or over the "top" tenth of them for each feature.

    Raises:
        UserError: no such class, no linear head, or no feature speaks for the class.
    """
    weights = model.head_weights()[model.check_class(target)].double().cpu().numpy()  # (F,)
    if top_k is not None:
        check_integer("top_k", top_k, 1)
    means = np.full(len(weights), np.nan)
    if images is not None:
        values = feature_values(model, images)  # (N, F)
        kept = len(values) if by == "mean" else max(1, len(values) // 10)
        means = np.sort(values, axis=0)[-kept:].mean(axis=0)
    contribution = weights if images is None else weights * means
    order = [int(j) for j in np.argsort(-contribution, kind="stable") if contribution[j] > 0][:top_k]
    if not order:
        raise UserError(f"No neural feature speaks for class {target}: choose another class.")
    return [
        RankedFeature(j, rank, float(weights[j]), float(means[j]), float(contribution[j]))
        for rank, j in enumerate(order, start=1)
    ]
