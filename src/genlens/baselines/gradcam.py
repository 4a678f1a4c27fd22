"""Grad-CAM as a ranking of concepts (Selvaraju et al. 2017, through captum's `LayerGradCam`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from numpy.typing import NDArray
from torch import Tensor, nn

from genlens.baselines.iou import (
    Bools,
    Floats,
    MapRanking,
    Threshold,
    as_threshold,
    rank_maps,
    read_masks,
    require_masks,
)
from genlens.baselines.layers import default_layer, probe
from genlens.baselines.targets import TargetGroup, group_targets
from genlens.classifiers.layer_names import named_layer
from genlens.classifiers.protocol import Classifier
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.errors import UserError, check_integer

DEFAULT_THRESHOLD = "max:0.15"
"""What Grad-CAM's authors localise with: 15% of the map's maximum (their section 4.1)."""


class GradCam:
    """Grad-CAM maps of one target model, or of several that share a concept bottleneck.

    The map of a linear head is ReLU(sum_j w_j * cam_j) of the concepts' maps before their ReLU, because Grad-CAM is
    linear in the gradient of the score: one backward pass a concept serves any number of heads.

    Args:
        group: the target models.
        layer: name of a layer of the network; None: the last convolution, or the norm of the last transformer block
            that patches still act through.
        grid: (h, w) of a transformer's patches, where it can't be told from the picture's proportions.

    Raises:
        UserError: the network has no gradients (a black box).
    """

    def __init__(self, group: TargetGroup, layer: str | None = None, grid: tuple[int, int] | None = None) -> None:
        network: Any = group.network
        if not isinstance(getattr(network, "module", None), nn.Module) or not callable(
            getattr(network, "preprocess", None)
        ):
            raise UserError(
                f"Grad-CAM needs gradients, so a torch module with its preprocessing; got {type(network).__name__}. "
                "Wrap the model in a TorchClassifier, or use LIME or mask ablation, which take any classifier."
            )
        self.group = group
        self.module: nn.Module = network.module
        self.layer, self.grid = layer, grid
        if layer is not None:
            named_layer(self.module, layer)
        self._preprocess = network.preprocess
        self._device = next((p.device for p in self.module.parameters()), torch.device("cpu"))

    def inputs(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Images as the network takes them, (B, 3, H, W)."""
        return torch.as_tensor(self._preprocess(list(images))).to(self._device, torch.float32)

    def maps(self, inputs: Tensor) -> Floats:
        """Maps (B, M, H, W) >= 0 in the network's view of B pictures (B, 3, H, W), upsampled bilinearly."""
        inputs = inputs.detach().requires_grad_(True)
        size = (int(inputs.shape[-2]), int(inputs.shape[-1]))
        if self.layer is None:
            self.layer = default_layer(self.module, inputs[:1], self._scores, self.grid)
        with probe(named_layer(self.module, self.layer), self.layer, size, self.grid) as through:
            explainer = LayerGradCam(self._scores, through)
            cams = [
                explainer.attribute(inputs, target=j, relu_attributions=False).detach()
                for j in range(self.group.mix.shape[1])
            ]
        cam = torch.cat(cams, dim=1)  # (B, K, h, w)
        mix = torch.as_tensor(self.group.mix, dtype=cam.dtype, device=cam.device)  # (M, K)
        mixed = torch.relu(torch.einsum("mk,bkhw->bmhw", mix, cam))
        maps: Floats = LayerAttribution.interpolate(mixed, size, "bilinear").double().cpu().numpy()
        return maps

    def masks(self, masks: Bools) -> Bools:
        """Masks (D, H, W) of a picture as the network sees them, resized and cropped by its own preprocessing."""
        pictures = [np.repeat(mask[:, :, None], 3, axis=2).astype(np.uint8) * 255 for mask in masks]
        black = np.zeros((*masks.shape[1:], 3), dtype=np.uint8)
        seen = self.inputs([*pictures, black, black + 255]).cpu().numpy()  # (D + 2, 3, h, w)
        low, high = seen[-2], seen[-1]
        span = np.where(high == low, np.inf, high - low)  # padding: the same for black and white
        share: Bools = ((seen[:-2] - low) / span).mean(axis=1) >= 0.5
        return share

    def _scores(self, inputs: Tensor) -> Tensor:
        outputs = self.module(inputs)
        return self.group.differentiable(getattr(outputs, "logits", outputs))


def rank_by_gradcam(
    classifiers: Sequence[Classifier],
    table: ConceptTable,
    *,
    layer: str | None = None,
    grid: tuple[int, int] | None = None,
    threshold: str | Threshold = DEFAULT_THRESHOLD,
    target_class: int | None = None,
    pre_sigmoid: bool = False,
    batch_size: int = 32,
) -> MapRanking:
    """Rank concepts for M target models by the overlap of their Grad-CAM maps with the concepts' masks.

    The overlap is counted on the pixels the network sees: masks pass through its preprocessing, so that resizing and
    cropping apply to both.

    Args:
        classifiers: torch, transformers or timm classifiers, or concept bottlenecks; those that share a concept net
            share its passes.
        table: rows with images and masks.
        layer: see `GradCam`.
        grid: see `GradCam`.
        threshold: which pixels of a map count, see `genlens.baselines.iou.as_threshold`.
        target_class: index of the output explained, see `genlens.classifiers.target_score`.
        pre_sigmoid: explain bottlenecks on probabilities before the concepts' sigmoids, as Grad-CAM's authors explain
            classes before the softmax. A sigmoid that is sure of its concept passes next to no gradient.
        batch_size: images at a time.

    Raises:
        UserError: a table without images or masks, a black box, an unknown layer, or a bad option.
    """
    as_threshold(threshold)
    check_integer("batch_size", batch_size, 1)
    require_masks(table, "Grad-CAM")
    groups = group_targets(classifiers, target_class, pre_sigmoid=pre_sigmoid)
    explainers = [GradCam(group, layer, grid) for group in groups]
    parts = [rank_maps("Grad-CAM", table, _rows(e, table, batch_size), threshold, {}) for e in explainers]
    per_image = np.empty((table.n_rows, len(classifiers), len(table.names)))
    for group, part in zip(groups, parts, strict=True):
        per_image[:, list(group.members)] = part.per_image
    settings = {
        "layer": sorted({str(explainer.layer) for explainer in explainers}),
        "threshold": threshold,
        "pre_sigmoid": pre_sigmoid,
    }
    return MapRanking("Grad-CAM", tuple(table.names), per_image, settings)


def _rows(explainer: GradCam, table: ConceptTable, batch_size: int) -> Iterator[tuple[Floats, Bools]]:
    assert table.image_paths is not None  # require_masks
    for first in range(0, table.n_rows, batch_size):
        rows = range(first, min(first + batch_size, table.n_rows))
        images = [load_image(table.image_paths[row]) for row in rows]
        maps = explainer.maps(explainer.inputs(images))
        for row, image, found in zip(rows, images, maps, strict=True):
            yield found, explainer.masks(read_masks(table, row, image.shape[:2]))
