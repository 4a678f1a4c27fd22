"""Grad-CAM, LIME and mask ablation on target models of photographs, each model on its own test rows.

Both maps get the threshold, and LIME the superpixels, that agree best with the weights of these very models: no user
could know them, so the figures flatter both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genlens.baselines.ablation import ablate
from genlens.baselines.gradcam import GradCam
from genlens.baselines.iou import as_threshold, iou, read_masks
from genlens.baselines.lime import LimeSettings, lime_maps
from genlens.baselines.targets import group_targets, score_images
from genlens.classifiers.concept_net import ConceptNet
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.experiments.photos_targets import Target
from genlens.experiments.shapes_baselines import LIME_CHOICES, LIME_THRESHOLDS, THRESHOLDS
from genlens.metrics import get_scoring

Floats = NDArray[np.float64]


def gradcam_overlaps(
    targets: Sequence[Target], net: ConceptNet, table: ConceptTable, rows: Sequence[int]
) -> Floats:
    """IoU (T, rows, M, D) of Grad-CAM's maps of some rows with the masks at every threshold of `THRESHOLDS`."""
    (group,) = group_targets([target.head(net) for target in targets])
    explainer, paths, found = GradCam(group), table.image_paths or (), []
    for row in rows:
        image = load_image(paths[row])
        masks = explainer.masks(read_masks(table, row, image.shape[:2]))
        found.append(_overlaps(explainer.maps(explainer.inputs([image]))[0], masks, THRESHOLDS))
    return np.stack(found, axis=1)


def lime_overlaps(
    targets: Sequence[Target], net: ConceptNet, table: ConceptTable, rows: Sequence[int], n_samples: int
) -> Floats:
    """IoU (choices * thresholds, rows, M, D) of LIME's maps with the masks of some rows."""
    groups, paths = group_targets([target.head(net) for target in targets]), table.image_paths or ()
    found = []
    for superpixels, hide in LIME_CHOICES:
        settings = LimeSettings(n_samples, superpixels, hide="mean" if hide == "mean" else "median")
        parts = []
        for row in rows:
            image = load_image(paths[row])
            maps = lime_maps(lambda pictures: score_images(groups, pictures), image, settings, table.row_ids[row])
            parts.append(_overlaps(maps, read_masks(table, row, image.shape[:2]), LIME_THRESHOLDS))
        found.append(np.stack(parts, axis=1))
    return np.concatenate(found)


def _overlaps(maps: Floats, masks: NDArray[np.bool_], thresholds: Sequence[str]) -> Floats:
    """IoU (T, M, D)."""
    return np.stack([iou(np.stack([as_threshold(t)(m) for m in maps])[:, None], masks[None]) for t in thresholds])


def best_importance(
    targets: Sequence[Target], overlaps: Floats, presence: NDArray[np.bool_], weights: Floats, rows: Sequence[int]
) -> tuple[Floats, int, float]:
    """Mean IoU (M, D) over a model's rows that have the concept, at the setting with the largest r with the weights.

    Args:
        targets: M models.
        overlaps: (T, rows, M, D).
        presence: (N, D).
        weights: (M, D).
        rows: test rows that were explained.

    Returns:
        The importance, the number of the setting, and r.
    """
    explained = np.asarray(rows)
    kept = np.stack([np.isin(explained, target.rows) for target in targets], axis=1)[:, :, None]  # (rows, M, 1)
    counts = (kept & presence[explained][:, None]).sum(axis=0)  # (M, D)
    total = np.where(kept & presence[explained][:, None], overlaps, 0).sum(axis=1)  # (T, M, D)
    importance = total / np.maximum(counts, 1)
    r = [np.corrcoef(part.ravel(), weights.ravel())[0, 1] if np.ptp(part) else -1.0 for part in importance]
    best = int(np.argmax(r))
    return importance[best], best, float(r[best])


def setting_name(method: str, number: int) -> str:
    """What setting `number` of `best_importance` is."""
    if method == "Grad-CAM":
        return THRESHOLDS[number]
    choice, threshold = divmod(number, len(LIME_THRESHOLDS))
    return ", ".join((*LIME_CHOICES[choice], LIME_THRESHOLDS[threshold]))


def mask_ablation(targets: Sequence[Target], net: ConceptNet, table: ConceptTable, rows: Sequence[int]) -> Floats:
    """AUROC drop (M, D) when each concept is inpainted away in some rows; NaN where these rows have one class."""
    found = ablate([target.head(net) for target in targets], table, rows=rows)
    score, result = get_scoring("roc_auc"), np.empty((len(targets), len(table.names)))
    for m, target in enumerate(targets):
        kept = np.isin(rows, target.rows)
        y = target.labels[np.isin(target.rows, rows)]
        if len(np.unique(y)) < 2:
            result[m] = np.nan
            continue
        reference = score(y, found.real[kept, m])
        result[m] = [reference - score(y, found.removed[kept, j, m]) for j in range(result.shape[1])]
    return result
