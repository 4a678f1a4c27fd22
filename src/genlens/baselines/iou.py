"""From saliency maps to a ranking of concepts: threshold each map, overlap it with every concept's mask, average.

This is how the DEPICT paper (arXiv 2407.14509, section 4.1) makes a data set's ranking of Grad-CAM and LIME, which only
explain one image at a time. It needs masks of the concepts; a table without any is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genlens.concepts import ConceptTable
from genlens.errors import UserError, check_integer

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Threshold = Callable[[Floats], Bools]
"""A map (H, W), higher meaning more important, to the pixels that count as important (H, W)."""


def fraction_of_max(fraction: float) -> Threshold:
    """Pixels above `fraction` of the map's maximum, and above 0: .15 is what Grad-CAM's authors use to localise.

    Source: Selvaraju et al. 2017, section 4.1 (for CAM, Zhou et al. 2016 use .2).
    """
    if not 0 <= fraction < 1:
        raise UserError(f"`fraction` of the maximum must be in [0, 1); got {fraction}.")

    def threshold(values: Floats) -> Bools:
        result: Bools = values > max(fraction * float(values.max()), 0.0)
        return result

    return threshold


def top_fraction(fraction: float) -> Threshold:
    """The `fraction` of pixels with the largest values, those above 0 only; ties at the edge are all taken."""
    if not 0 < fraction <= 1:
        raise UserError(f"`fraction` of pixels must be in (0, 1]; got {fraction}.")

    def threshold(values: Floats) -> Bools:
        count = max(1, round(fraction * values.size))
        edge = np.partition(values.ravel(), -count)[-count]
        result: Bools = (values >= edge) & (values > 0)
        return result

    return threshold


def top_values(count: int) -> Threshold:
    """Pixels that carry one of the `count` largest distinct positive values: LIME's `count` best superpixels.

    Source: Ribeiro et al. 2016; ``get_image_and_mask(positive_only=True, num_features=5)`` of their package.
    """
    check_integer("count", count, 1)

    def threshold(values: Floats) -> Bools:
        distinct = np.unique(values[values > 0])
        return np.isin(values, distinct[-count:])

    return threshold


def otsu() -> Threshold:
    """Otsu's threshold between the two modes of the map's values."""

    def threshold(values: Floats) -> Bools:
        from skimage import filters

        if values.max() == values.min():
            return np.zeros(values.shape, dtype=bool)
        find: Any = filters.threshold_otsu
        result: Bools = values > max(float(find(values)), 0.0)
        return result

    return threshold


_THRESHOLDS: dict[str, Callable[[str], Threshold]] = {
    "max": lambda text: fraction_of_max(float(text)),
    "top": lambda text: top_fraction(float(text)),
    "values": lambda text: top_values(int(text)),
}


def as_threshold(threshold: str | Threshold) -> Threshold:
    """A threshold from its text: "max:0.15", "top:0.1", "values:5" or "otsu"; a callable is returned as it is.

    Raises:
        UserError: the text is none of these.
    """
    if callable(threshold):
        return threshold
    if threshold == "otsu":
        return otsu()
    kind, _, argument = str(threshold).partition(":")
    try:
        return _THRESHOLDS[kind](argument)
    except UserError:
        raise
    except (KeyError, ValueError):
        known = "'max:FRACTION', 'top:FRACTION', 'values:COUNT', 'otsu' or a function"
        raise UserError(f"`threshold` must be {known}; got {threshold!r}.") from None


def iou(first: ArrayLike, second: ArrayLike) -> Floats:
    """Intersection over union of masks over their last two axes, which broadcast; 0 where both are empty.

    Args:
        first: bool (..., H, W).
        second: bool (..., H, W).

    Returns:
        (...) in [0, 1].

    Raises:
        UserError: the masks differ in height or width.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape[-2:] != b.shape[-2:]:
        raise UserError(f"Masks must have the same height and width; got {a.shape[-2:]} and {b.shape[-2:]}.")
    union = (a | b).sum(axis=(-2, -1))
    common = (a & b).sum(axis=(-2, -1))
    result: Floats = common / np.maximum(union, 1)
    return result


@dataclass(frozen=True, eq=False)
class MapRanking:
    """Overlap of a saliency method's maps with the concepts, for M target models on the same images.

    Attributes:
        method: name of the method.
        concepts: D names.
        per_image: (N, M, D) IoU of each map with each concept's mask; NaN where the concept is absent.
        settings: what the maps were made with.
    """

    method: str
    concepts: tuple[str, ...]
    per_image: Floats
    settings: dict[str, Any]

    @property
    def importance(self) -> Floats:
        """Mean IoU (M, D) over the images in which the concept is present."""
        result: Floats = np.nanmean(self.per_image, axis=0)
        return result

    def ranking(self, model: int = 0) -> pd.DataFrame:
        """One model's ranking: concept, importance (mean IoU), std over images, n_images, rank."""
        import pandas as pd

        values = self.per_image[:, model]  # (N, D)
        frame = pd.DataFrame(
            {
                "concept": self.concepts,
                "importance": np.nanmean(values, axis=0),
                "std": np.nanstd(values, axis=0),
                "n_images": np.isfinite(values).sum(axis=0),
            }
        ).sort_values("importance", ascending=False, ignore_index=True)
        return frame.assign(rank=np.arange(1, len(frame) + 1))


def rank_maps(
    method: str,
    table: ConceptTable,
    maps: Iterable[tuple[Floats, Bools]],
    threshold: str | Threshold,
    settings: dict[str, Any],
) -> MapRanking:
    """Ranking from maps that come one row at a time, in the table's order.

    Args:
        method: its name.
        table: N rows with masks.
        maps: for each row the maps (M, H, W) of M models and the concepts' masks (D, H, W) of the same size.
        threshold: which pixels of a map count, see `as_threshold`.
        settings: kept with the result.

    Raises:
        UserError: the table has no images or masks, or `threshold` is unknown.
    """
    binarise = as_threshold(threshold)
    presence = require_masks(table, method)
    overlaps = []
    for values, masks in maps:
        important = np.stack([binarise(np.asarray(value, dtype=np.float64)) for value in values])  # (M, H, W)
        overlaps.append(iou(important[:, None], masks[None]))  # (M, D)
    per_image = np.where(presence[:, None, :], np.stack(overlaps), np.nan)
    return MapRanking(method, tuple(table.names), per_image, {**settings, "threshold": threshold})


def require_masks(table: ConceptTable, method: str) -> Bools:
    """Presence (N, D) of the concepts of a table that has images and masks.

    Raises:
        UserError: it has no images or masks.
    """
    if table.image_paths is None:
        raise UserError(f"{method} needs real images, and this table has none. Give it a folder of images.")
    if table.masks is None:
        raise UserError(
            f"{method} needs the pixels of concepts, and this table has no masks. Use a table with masks (COCO, "
            "shapes), or rank the concepts by permutation, which needs none."
        )
    return np.asarray(table.presence(), dtype=bool)


def read_masks(table: ConceptTable, row: int, shape: tuple[int, int]) -> Bools:
    """Masks (D, H, W) of one row.

    Raises:
        UserError: they don't have one layer a concept or not the image's size.
    """
    if table.masks is None:
        raise UserError("This table has no masks.")
    masks = np.asarray(table.masks(row), dtype=bool)
    wanted = (len(table.names), *shape)
    if masks.shape != wanted:
        raise UserError(
            f"The masks of row {table.row_ids[row]!r} must have the shape {wanted} (concepts, height, width of the "
            f"image); got {masks.shape}."
        )
    return masks
