"""What explaining pictures are worth: are they given to the class, also by others; are they real, varied, legible?

Features are those of a network that no method was optimised against. Pictures are few (about 100), so the kernel
distance, which has no bias at any size, leads; the Fréchet distance falls with the sample and is extrapolated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genlens.classifiers.protocol import Classifier, Images, Outputs
from genlens.errors import UserError, check_integer
from genlens.proportions import wilson_interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """A share of pictures with Wilson's interval.

    Attributes:
        count: how many.
        n: of how many.
        low: lower end of the interval.
        high: its upper end.
    """

    count: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share."""
        return self.count / self.n


def share(hits: ArrayLike, confidence: float = 0.95) -> Share:
    """The share of true values among (N,), N >= 1."""
    flags = np.asarray(hits, dtype=bool).ravel()
    if not len(flags):
        raise UserError("A share needs at least one picture; got none.")
    return Share(int(flags.sum()), len(flags), *wilson_interval(int(flags.sum()), len(flags), confidence))


def given_to(outputs: ArrayLike, kind: Outputs, target: int) -> NDArray[np.bool_]:
    """Whether each picture is given to a class: its output is the largest; with one output or scores, it is positive.

    Args:
        outputs: (N, C) of a classifier.
        kind: what they are; the boundary of a single probability is one half.
        target: the class.
    """
    values = np.asarray(outputs, dtype=np.float64)
    if not 0 <= check_integer("target", target, 0) < values.shape[1]:
        raise UserError(f"`target` must be in 0..{values.shape[1] - 1}; got {target}.")
    if kind == "scores" or values.shape[1] == 1:
        return np.asarray(values[:, target] > (0.5 if kind == "probabilities" else 0.0))
    return np.asarray(values.argmax(axis=1) == target)


def activation_score(classifier: Classifier, images: Images, target: int, confidence: float = 0.95) -> Share:
    """Share of pictures that a classifier gives to a class (DEXTER, arXiv 2510.14741, "activation score")."""
    return share(given_to(classifier.predict(images), classifier.outputs, target), confidence)


def kernel_distance(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Kernel inception distance: unbiased squared MMD with the kernel (x . y / F + 1)^3 (Bińkowski et al. 2018).

    Args:
        x: features (N, F) of the pictures that are judged, N >= 3.
        y: features (M, F) of real pictures, M >= 2.

    Returns:
        The distance (0 in expectation for equal distributions, so it may be below) and its standard error by the
        jackknife over `x`, which is up to 1.4 times too large where the distributions are equal.
    """
    one, other = _features(x, y, 3)
    n, m = len(one), len(other)
    within, between = _kernel(one, one), _kernel(one, other).sum(axis=1)  # (N, N), (N,)
    np.fill_diagonal(within, 0)
    real = _kernel(other, other)
    fixed = (real.sum() - np.trace(real)) / (m * (m - 1))
    total, rows = within.sum(), within.sum(axis=1)
    value = total / (n * (n - 1)) + fixed - 2 * between.sum() / (n * m)
    without = (total - 2 * rows) / ((n - 1) * (n - 2)) + fixed - 2 * (between.sum() - between) / ((n - 1) * m)
    return float(value), float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))


def _kernel(x: Floats, y: Floats) -> Floats:
    cubes: Floats = (x @ y.T / x.shape[1] + 1) ** 3
    return cubes


def frechet_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Squared Fréchet distance of two normal laws with the features' means and covariances (Heusel et al. 2017).

    Args:
        x: features (N, F), N >= 2.
        y: features (M, F), M >= 2.
    """
    one, other = _features(x, y, 2)
    return _Normal(other).distance(one)


class _Normal:
    """The normal law with the mean and covariance of features (M, F)."""

    def __init__(self, features: Floats) -> None:
        self.mean = features.mean(axis=0)
        covariance = np.atleast_2d(np.cov(features, rowvar=False))
        values, vectors = np.linalg.eigh(covariance)
        self.trace = float(np.trace(covariance))
        self.root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T

    def distance(self, features: Floats) -> float:
        """Squared Fréchet distance of the law with the moments of other features (N, F).

        The eigenvalues of R A R, with A = X^T X of rank N, are the squared singular values of X R.
        """
        centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)  # (N, F), A = its square
        cross = np.linalg.svd(centred @ self.root, compute_uv=False).sum()
        gap = features.mean(axis=0) - self.mean
        return float(gap @ gap + (centred**2).sum() + self.trace - 2 * cross)


