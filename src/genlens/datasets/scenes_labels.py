"""Six scene labels, each a soft function of what is in the scene, so that a classifier may rely on several concepts."""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import NDArray

from genlens.datasets.idx import Split
from genlens.datasets.scenes_captions import CONCEPTS

LABELS: dict[str, tuple[float, dict[str, float]]] = {
    "sport": (-1.1, {"sneaker": 2.6, "tshirt": 1.6, "trouser": 0.8, "dress": -1.6, "coat": -0.8}),
    "office": (-1.2, {"shirt": 2.4, "trouser": 1.6, "bag": 1.2, "sandal": -1.6, "tshirt": -0.8}),
    "summer": (-1.0, {"sandal": 2.4, "tshirt": 1.4, "dress": 1.2, "coat": -1.8, "boot": -1.2}),
    "winter": (-1.2, {"coat": 2.4, "boot": 1.8, "pullover": 1.4, "sandal": -1.8}),
    "party": (-1.1, {"dress": 2.6, "bag": 1.4, "sandal": 0.8, "sneaker": -1.6, "pullover": -0.8}),
    "travel": (-1.2, {"bag": 2.4, "sneaker": 1.2, "pullover": 1.2, "boot": 0.8, "dress": -1.2}),
}
"""Label -> intercept and weights of the presences: the label is 1 with probability sigmoid(their sum)."""


def label_chances(counts: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Chance of each label given counts (N, 10): sigmoid of intercept plus weights of the classes present, (N,)."""
    present = np.asarray(counts) > 0
    chances = {}
    for name, (intercept, weights) in LABELS.items():
        vector = np.array([weights.get(concept, 0.0) for concept in CONCEPTS])
        chances[name] = 1 / (1 + np.exp(-(intercept + present @ vector)))
    return chances


def scene_labels(
    counts: NDArray[np.int64], seed: int, split: Split = "train", first: int = 0
) -> dict[str, NDArray[np.int64]]:
    """The six binary labels of rows, (N,) each, drawn with the chances of `label_chances`.

    Args:
        counts: (N, 10).
        seed: of the noise; that of row `first` + i depends on (split, seed, row) alone.
        split: which.
        first: number of the first row.
    """
    chances = label_chances(counts)
    stream = get_args(Split).index(split)
    rows = range(first, first + len(counts))
    noise = [np.random.default_rng((seed, stream, row, 1)).random(len(LABELS)) for row in rows]
    drawn = np.array(noise).reshape(-1, len(LABELS))
    return {name: (drawn[:, j] < chances[name]).astype(np.int64) for j, name in enumerate(LABELS)}
