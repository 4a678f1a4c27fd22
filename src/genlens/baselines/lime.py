"""LIME as a ranking of concepts (Ribeiro et al. 2016), for many target models on the same perturbed pictures.

The surrogate is the authors' own: superpixels switched on and off by fair coins, the first sample whole; the kernel
sqrt(exp(-d^2 / width^2)) of the cosine distance between switches; ridge regression with an intercept. A weighted ridge
regression is linear in its targets, so one solution serves every target model: perturbed pictures pass once through
each network (see `genlens.baselines.targets`). With the same samples and kernel it equals captum's ``Lime``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
from genlens.baselines.targets import TargetGroup, group_targets, score_images
from genlens.classifiers.protocol import Classifier
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.errors import UserError, check_integer
from genlens.seeds import row_seed

Image = NDArray[np.uint8]
Segmenter = Callable[[Image], NDArray[np.int64]]
"""A picture uint8 (H, W, 3) to the number of each pixel's superpixel (H, W)."""

DEFAULT_THRESHOLD = "values:5"
"""The five superpixels with the largest positive weight, as in the authors' package."""


def quickshift_superpixels(image: Image) -> NDArray[np.int64]:
    """Quickshift with the LIME package's settings: kernel size 4, maximal distance 200, ratio .2."""
    from skimage import segmentation

    find: Any = segmentation.quickshift
    return np.asarray(find(image, kernel_size=4, max_dist=200, ratio=0.2, rng=0), dtype=np.int64)


def slic_superpixels(image: Image) -> NDArray[np.int64]:
    """SLIC with scikit-image's compactness of 10 and about 50 superpixels."""
    from skimage.segmentation import slic

    return np.asarray(slic(image, n_segments=50, compactness=10, start_label=0), dtype=np.int64)


SUPERPIXELS: dict[str, Segmenter] = {"quickshift": quickshift_superpixels, "slic": slic_superpixels}
"""Segmenters by name."""


@dataclass(frozen=True)
class LimeSettings:
    """Options of LIME; defaults are those of its authors' package for pictures.

    Attributes:
        n_samples: perturbed pictures an image.
        superpixels: "quickshift", "slic" or a function from a picture to superpixels.
        kernel_width: of the kernel on cosine distances.
        hide: what a superpixel that is off looks like: "mean" (its own mean colour), "median" (the picture's median
            colour, the background of drawings) or an (R, G, B) colour of 0..255.
        alpha: of the ridge regression.
        seed: of the samples; a row's samples depend on the seed and its id only.
        batch_size: perturbed pictures at a time.

    Raises:
        UserError: a value out of its range.
    """

    n_samples: int = 1000
    superpixels: str | Segmenter = "quickshift"
    kernel_width: float = 0.25
    hide: Literal["mean", "median"] | tuple[int, int, int] = "mean"
    alpha: float = 1.0
    seed: int = 0
    batch_size: int = 250

    def __post_init__(self) -> None:
        """Check the values."""
        check_integer("n_samples", self.n_samples, 2)
        check_integer("seed", self.seed, 0)
        check_integer("batch_size", self.batch_size, 1)
        if not callable(self.superpixels) and self.superpixels not in SUPERPIXELS:
            known = ", ".join(repr(name) for name in SUPERPIXELS)
            raise UserError(f"`superpixels` must be {known} or a function; got {self.superpixels!r}.")
        if not self.kernel_width > 0:
            raise UserError(f"`kernel_width` must be > 0; got {self.kernel_width}.")
        if not self.alpha > 0:
            raise UserError(f"`alpha` must be > 0; got {self.alpha}.")
        colour = np.asarray(self.hide)
        if self.hide not in ("mean", "median") and (
            colour.shape != (3,) or colour.dtype.kind not in "iu" or colour.min() < 0 or colour.max() > 255
        ):
            raise UserError(f"`hide` must be 'mean', 'median' or three integers in 0..255; got {self.hide!r}.")


def rank_by_lime(
    classifiers: Sequence[Classifier],
    table: ConceptTable,
    settings: LimeSettings | None = None,
    *,
    threshold: str | Threshold = DEFAULT_THRESHOLD,
    target_class: int | None = None,
) -> MapRanking:
    """Rank concepts for M target models by the overlap of their LIME maps with the concepts' masks.

    Args:
        classifiers: any classifiers; concept bottlenecks on the same concept net share all perturbed pictures.
        table: rows with images and masks; a pass over the network costs `n_samples` pictures a row, so take a subset.
        settings: see `LimeSettings`.
        threshold: which pixels of a map count, see `genlens.baselines.iou.as_threshold`.
        target_class: index of the output explained, see `genlens.classifiers.target_score`.

    Raises:
        UserError: a table without images or masks, or a bad option.
    """
    settings = settings or LimeSettings()
    as_threshold(threshold)
    require_masks(table, "LIME")
    groups = group_targets(classifiers, target_class)
    return rank_maps("LIME", table, _rows(groups, table, settings), threshold, asdict(settings))


