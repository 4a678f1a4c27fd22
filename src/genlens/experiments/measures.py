"""Measures of agreement between two (M models, D concepts) arrays, for many resamples of the models at once.

A resample is a row of `counts` (B, M): how often each model was drawn. Sums over models are then one matrix product.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]


def pooled(x: Floats, y: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Pearson's r of x and y (M, D) and the slope of x on y, over all pairs, for each row of `counts` (B, M)."""
    x, y = _centred(x, None), _centred(y, None)
    moments = np.stack([x, y, x * x, y * y, x * y]).mean(axis=2)  # (5, M)
    mean_x, mean_y, xx, yy, xy = (counts @ moments.T / len(x)).T  # (B,) each
    covariance, var_x, var_y = xy - mean_x * mean_y, xx - mean_x**2, yy - mean_y**2
    return _ratio(covariance, np.sqrt(_positive(var_x) * _positive(var_y))), _ratio(covariance, _positive(var_y))


def _centred(x: Floats, axis: int | None) -> Floats:
    """Deviations from the mean, rounding noise around zero set to zero."""
    deviation: Floats = x - x.mean(axis=axis, keepdims=True)
    return np.where(np.abs(deviation) > 1e-12 * np.abs(x).max(), deviation, 0.0)


def _positive(variance: Floats) -> Floats:
    """Variances with rounding noise around zero set to zero."""
    result: Floats = np.where(variance > 1e-12 * max(float(variance.max()), 0.0), variance, 0.0)
    return result


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    undefined: Floats = np.full(np.shape(numerator), np.nan)
    np.divide(numerator, denominator, out=undefined, where=denominator > 0)
    return undefined


def unit(x: Floats) -> Floats:
    """Each model's values divided by their L1 norm; a model of zeros stays zero."""
    shares: Floats = np.nan_to_num(_ratio(x, np.abs(x).sum(axis=1, keepdims=True) * np.ones_like(x)))
    return shares


def within(x: Floats, y: Floats) -> Floats:
    """Pearson's r over concepts for each model (M,); 0 where a model's values are all equal."""
    x, y = _centred(x, 1), _centred(y, 1)
    norm = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    result: Floats = np.nan_to_num(_ratio((x * y).sum(axis=1), norm))
    return result


def spearman(x: Floats, y: Floats, indices: NDArray[np.int64]) -> Floats:
    """Spearman's rank correlation over all pairs of each resample (B,)."""
    ranks = [rankdata(values[indices].reshape(len(indices), -1), axis=1) for values in (x, y)]
    rank_x, rank_y = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    norm = np.sqrt((rank_x**2).sum(axis=1) * (rank_y**2).sum(axis=1))
    return _ratio((rank_x * rank_y).sum(axis=1), norm)


def important(method: Floats, true: Floats, counts: Floats, n_thresholds: int) -> tuple[Floats, Floats]:
    """Thresholds (T,) and the AUROC of "oracle > threshold" by the method's values, for each row of `counts` (B, T)."""
    distinct = np.unique(true)[:-1]
    picked = np.unique(np.linspace(0, len(distinct) - 1, min(n_thresholds, len(distinct))).round().astype(int))
    thresholds = distinct[picked]
    m, d = method.shape
    flat = method.ravel()
    wins = (flat[:, None] > flat).astype(np.float32) + np.float32(0.5) * (flat[:, None] == flat)  # (M * D, M * D)
    curve = np.empty((len(counts), len(thresholds)))
    for t, threshold in enumerate(thresholds):
        important = true > threshold
        pairs = wins * (important.reshape(-1, 1) & ~important.ravel())
        by_model = pairs.reshape(m, d, m, d).sum(axis=(1, 3), dtype=np.float64)  # (M, M)
        n_important = counts @ important.sum(axis=1)
        total = n_important * (counts.sum(axis=1) * d - n_important)
        curve[:, t] = _ratio(((counts @ by_model) * counts).sum(axis=1), total)
    return thresholds, curve


def mean_defined(curve: Floats) -> Floats:
    """Mean over the thresholds at which the AUROC is defined: (B, T) -> (B,)."""
    defined = np.isfinite(curve)
    return _ratio(np.where(defined, curve, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))


def top_k(method: Floats, true: Floats) -> Floats:
    """Share of common concepts among the k largest of both (M, D), k = 1..D; its expectation where there are ties."""
    k = np.arange(1, method.shape[1] + 1)
    common = _membership(method) * _membership(true)  # (M, D concepts, D values of k)
    result: Floats = common.sum(axis=1) / k
    return result


def _membership(x: Floats) -> Floats:
    """Probability that a concept is among its model's k largest values: (M, D) -> (M, D, D values of k)."""
    above = (x[:, None, :] > x[:, :, None]).sum(axis=2)
    tied = (x[:, None, :] == x[:, :, None]).sum(axis=2)
    k = np.arange(1, x.shape[1] + 1)
    result: Floats = np.clip((k - above[:, :, None]) / tied[:, :, None], 0.0, 1.0)
    return result
