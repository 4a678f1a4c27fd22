"""What the target model and the concept classifier say about a run's images, and the labels it is held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.protocol import Classifier, concept_columns, target_score
from genlens.concepts import ConceptTable
from genlens.engine import Engine
from genlens.errors import UserError
from genlens.generators.protocol import Generator
from genlens.metrics import binarise_labels
from genlens.plan import Plan


@dataclass(frozen=True, eq=False)
class TargetScores:
    """What the models said.

    Attributes:
        outputs: (M,) target score of each image, or (M, C) where all classes are scored together.
        real: the same for the N real images, or None.
        shown: (M,) what the report writes under a picture.
        threshold: score above which a row counts as the target class.
        log_odds: whether the scores are on that scale.
        concepts: (M, D + W) concept classifier's outputs for `ConceptTable.detected_names`, or None.
        real_concepts: (N, D + W) the same for the real images, or None.
    """

    outputs: NDArray[np.float64]
    real: NDArray[np.float64] | None
    shown: NDArray[np.float64]
    threshold: float
    log_odds: bool
    concepts: NDArray[np.float64] | None
    real_concepts: NDArray[np.float64] | None


def score_target(
    engine: Engine,
    table: ConceptTable,
    plan: Plan,
    generator: Generator,
    classifier: Classifier,
    concept_classifier: Classifier | None,
    target_class: int | None,
    images: NDArray[np.int64] | None = None,
) -> TargetScores:
    """Real images first, so that a classifier that doesn't fit is found before anything is rendered.

    Where only some images are wanted, the scores of the others are NaN.
    """
    models = {"target": classifier}
    if concept_classifier is not None:
        models["concepts"] = concept_classifier
    real = {} if table.image_paths is None else {name: engine.score_real(table, m, name) for name, m in models.items()}
    convert = _converter(table, classifier, target_class)
    real_target = convert(real["target"]) if real else None
    numbers = None if images is None else images.tolist()
    found = _scattered(engine.run(plan, generator, models, numbers), images, plan.n_images)
    outputs = convert(found["target"])
    reference = outputs[plan.reference] if real_target is None else real_target
    columns = None
    if concept_classifier is not None:
        columns = concept_columns(concept_classifier, table.detected_names, found["concepts"].shape[1])
    return TargetScores(
        outputs=outputs,
        real=real_target,
        shown=outputs if outputs.ndim == 1 else outputs.max(axis=1),
        threshold=float(np.median(reference)) if classifier.outputs == "scores" else 0.0,
        log_odds=classifier.outputs != "scores" and outputs.ndim == 1,
        concepts=None if columns is None else found["concepts"][:, columns].astype(np.float64),
        real_concepts=None if columns is None or not real else real["concepts"][:, columns].astype(np.float64),
    )


def _scattered(
    found: dict[str, NDArray[np.float32]], images: NDArray[np.int64] | None, n_images: int
) -> dict[str, NDArray[np.float32]]:
    """Outputs (K, C) of some images -> (M, C), NaN for the others."""
    if images is None:
        return found
    wide = {name: np.full((n_images, scores.shape[1]), np.nan, np.float32) for name, scores in found.items()}
    for name, scores in found.items():
        wide[name][images] = scores
    return wide


def _converter(
    table: ConceptTable, classifier: Classifier, target_class: int | None
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """Outputs (M, C) -> target score (M,), or all C columns for labels of many classes without a target class."""

    def convert(outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        if table.task == "multiclass" and target_class is None and outputs.shape[1] > 2:
            return outputs.astype(np.float64)
        return target_score(outputs, classifier.outputs, target_class)

    return convert


def refuse_missing_labels(table: ConceptTable, label_from_classifier: bool) -> None:
    """Raise a UserError unless there are labels, or real images whose decisions can be the labels."""
    if label_from_classifier and table.image_paths is None:
        raise UserError("`label_from_classifier` needs real images; this table has none. Name a label column.")
    if table.labels is None and not label_from_classifier:
        raise UserError("`table` has no labels. Name a label column, or set `label_from_classifier`.")


def labels_of(
    table: ConceptTable, target: TargetScores, target_class: int | None, from_classifier: bool
) -> NDArray[Any]:
    """Labels (N,) that the target's score is held against."""
    if from_classifier:
        real = np.asarray(target.real)
        decisions = real.argmax(axis=1) if real.ndim == 2 else (real > target.threshold).astype(np.int64)
        if len(np.unique(decisions)) < 2:
            raise UserError(
                "The classifier decides the same on every real image, so its decision can't be the label. "
                "Name a label column, or take images on which it differs."
            )
        return np.asarray(decisions)
    labels: NDArray[Any] = np.asarray(table.labels)
    if table.task == "multiclass" and target_class is not None:
        return binarise_labels(labels, target_class)
    return labels