def frechet_infinity(x: ArrayLike, y: ArrayLike, *, n_sizes: int = 8, n_draws: int = 4, seed: int = 0) -> float:
    """The Fréchet distance extrapolated to endless pictures: a line in 1 / N through subsets (Chong and Forsyth 2020).

    Args:
        x: features (N, F), N >= 8.
        y: features (M, F) of real pictures, M much larger.
        n_sizes: sizes of subsets between N / 2 and N.
        n_draws: subsets of each size.
        seed: of the subsets.
    """
    one, other = _features(x, y, 8)
    rng = np.random.default_rng(seed)
    sizes = np.unique(np.linspace(len(one) / 2, len(one), check_integer("n_sizes", n_sizes, 2)).astype(int))
    law = _Normal(other)
    found = [
        np.mean([law.distance(one[rng.permutation(len(one))[:size]]) for _ in range(n_draws)]) for size in sizes
    ]
    return float(np.polyfit(1 / sizes, found, 1)[1])


def mean_distance(x: ArrayLike) -> float:
    """Mean Euclidean distance of two different pictures' features (N, F), N >= 2: 0 where all are the same."""
    values = np.asarray(x, dtype=np.float64)
    if len(values) < 2:
        raise UserError(f"A distance needs two pictures or more; got {len(values)}.")
    squares = (values**2).sum(axis=1)
    gaps = np.sqrt(np.maximum(squares[:, None] + squares - 2 * values @ values.T, 0))
    np.fill_diagonal(gaps, 0)
    return float(gaps.sum() / (len(values) * (len(values) - 1)))


def vendi_score(x: ArrayLike) -> float:
    """Effective number of different pictures, 1..N: exp of the entropy of the similarities (Friedman and Dieng 2023).

    Args:
        x: features (N, F); similarity is their cosine.
    """
    values = np.asarray(x, dtype=np.float64)
    unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    shares = np.linalg.svd(unit / np.sqrt(len(unit)), compute_uv=False) ** 2
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _features(x: ArrayLike, y: ArrayLike, least: int) -> tuple[Floats, Floats]:
    one, other = (np.asarray(values, dtype=np.float64) for values in (x, y))
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise UserError(f"Features must be (N, F) and (M, F); got {one.shape} and {other.shape}.")
    if len(one) < least or len(other) < 2:
        raise UserError(f"A distance needs {least} pictures or more, and 2 real ones; got {len(one)} and {len(other)}.")
    return one, other


def clip_iqa(images: NDArray[np.uint8], model: str = "clip_iqa") -> Floats:
    """CLIP-IQA of pictures (N, H, W, 3) by torchmetrics (Wang et al. 2023): (N,) in [0, 1], higher looks better.

    Args:
        images: uint8.
        model: as torchmetrics names it; its weights must be at hand.

    Raises:
        UserError: torchmetrics isn't installed, or the weights aren't at hand.
    """
    try:
        from torchmetrics.multimodal import CLIPImageQualityAssessment
    except ImportError as error:
        raise UserError("CLIP-IQA needs torchmetrics: pip install 'torchmetrics[multimodal]'.") from error
    import torch

    try:
        metric: Any = CLIPImageQualityAssessment(model, data_range=255)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"CLIP-IQA can't load {model!r}: {reason} Fetch its weights first.") from error
    with torch.no_grad():
        values: Floats = metric(torch.as_tensor(images).permute(0, 3, 1, 2)).double().reshape(-1).numpy()
    return values
