"""Mask ablation: inpaint a concept's pixels away in the real image and see how the target model's score moves.

What somebody with masks and no generator would do. A concept can only be removed, never added, and what is removed is
its pixels: shadows, reflections and context stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genlens.baselines.iou import Bools, Floats, read_masks, require_masks
from genlens.baselines.targets import group_targets, score_images
from genlens.classifiers.protocol import Classifier
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.errors import UserError, check_integer
from genlens.metrics import get_scoring

Inpaint = Callable[[NDArray[np.uint8], Bools], NDArray[np.uint8]]
"""A picture uint8 (H, W, 3) and the pixels to fill (H, W) to the filled picture."""


@dataclass(frozen=True, eq=False)
class Ablation:
    """Target scores of M models on N real images, whole and with each of D concepts removed.

    Attributes:
        concepts: D names.
        presence: (N, D) rows from which a concept was removed.
        real: (N, M) scores of the images as they are.
        removed: (N, D, M) scores without the concept; equal to `real` where it is absent anyway.
    """

    concepts: tuple[str, ...]
    presence: Bools
    real: Floats
    removed: Floats

    def importance(self, labels: ArrayLike, scoring: str | Callable[..., float] = "roc_auc") -> Floats:
        """Signed drop of the score (M, D) when a concept is removed from every image that has it.

        Args:
            labels: (N,), or (M, N) where every model has its own.
            scoring: a scikit-learn scorer name or ``(y_true, y_score) -> float``, higher is better.

        Raises:
            UserError: labels of another shape.
        """
        n, m = self.real.shape
        y = np.asarray(labels)
        if y.shape not in ((n,), (m, n)):
            raise UserError(f"`labels` must have the shape ({n},) or ({m}, {n}), a label a row; got {y.shape}.")
        y = np.broadcast_to(y, (m, n))
        score = get_scoring(scoring)
        drops = np.empty((m, len(self.concepts)))
        for k in range(m):
            reference = score(y[k], self.real[:, k])
            drops[k] = [reference - score(y[k], self.removed[:, j, k]) for j in range(drops.shape[1])]
        return drops

    def reliance(self) -> tuple[Floats, Floats]:
        """Change of the score, with the concept minus without, over the images that have it.

        Returns:
            Mean signed change (M, D) and mean absolute change (M, D).
        """
        change = self.real[:, None, :] - self.removed  # (N, D, M)
        counts = self.presence.sum(axis=0)[:, None]  # (D, 1)
        signed = (change * self.presence[:, :, None]).sum(axis=0) / counts
        absolute = (np.abs(change) * self.presence[:, :, None]).sum(axis=0) / counts
        return signed.T, absolute.T


def inpaint_biharmonic(image: NDArray[np.uint8], hole: Bools) -> NDArray[np.uint8]:
    """Fill a hole smoothly from its surroundings with scikit-image's biharmonic equation.

    A shape of 64 x 64 drawings takes about 4 ms, a hole of 300 x 300 pixels in a photograph 2 s.
    """
    from skimage.restoration import inpaint_biharmonic as inpaint

    filled = inpaint(image.astype(np.float64) / 255, hole, channel_axis=-1)
    result: NDArray[np.uint8] = (np.clip(filled, 0, 1) * 255 + 0.5).astype(np.uint8)
    return result


def ablate(
    classifiers: Sequence[Classifier],
    table: ConceptTable,
    *,
    rows: Sequence[int] | None = None,
    inpaint: Inpaint = inpaint_biharmonic,
    margin: int = 1,
    target_class: int | None = None,
    batch_size: int = 256,
) -> Ablation:
    """Score the real images of a table whole and with each concept that is present inpainted away.

    Args:
        classifiers: M target models of any kind; bottlenecks on the same concept net share its passes.
        table: rows with images and masks.
        rows: N of them; None: all.
        inpaint: what fills the hole.
        margin: pixels by which the hole is wider than the mask, for soft edges; it takes no other concept's pixels.
        target_class: index of the output explained, see `genlens.classifiers.target_score`.
        batch_size: images at a time.

    Raises:
        UserError: a table without images or masks, or a bad option.
    """
    check_integer("margin", margin, 0)
    check_integer("batch_size", batch_size, 1)
    presence = require_masks(table, "Mask ablation")
    numbers = np.arange(table.n_rows) if rows is None else np.asarray(rows)
    presence = presence[numbers]
    groups = group_targets(classifiers, target_class)
    n, d = presence.shape
    real, removed = np.empty((n, len(classifiers))), np.empty((n, d, len(classifiers)))
    waiting: list[tuple[int, int, NDArray[np.uint8]]] = []  # row, concept or -1 for the whole image, picture

    def flush() -> None:
        scores = score_images(groups, [picture for _, _, picture in waiting])
        for (row, j, _), score in zip(waiting, scores, strict=True):
            if j < 0:
                real[row] = removed[row] = score
            else:
                removed[row, j] = score
        waiting.clear()

    for row, number in enumerate(numbers):
        found = _pictures(table, int(number), presence[row], inpaint, margin)
        waiting.extend((row, j, picture) for j, picture in found)
        if len(waiting) >= batch_size or row == n - 1:
            flush()
    return Ablation(tuple(table.names), presence, real, removed)


def _pictures(
    table: ConceptTable, row: int, present: Bools, inpaint: Inpaint, margin: int
) -> list[tuple[int, NDArray[np.uint8]]]:
    """The row's image (-1), then each concept that is present with its image without it."""
    assert table.image_paths is not None  # require_masks
    image = load_image(table.image_paths[row])
    masks = read_masks(table, row, image.shape[:2])
    pictures = [(-1, image)]
    for j in np.flatnonzero(present):
        hole = widen(masks[j], margin) & ~np.delete(masks, j, axis=0).any(axis=0)
        hole |= masks[j]
        pictures.append((int(j), inpaint(image, hole) if hole.any() and not hole.all() else image))
    return pictures


def widen(mask: Bools, margin: int) -> Bools:
    """A mask (H, W) grown by `margin` pixels in all eight directions."""
    if margin == 0:
        return mask
    from scipy.ndimage import binary_dilation

    result: Bools = binary_dilation(mask, np.ones((3, 3), dtype=bool), iterations=margin)
    return result
