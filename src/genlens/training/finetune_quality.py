"""How good a generator is meanwhile: the quality card on held-out captions, and a contact sheet."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genlens.classifiers.protocol import Classifier, concept_columns, target_score
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.errors import UserError
from genlens.seeds import row_seed
from genlens.training.finetune_data import CaptionedImages
from genlens.training.finetune_gain import Gain, gain

Render = Callable[[Sequence[str], Sequence[int]], NDArray[np.uint8]]
"""(captions, seeds) -> uint8 (B, H, W, 3)."""

SHEET_COLUMNS = 8
"""Held-out rows on a contact sheet."""
_MOST_CELLS = 256
"""Longest side of a picture on the sheet, in pixels."""


@dataclass(frozen=True)
class QualityRow:
    """Concept AUROC of one concept after some steps; "mean" is that of all concepts. NaN: one class only."""

    step: int
    concept: str
    real: float
    generated: float


class QualityProbe:
    """Concept AUROC on pictures generated from held-out captions, against that on the real images of the same rows.

    Args:
        table: with images; its presence is the truth.
        held_out: rows of the table.
        images: the same rows with the captions that are rendered.
        classifier: one output a concept, independent of the generator.
        seed: of the noise; the same for every card.

    Raises:
        UserError: the table has no images, or no concept varies among the held-out rows.
    """

    def __init__(
        self, table: ConceptTable, held_out: Sequence[int], images: CaptionedImages, classifier: Classifier, seed: int
    ) -> None:
        self.names, self.images, self._classifier, self._seed = table.names, images, classifier, seed
        self._present = table.presence()[list(held_out)]  # (n, D)
        if not any(0 < column.sum() < len(column) for column in self._present.T):
            raise UserError(
                f"No concept is present in some and absent in others of the {len(held_out)} held-out rows, so the "
                "quality can't be measured. Hold out more rows."
            )

    @cached_property
    def _real(self) -> list[float]:
        return self._auroc(self._scores([load_image(path) for path in self.images.paths]))

    def measure(self, render: Render) -> NDArray[np.float64]:
        """Render the held-out captions: scores of the concepts, (n, D)."""
        seeds = [row_seed(self._seed, name) for name in self.images.names]
        return self._scores(list(render(self.images.captions, seeds)))

    def card(self, step: int, scores: NDArray[np.float64]) -> list[QualityRow]:
        """What `measure` gave as a card: one row a concept, and their mean."""
        generated = self._auroc(scores)
        rows = [QualityRow(step, *values) for values in zip(self.names, self._real, generated, strict=True)]
        means = [float(np.nanmean(values)) for values in (self._real, generated)]
        return [*rows, QualityRow(step, "mean", *means)]

    def gain(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> Gain:
        """How much better the second scores are than the first."""
        return gain(self._present, before, after, self._seed)

    def _scores(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        outputs = self._classifier.predict(images)
        columns = concept_columns(self._classifier, self.names, outputs.shape[1])
        found = [target_score(outputs[:, [column]], self._classifier.outputs) for column in columns]
        return np.stack(found, axis=1).astype(np.float64)

    def _auroc(self, scores: NDArray[np.float64]) -> list[float]:
        from sklearn.metrics import roc_auc_score

        return [
            float(roc_auc_score(present, column)) if 0 < present.sum() < len(present) else math.nan
            for present, column in zip(self._present.T, scores.T, strict=True)
        ]


def contact_sheet(images: CaptionedImages, render: Render, seed: int) -> bytes:
    """PNG of the first `SHEET_COLUMNS` images, real above and generated from their captions below."""
    shown = images.take(range(min(SHEET_COLUMNS, len(images))))
    generated = render(shown.captions, [row_seed(seed, name) for name in shown.names])
    height, width = (min(side, _MOST_CELLS) for side in generated.shape[1:3])
    sheet = Image.new("RGB", (width * len(shown), 2 * height), "white")
    for column, (path, picture) in enumerate(zip(shown.paths, generated, strict=True)):
        for row, array in enumerate((load_image(path), picture)):
            sheet.paste(Image.fromarray(array).resize((width, height)), (column * width, row * height))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def mean_of(card: Sequence[QualityRow]) -> QualityRow:
    """The row of a card that holds the mean over concepts."""
    return next(row for row in card if row.concept == "mean")
