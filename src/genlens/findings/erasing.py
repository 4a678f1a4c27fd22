"""What carries a feature: the object, or the rest of the picture?

A feature's pictures may show the object by chance. So the object is erased, the rest is erased, and both are: four
pictures, of which the object's part is its Shapley value among two players, object and rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, uniform_filter

from genlens.classifiers.gradients import PENULTIMATE, DifferentiableClassifier
from genlens.findings.features import feature_values
from genlens.prompts.objectives import pooled

MARGIN = 32
"""Masks are widened by the picture's side divided by this, so that no rim of the object stays."""


@dataclass(frozen=True, eq=False)
class Activations:
    """A feature on n pictures as they are and with parts erased; each (n,).

    Attributes:
        whole: as they are.
        without_object: the object painted over.
        object_only: all but the object painted over.
        nothing: all painted over.
    """

    whole: NDArray[np.float64]
    without_object: NDArray[np.float64]
    object_only: NDArray[np.float64]
    nothing: NDArray[np.float64]

    def parts(self) -> NDArray[np.float64]:
        """The object's part of each picture's activation, (n,) in [0, 1]; NaN where the picture doesn't activate it.

        Half of what erasing the object takes away plus half of what the object alone gives, over what the whole picture
        gives more than an empty one. 0 where the object isn't there, as then erasing it changes nothing.
        """
        gained = self.gained()
        active = ~np.isnan(gained)
        result: NDArray[np.float64] = np.clip(self._own() / np.where(active, gained, 1.0), 0, 1)
        return np.where(active, result, np.nan)

    def gained(self) -> NDArray[np.float64]:
        """What each whole picture gives more than an empty one, (n,); NaN where that is nothing."""
        gained = self.whole - self.nothing
        return np.where(gained > 1e-6 * np.maximum(np.abs(self.whole), 1e-6), gained, np.nan)

    def most(self, plain: float) -> float:
        """What the whole pictures give on average more than empty ones or, if that is more, than pictures of nothing in
        particular: an empty picture keeps its ground, so a feature of the ground gains nothing over it.

        Args:
            plain: the feature's mean on pictures of nothing in particular.
        """
        gained = self.gained()
        empty = float("nan") if np.isnan(gained).all() else float(np.nanmean(gained))
        return float(np.fmax(empty, self.whole.mean() - plain))

    def reach(self, top: float) -> NDArray[np.float64]:
        """What the object carries in each picture as a share of `top`, (n,) in [0, 1]; NaN if `top` isn't above 0."""
        if not top > 0:
            return np.full(len(self.whole), np.nan)
        result: NDArray[np.float64] = np.clip(self._own() / top, 0, 1)
        return result

    def _own(self) -> NDArray[np.float64]:
        return 0.5 * (self.whole - self.without_object) + 0.5 * (self.object_only - self.nothing)


def erased(
    images: NDArray[np.uint8], masks: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Pictures with parts painted over.

    The colour is each picture's ground: the median, channel by channel, of what is not the object (of all, if the
    object is everywhere).

    Args:
        images: uint8 (n, H, W, 3).
        masks: the object, (n, H, W).

    Returns:
        Without the object, the object only, nothing: three arrays like `images`. Where there is no object the first is
        the picture itself and the second is empty.
    """
    wide = np.stack([binary_dilation(mask, iterations=max(1, mask.shape[0] // MARGIN)) for mask in masks])
    ground = np.empty((len(images), 1, 1, 3), dtype=np.uint8)
    for i, (image, mask) in enumerate(zip(images, wide, strict=True)):
        outside = image[~mask] if not mask.all() else image.reshape(-1, 3)
        ground[i, 0, 0] = np.median(outside, axis=0).round()
    empty = np.broadcast_to(ground, images.shape)
    inside = wide[..., None]
    return np.where(inside, empty, images), np.where(inside, images, empty), np.ascontiguousarray(empty)


def erase_test(
    model: DifferentiableClassifier, feature: int, images: NDArray[np.uint8], masks: NDArray[np.bool_]
) -> Activations:
    """A feature on pictures (n, H, W, 3) as they are, without the object (masks (n, H, W)), the rest, or both."""
    variants = np.concatenate([images, *erased(images, masks)])
    values = feature_values(model, variants)[:, feature].reshape(4, len(images))
    return Activations(*values)


def sensitivity_maps(
    model: DifferentiableClassifier, feature: int, images: NDArray[np.uint8], window: int = 5
) -> NDArray[np.float32]:
    """Where a feature looks: size of its gradient, channels added, averaged over a small window; (n, H, W), sum 1.

    A picture whose gradient is zero everywhere has a flat map.
    """
    maps = []
    for first in range(0, len(images), 32):
        batch = torch.as_tensor(np.ascontiguousarray(images[first : first + 32])).permute(0, 3, 1, 2).float() / 255
        batch.requires_grad_(True)
        pooled(model, batch, PENULTIMATE)[:, feature].sum().backward()
        found = batch.grad if batch.grad is not None else torch.zeros_like(batch)
        maps.append(found.abs().sum(dim=1).numpy())  # (b, H, W)
    smooth = uniform_filter(np.concatenate(maps), size=(1, window, window), mode="nearest") + 1e-12
    result: NDArray[np.float32] = (smooth / smooth.sum(axis=(1, 2), keepdims=True)).astype(np.float32)
    return result


def overlap(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> float:
    """Mean share of the maps (n, H, W) that lies on the object, over the pictures that show it; NaN if none does."""
    shown = masks.any(axis=(1, 2))
    return float((maps * masks).sum(axis=(1, 2))[shown].mean()) if shown.any() else float("nan")
