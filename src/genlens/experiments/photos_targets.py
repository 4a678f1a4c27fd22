"""Target models on photographs: linear heads on a concept bottleneck's log-odds (DEPICT, section 4.2).

*Primary*: for each concept one model of the same scene, trained and tested on rows in which the concept is there
exactly where the scene is, so that it relies on that concept. *Mixed*: one model a scene, trained on all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.bottleneck import ConceptBottleneck, ConceptClassifier
from genlens.errors import UserError
from genlens.experiments.photos_data import Photos
from genlens.oracles import bottleneck_permutation, standardised_weights

Floats = NDArray[np.float64]
PRIMARY, MIXED = "primary", "mixed"
MIN_ROWS = 10
"""Rows of either class that a target model needs for training and for testing."""


@dataclass(frozen=True, eq=False)
class Target:
    """One target model and the test rows it is explained on.

    Attributes:
        name: the concept (primary) or the scene (mixed).
        setting: PRIMARY or MIXED.
        weights: (D,) on the log-odds of the concepts.
        bias: added to them.
        rows: indices of its test rows, (n,).
        labels: their labels, (n,).
    """

    name: str
    setting: str
    weights: Floats
    bias: float
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]

    def head(self, net: ConceptClassifier) -> ConceptBottleneck:
        """The target model as a classifier."""
        return ConceptBottleneck(net, self.weights, self.bias, on="logits")

    def scores(self, logits: Floats) -> Floats:
        """Target scores (K,) of the log-odds (K, D) of K images."""
        result: Floats = logits @ self.weights + self.bias
        return result


def fit_targets(photos: Photos, logits: Floats, scene: int) -> tuple[list[Target], list[str]]:
    """Fit all target models.

    Args:
        photos: the data.
        logits: (N, D) what the concept net says about the training photographs.
        scene: the one of the primary models.

    Returns:
        The models, and a line for each that has too few rows.

    Raises:
        UserError: no model has enough rows.
    """
    present, test = photos.train.presence, photos.test.presence()
    there, there_test = photos.train.scenes[:, scene], photos.test_scenes[:, scene]
    jobs = [
        (name, PRIMARY, scene, present[:, j] == there, test[:, j] == there_test)
        for j, name in enumerate(photos.concepts)
    ]
    jobs += [
        (name, MIXED, s, np.ones(len(present), dtype=bool), np.ones(len(test), dtype=bool))
        for s, name in enumerate(photos.scenes)
    ]
    targets, left_out = [], []
    for name, setting, s, train_rows, test_rows in jobs:
        y, labels = photos.train.scenes[train_rows, s], photos.test_scenes[test_rows, s]
        fewest = min(np.bincount(part, minlength=2)[:2].min() for part in (y, labels))
        if fewest < MIN_ROWS:
            left_out.append(f"{setting} {name}: {fewest} rows of a class, at least {MIN_ROWS} are needed")
            continue
        weights, bias = _fit(logits[train_rows], y)
        targets.append(Target(name, setting, weights, bias, np.flatnonzero(test_rows), labels))
    if not targets:
        raise UserError(f"No target model has {MIN_ROWS} training and test rows of either class. Take more rows.")
    return targets, left_out


def _fit(logits: Floats, y: NDArray[np.int64]) -> tuple[Floats, float]:
    """Logistic regression on standardised log-odds, in the scale of the log-odds themselves."""
    from sklearn.linear_model import LogisticRegression

    spread = logits.std(axis=0)
    model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000).fit(logits / spread, y)
    return model.coef_[0] / spread, float(model.intercept_[0])


def oracles(targets: Sequence[Target], logits: Floats) -> dict[str, Floats]:
    """Both oracles, (M, D), each model on its own test rows: abs(weight * sd), and the permutation at the bottleneck.

    Args:
        targets: M models.
        logits: (N, D) of the real test photographs.
    """
    found = [bottleneck_permutation(t.labels, logits[t.rows], t.weights) for t in targets]
    return {
        "weights": np.abs(np.stack([standardised_weights(t.weights, logits[t.rows]) for t in targets])),
        "bottleneck": np.concatenate([part.importance for part in found]),
        "real_auroc": np.concatenate([part.reference for part in found]),
    }
