"""LIME, Grad-CAM and mask ablation on the shapes target models, the first two tuned on rows and models of their own.

Their authors would pick thresholds and superpixels by how the maps look or how a held-out criterion fares. Here the
criterion is the most generous there is: the correlation with the true weights, on images and target models that the
test does not use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from genlens.baselines.ablation import ablate
from genlens.baselines.gradcam import GradCam, rank_by_gradcam
from genlens.baselines.iou import as_threshold, iou, rank_maps, read_masks
from genlens.baselines.lime import LimeSettings, lime_maps
from genlens.baselines.targets import group_targets, score_images
from genlens.classifiers.concept_net import ConceptNet
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.experiments.shapes_models import Targets

Floats = NDArray[np.float64]
Maps = list[tuple[Floats, NDArray[np.bool_]]]

THRESHOLDS = ("max:0.05", "max:0.15", "max:0.25", "max:0.5", "max:0.75", "top:0.05", "top:0.1", "top:0.2", "otsu")
LIME_THRESHOLDS = ("values:1", "values:3", "values:5", "max:0.1", "max:0.25", "max:0.5", "max:0.75", "otsu")
LIME_CHOICES = (("slic", "median"), ("slic", "mean"), ("quickshift", "median"), ("quickshift", "mean"))
"""Superpixels and what hides them."""


def pooled_r(importance: Floats, weights: Floats) -> float:
    """Pearson's r over all (model, concept) pairs; -1 where all importances are equal."""
    if np.ptp(importance) == 0:
        return -1.0
    return float(np.corrcoef(importance.ravel(), weights.ravel())[0, 1])


def tune_gradcam(targets: Targets, net: ConceptNet, table: ConceptTable, pre_sigmoid: bool) -> dict[str, Floats]:
    """Pooled r with the weights of every threshold in `THRESHOLDS`, (T,)."""
    (group,) = group_targets(targets.heads(net), pre_sigmoid=pre_sigmoid)
    explainer, maps = GradCam(group), []
    for row, path in enumerate(table.image_paths or ()):
        image = load_image(path)
        masks = explainer.masks(read_masks(table, row, image.shape[:2]))
        maps.append((explainer.maps(explainer.inputs([image]))[0], masks))
    found = [rank_maps("Grad-CAM", table, maps, threshold, {}).importance for threshold in THRESHOLDS]
    return {"r": np.array([pooled_r(importance, targets.weights) for importance in found])}


def tune_lime(
    targets: Targets, net: ConceptNet, table: ConceptTable, n_samples: int, choice: tuple[str, str]
) -> dict[str, Floats]:
    """Pooled r with the weights of one of `LIME_CHOICES` at every threshold of `LIME_THRESHOLDS`, (T,)."""
    maps = list(_lime_rows(targets, net, table, _lime_settings(choice, n_samples), range(table.n_rows)))
    found = [rank_maps("LIME", table, maps, threshold, {}).importance for threshold in LIME_THRESHOLDS]
    return {"r": np.array([pooled_r(importance, targets.weights) for importance in found])}


def _lime_settings(choice: tuple[str, str], n_samples: int) -> LimeSettings:
    superpixels, hide = choice
    return LimeSettings(n_samples=n_samples, superpixels=superpixels, hide="mean" if hide == "mean" else "median")


def _lime_rows(
    targets: Targets, net: ConceptNet, table: ConceptTable, settings: LimeSettings, rows: Sequence[int]
) -> Iterator[tuple[Floats, NDArray[np.bool_]]]:
    groups, paths = group_targets(targets.heads(net)), table.image_paths or ()
    for row in rows:
        image = load_image(paths[row])
        maps = lime_maps(lambda pictures: score_images(groups, pictures), image, settings, table.row_ids[row])
        yield maps, read_masks(table, row, image.shape[:2])


def best_gradcam(tuning: Mapping[str, Floats]) -> str:
    """The threshold with the largest r."""
    return THRESHOLDS[int(np.nanargmax(tuning["r"]))]


def best_lime(tuning: Mapping[str, Floats]) -> tuple[str, str, str]:
    """Superpixels, what hides them, and the threshold with the largest r."""
    choice, threshold = np.unravel_index(int(np.nanargmax(tuning["r"])), tuning["r"].shape)
    return *LIME_CHOICES[choice], LIME_THRESHOLDS[threshold]


def gradcam(
    targets: Targets, net: ConceptNet, table: ConceptTable, threshold: str, pre_sigmoid: bool
) -> dict[str, Floats]:
    """Grad-CAM's importance (M, D): mean IoU over the images that have the concept."""
    ranking = rank_by_gradcam(targets.heads(net), table, threshold=threshold, pre_sigmoid=pre_sigmoid)
    return {"importance": ranking.importance, **_quartiles(ranking.per_image)}


def lime_overlaps(
    targets: Targets,
    net: ConceptNet,
    table: ConceptTable,
    choice: tuple[str, str, str],
    n_samples: int,
    rows: Sequence[int],
) -> dict[str, Floats]:
    """IoU (rows, M, D) of LIME's maps of some rows with the masks; 0 where the concept is absent."""
    *how, threshold = choice
    binarise, settings = as_threshold(threshold), _lime_settings((how[0], how[1]), n_samples)
    found = []
    for maps, masks in _lime_rows(targets, net, table, settings, rows):
        important = np.stack([binarise(values) for values in maps])  # (M, H, W)
        found.append(iou(important[:, None], masks[None]))  # (M, D)
    return {"iou": np.stack(found)}


def lime(table: ConceptTable, overlaps: Floats) -> dict[str, Floats]:
    """LIME's importance (M, D): mean IoU over the images that have the concept.

    Args:
        table: N rows.
        overlaps: (N, M, D), see `lime_overlaps`.
    """
    per_image = np.where(table.presence()[:, None], overlaps, np.nan)
    return {"importance": np.nanmean(per_image, axis=0), **_quartiles(per_image)}


def mask_ablation(targets: Targets, net: ConceptNet, table: ConceptTable) -> dict[str, Floats]:
    """AUROC drop and mean absolute change of the score (M, D) when each concept is inpainted away."""
    found = ablate(targets.heads(net), table)
    return {"importance": found.importance(targets.labels), "reliance": found.reliance()[1]}


def _quartiles(per_image: Floats) -> dict[str, Floats]:
    """Quantiles (5, 4, D) over images of the first four models, for box plots."""
    return {"box": np.nanquantile(per_image[:, :4], [0.025, 0.25, 0.5, 0.75, 0.975], axis=0)}
