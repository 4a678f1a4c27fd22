"""How well a ranking method agrees with an oracle, over many target models whose inside is known.

Every measure of the DEPICT paper (arXiv 2407.14509, section 4.1): Pearson's correlation over all (model, concept)
pairs, the AUROC of "important or not" over the thresholds that binarise the oracle, and how far the k most important
concepts agree. Importance by AUROC drop can't reach r = 1 against weights, because the drop is about quadratic in them:
so each figure against the weights stands beside its **ceiling**, the permutation at the bottleneck against the weights
on the same models. Intervals are percentile bootstrap intervals over models, the unit that was drawn at random; all
methods and measures share the same resamples of models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from genlens.errors import UserError, check_integer
from genlens.experiments import measures

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

CEILING = "ceiling"
"""Name of the rows of an `Evaluation` that compare the bottleneck oracle with the weights."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its bootstrap interval over models."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of one method with one oracle over M models and D concepts.

    Attributes:
        method: name of the method, or `CEILING`.
        oracle: name of the oracle.
        pearson: over all M * D pairs, as published.
        pearson_normalised: the same after each model's values are divided by their L1 norm.
        pearson_within: mean over models of the correlation over concepts (0 for a model where it isn't defined).
        spearman: over all M * D pairs.
        spearman_within: mean over models of the rank correlation over concepts.
        slope: of the least-squares line method = intercept + slope * oracle over all pairs.
        auroc: mean over `thresholds` of the AUROC of "important or not".
        thresholds: (T,) values that binarise the oracle (important: oracle > threshold), quantiles of its values.
        auroc_curve: T estimates, one a threshold.
        top_k: D estimates: share of the oracle's k most important concepts among the method's k, k = 1..D.
    """

    method: str
    oracle: str
    pearson: Estimate
    pearson_normalised: Estimate
    pearson_within: Estimate
    spearman: Estimate
    spearman_within: Estimate
    slope: Estimate
    auroc: Estimate
    thresholds: Floats
    auroc_curve: tuple[Estimate, ...]
    top_k: tuple[Estimate, ...]


SUMMARY = ("pearson", "pearson_normalised", "pearson_within", "spearman", "spearman_within", "slope", "auroc")
"""The single figures of an `Agreement`, in the order of `Evaluation.frame`."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Agreements of several methods with the oracles, ceiling included.

    Attributes:
        agreements: one a (method, oracle), the ceiling first.
        n_models: M.
        n_concepts: D.
        confidence: level of the intervals.
    """

    agreements: tuple[Agreement, ...]
    n_models: int
    n_concepts: int
    confidence: float

    def get(self, method: str, oracle: str) -> Agreement:
        """Agreement of `method` with `oracle`.

        Raises:
            UserError: there is none.
        """
        for agreement in self.agreements:
            if (agreement.method, agreement.oracle) == (method, oracle):
                return agreement
        pairs = ", ".join(f"{a.method} / {a.oracle}" for a in self.agreements)
        raise UserError(f"No agreement of {method!r} with {oracle!r} was computed. There are: {pairs}.")

    def frame(self) -> pd.DataFrame:
        """Tidy table of the single figures: method, oracle, measure, value, ci_low, ci_high."""
        import pandas as pd

        cells = [(a, name, getattr(a, name)) for a in self.agreements for name in SUMMARY]
        records = [(a.method, a.oracle, name, e.value, e.low, e.high) for a, name, e in cells]
        return pd.DataFrame(records, columns=["method", "oracle", "measure", "value", "ci_low", "ci_high"])


def evaluate(
    methods: Mapping[str, ArrayLike],
    weights: ArrayLike,
    bottleneck: ArrayLike,
    *,
    n_boot: int = 2000,
    n_thresholds: int = 50,
    confidence: float = 0.95,
    seed: int = 0,
) -> Evaluation:
    """Judge ranking methods against both oracles, beside the ceiling on the same models.

    Args:
        methods: name -> (M, D) importance of every concept for every model.
        weights: (M, D) oracle 1, see `genlens.oracles.standardised_weights`.
        bottleneck: (M, D) oracle 2 in the measure judged, see `genlens.oracles.bottleneck_permutation` (importance) or
            `genlens.oracles.bottleneck_reliance` (score reliance).
        n_boot: bootstrap resamples of models.
        n_thresholds: at most so many thresholds of "important or not".
        confidence: level of the intervals, in (0, 1).
        seed: of the resamples.

    Raises:
        UserError: shapes that differ, fewer than two models or concepts, NaN, a name that is taken, or a bad option.
    """
    if not methods:
        raise UserError("`methods` must hold at least one method; got none.")
    if CEILING in methods:
        raise UserError(f"`methods` contains {CEILING!r}, the name of the ceiling itself. Choose another name.")
    truth = {"weights": _oracle("weights", weights)}
    shape = truth["weights"].shape
    truth["bottleneck"] = _oracle("bottleneck", _table("bottleneck", bottleneck, shape))
    values = {name: _table(f"methods[{name!r}]", value, shape) for name, value in methods.items()}
    resamples = _Resamples(shape[0], n_boot, confidence, seed)
    check_integer("n_thresholds", n_thresholds, 1)
    agreements = [_agreement(CEILING, "weights", truth["bottleneck"], truth["weights"], resamples, n_thresholds)]
    for name, value in values.items():
        for oracle, true in truth.items():
            agreements.append(_agreement(name, oracle, value, true, resamples, n_thresholds))
    return Evaluation(tuple(agreements), shape[0], shape[1], confidence)


class _Resamples:
    """Bootstrap resamples of models, as indices (B, M) and as counts (B, M), behind the original sample."""

    def __init__(self, n_models: int, n_boot: int, confidence: float, seed: int) -> None:
        check_integer("n_boot", n_boot, 1)
        if not 0 < confidence < 1:
            raise UserError(f"`confidence` must be in (0, 1); got {confidence}.")
        drawn = np.random.default_rng(seed).integers(n_models, size=(n_boot, n_models))
        self.indices = np.concatenate([np.arange(n_models)[None], drawn])  # (1 + B, M)
        offsets = np.arange(n_boot + 1)[:, None] * n_models
        flat = np.bincount((self.indices + offsets).ravel(), minlength=self.indices.size)
        self.counts = flat.reshape(self.indices.shape).astype(np.float64)  # (1 + B, M)
        self.tails = ((1 - confidence) / 2, (1 + confidence) / 2)

    def estimate(self, values: Floats) -> Estimate:
        """Estimate from the value on the original sample and the resamples, (1 + B,); undefined ones are left out."""
        defined = values[1:][np.isfinite(values[1:])]
        if not np.isfinite(values[0]) or not len(defined):
            return Estimate(float(values[0]), float("nan"), float("nan"))
        low, high = np.quantile(defined, self.tails)
        return Estimate(float(values[0]), float(low), float(high))

    def mean(self, per_model: Floats) -> Estimate:
        """Estimate of the mean of a figure (M,)."""
        return self.estimate(self.counts @ per_model / per_model.size)


def _agreement(
    name: str, oracle: str, method: Floats, true: Floats, resamples: _Resamples, n_thresholds: int
) -> Agreement:
    pearson, slope = measures.pooled(method, true, resamples.counts)
    normalised, _ = measures.pooled(measures.unit(method), measures.unit(true), resamples.counts)
    thresholds, curve = measures.important(method, true, resamples.counts, n_thresholds)
    return Agreement(
        method=name,
        oracle=oracle,
        pearson=resamples.estimate(pearson),
        pearson_normalised=resamples.estimate(normalised),
        pearson_within=resamples.mean(measures.within(method, true)),
        spearman=resamples.estimate(measures.spearman(method, true, resamples.indices)),
        spearman_within=resamples.mean(measures.within(rankdata(method, axis=1), rankdata(true, axis=1))),
        slope=resamples.estimate(slope),
        auroc=resamples.estimate(measures.mean_defined(curve)),
        thresholds=thresholds,
        auroc_curve=tuple(resamples.estimate(column) for column in curve.T),
        top_k=tuple(resamples.mean(column) for column in measures.top_k(method, true).T),
    )


def _oracle(name: str, value: Any) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != 2 or min(array.shape) < 2:
        raise UserError(f"`{name}` must have the shape (M, D) with at least 2 models and concepts; got {array.shape}.")
    if (array == array.flat[0]).all():
        raise UserError(f"`{name}` has the same value everywhere, so nothing can agree with it.")
    return _table(name, array, array.shape)


def _table(name: str, value: Any, shape: tuple[int, ...]) -> Floats:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape:
        raise UserError(f"`{name}` must have the shape {shape} of `weights`; got {array.shape}.")
    if not np.isfinite(array).all():
        raise UserError(f"`{name}` must be finite; got NaN or infinity.")
    return array
