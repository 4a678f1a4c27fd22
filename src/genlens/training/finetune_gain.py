"""How much better the result of a training is than its base: the difference of two quality cards, with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genlens.importance.auroc import ItemPairs

DRAWS = 2000
"""Of the bootstrap."""
LEVEL = 0.95


@dataclass(frozen=True)
class Gain:
    """Mean concept AUROC after minus before, on the same captions and seeds; interval by percentiles."""

    value: float
    low: float
    high: float


def gain(
    present: NDArray[np.bool_], before: NDArray[np.float64], after: NDArray[np.float64], seed: int = 0
) -> Gain:
    """Paired bootstrap over captions: a caption takes both of its pictures along.

    Concepts of which a draw holds one class only are left out of its mean, and draws without any concept altogether.

    Args:
        present: (n, D) whether the caption of a row has the concept; a concept must vary.
        before: (n, D) scores of the first pictures.
        after: scores of the second.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(present), np.full(len(present), 1 / len(present)), DRAWS)
    weights = np.concatenate([np.ones((1, len(present)), dtype=counts.dtype), counts])  # (1 + DRAWS, n)
    varied = np.flatnonzero(present.any(axis=0) & ~present.all(axis=0))
    found = np.array(
        [_aurocs(present[:, j], after[:, j], weights) - _aurocs(present[:, j], before[:, j], weights) for j in varied]
    )  # (varied, 1 + DRAWS)
    found = found[:, ~np.isnan(found).all(axis=0)]
    change = np.nanmean(found, axis=0)
    low, high = np.quantile(change[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Gain(float(change[0]), float(low), float(high))


def _aurocs(present: NDArray[np.bool_], scores: NDArray[np.float64], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """AUROC under each of the weights (K, n)."""
    pairs = ItemPairs.of(present, scores[:, None])
    return pairs.auroc(weights[:, pairs.positive_items], weights[:, pairs.negative_items])