def lime_maps(
    score: Callable[[NDArray[np.uint8]], Floats], image: Image, settings: LimeSettings, row_id: str = ""
) -> Floats:
    """LIME maps (M, H, W) of one picture: each pixel carries the weight of its superpixel in the surrogate.

    Args:
        score: uint8 pictures (B, H, W, 3) -> target scores (B, M).
        image: uint8 (H, W, 3).
        settings: see `LimeSettings`.
        row_id: decides, with the seed, which superpixels are switched.
    """
    segments = find_superpixels(image, settings)
    states = sample_states(int(segments.max()) + 1, settings.n_samples, row_seed(settings.seed, row_id))
    distinct, position = np.unique(states, axis=0, return_inverse=True)  # few superpixels: few distinct pictures
    hidden = hidden_image(image, segments, settings)
    scores = np.concatenate(
        [
            score(np.where(distinct[first : first + settings.batch_size, segments, None], image, hidden))
            for first in range(0, len(distinct), settings.batch_size)
        ]
    )  # (distinct, M)
    weights = surrogate(states, scores[position.ravel()], kernel(states, settings.kernel_width), settings.alpha)
    result: Floats = weights.T[:, segments]
    return result


def find_superpixels(image: Image, settings: LimeSettings) -> NDArray[np.int64]:
    """Superpixels (H, W) of a picture, numbered 0, 1, 2 and so on.

    Raises:
        UserError: the user's function returned another shape.
    """
    segmenter = settings.superpixels if callable(settings.superpixels) else SUPERPIXELS[settings.superpixels]
    found = np.asarray(segmenter(image))
    if found.shape != image.shape[:2]:
        raise UserError(f"`superpixels` must return one number a pixel, shape {image.shape[:2]}; got {found.shape}.")
    return np.unique(found, return_inverse=True)[1].reshape(found.shape).astype(np.int64)


def sample_states(n_superpixels: int, n_samples: int, seed: int) -> NDArray[np.bool_]:
    """Which superpixels are on in each sample, bool (S, d): fair coins, all on in the first sample."""
    states = np.random.default_rng(seed).random((n_samples, n_superpixels)) < 0.5
    states[0] = True
    return states


def hidden_image(image: Image, segments: NDArray[np.int64], settings: LimeSettings) -> Image:
    """The picture with every superpixel off, uint8 (H, W, 3)."""
    if settings.hide == "median":
        return np.broadcast_to(np.median(image, axis=(0, 1)).astype(np.uint8), image.shape)
    if settings.hide != "mean":
        return np.broadcast_to(np.asarray(settings.hide, dtype=np.uint8), image.shape)
    flat = segments.ravel()
    sums = np.stack([np.bincount(flat, image[..., channel].ravel()) for channel in range(3)], axis=1)
    means = sums / np.bincount(flat)[:, None]  # (d, 3)
    return means.astype(np.uint8)[segments]


def kernel(states: NDArray[np.bool_], width: float) -> Floats:
    """Weight of each sample (S,): sqrt(exp(-d^2 / width^2)), d the cosine distance of its switches to all on."""
    distance = 1 - np.sqrt(states.mean(axis=1))  # cosine of a 0/1 vector with ones: sqrt(share of ones); 0 if all off
    result: Floats = np.sqrt(np.exp(-(distance**2) / width**2))
    return result


def surrogate(states: NDArray[Any], scores: Floats, weights: Floats, alpha: float) -> Floats:
    """Weighted ridge regression with an intercept, for many targets at once.

    Args:
        states: (S, d) switches.
        scores: (S, M) targets.
        weights: (S,) of the samples.
        alpha: penalty on the squared coefficients, not on the intercept.

    Returns:
        Coefficients (d, M).
    """
    x: Floats = np.asarray(states, dtype=np.float64)
    x = x - np.average(x, axis=0, weights=weights)
    y = scores - np.average(scores, axis=0, weights=weights)
    weighted = x.T * weights  # (d, S)
    return np.asarray(np.linalg.solve(weighted @ x + alpha * np.eye(x.shape[1]), weighted @ y), dtype=np.float64)


def _rows(groups: list[TargetGroup], table: ConceptTable, settings: LimeSettings) -> Iterator[tuple[Floats, Bools]]:
    for row, path in enumerate(table.image_paths or ()):
        image = load_image(path)
        maps = lime_maps(lambda pictures: score_images(groups, pictures), image, settings, table.row_ids[row])
        yield maps, read_masks(table, row, image.shape[:2])
