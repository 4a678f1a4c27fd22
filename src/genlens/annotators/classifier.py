"""A classifier, any callable or a segmenter as annotator: one score a concept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genlens.annotators.protocol import Found
from genlens.classifiers.fingerprint import hash_parts, hash_spec
from genlens.classifiers.protocol import Classifier, concept_columns, target_score
from genlens.errors import UserError
from genlens.segmenters.presence import Presence
from genlens.segmenters.protocol import Segmenter


class ClassifierAnnotator:
    """A classifier with an output a concept; scores are log-odds where the outputs have them.

    Args:
        classifier: with an attribute `concept_names` (or `class_names`), or as many outputs as there are concepts.
    """

    threshold = 0.0
    counts = False

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    @property
    def fingerprint(self) -> str:
        """That of the classifier."""
        return hash_parts("annotator", self._classifier.fingerprint)

    def check(self, concepts: Sequence[str]) -> None:
        """Refuse concepts that the classifier has no output for, where it names its outputs."""
        names = self._names()
        for concept in concepts:
            if names is not None and concept not in names:
                raise UserError(f"The annotator doesn't know {concept!r}. It knows: {', '.join(names)}.")

    def find(self, images: Sequence[NDArray[np.uint8]], concepts: Sequence[str]) -> Found:
        """See `Annotator.find`."""
        outputs = self._classifier.predict(list(images))  # (B, C)
        names = self._names()
        if names is None:
            columns = concept_columns(self._classifier, concepts, outputs.shape[1])
        else:
            columns = [names.index(concept) for concept in concepts]
        kind = self._classifier.outputs
        scores = np.stack([target_score(outputs, kind, column) for column in columns], axis=1).astype(np.float32)
        return [[row[[j]] for j in range(len(concepts))] for row in scores]

    def _names(self) -> list[str] | None:
        names = getattr(self._classifier, "concept_names", None) or getattr(self._classifier, "class_names", None)
        return None if names is None else list(names)


class SegmenterAnnotator:
    """A segmenter: how surely `min_share` of the picture belongs to the concept (`genlens.segmenters.Presence`).

    Args:
        segmenter: marks what a concept's name says.
        presence: its `min_share` is used; its threshold is the annotator's.
    """

    counts = False

    def __init__(self, segmenter: Segmenter, presence: Presence | None = None) -> None:
        self._segmenter, self._presence = segmenter, presence or Presence()
        self.threshold = self._presence.threshold

    @property
    def fingerprint(self) -> str:
        """Hash of the segmenter's and the rule."""
        return hash_parts("annotator", self._segmenter.fingerprint, hash_spec(self._presence.spec()))

    def check(self, concepts: Sequence[str]) -> None:
        """Ask for every concept once, on an empty picture."""
        blank = np.zeros((1, 64, 64, 3), dtype=np.uint8)
        for concept in concepts:
            self._segmenter.segment(blank, concept)

    def find(self, images: Sequence[NDArray[np.uint8]], concepts: Sequence[str]) -> Found:
        """See `Annotator.find`; images of one size are taken together."""
        alike = len({image.shape for image in images}) == 1
        groups = [np.stack(list(images))] if alike else [image[None] for image in images]
        columns = [
            np.concatenate([self._presence.scores(self._segmenter.segment(group, concept)) for group in groups])
            for concept in concepts
        ]
        scores = np.stack(columns, axis=1).astype(np.float32)  # (B, D)
        return [[row[[j]] for j in range(len(concepts))] for row in scores]
