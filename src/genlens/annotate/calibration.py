"""Thresholds from hand-made labels, and how often the annotator errs, measured on images the threshold hasn't seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genlens.annotation import LabelErrors
from genlens.checks.detection import detection_threshold
from genlens.errors import check_integer

LEAST = 5
"""Images with and without a concept, each, from which a threshold is fitted."""


@dataclass(frozen=True)
class Calibrated:
    """A threshold and the errors of labels made with it.

    Attributes:
        threshold: score above which the concept counts as present.
        errors: counts over the hand-labelled images.
        fitted: whether the threshold was fitted (the errors are then cross-validated).
    """

    threshold: float
    errors: LabelErrors
    fitted: bool


def calibrate(
    scores: NDArray[np.floating],
    truth: NDArray[np.floating],
    default: float,
    *,
    fixed: bool = False,
    folds: int = 5,
    seed: int = 0,
) -> Calibrated:
    """Fit the threshold of one concept and measure its errors.

    The threshold is the one of largest balanced accuracy. Errors are those of K-fold cross-validation, folds balanced
    over both answers: each image is judged by a threshold that was fitted without it.

    Args:
        scores: (N,) the annotator's, of hand-labelled images.
        truth: (N,) 1, 0, or NaN where nobody said.
        default: threshold where none is fitted: with fewer than `LEAST` images of either answer, or `fixed`.
        fixed: take `default`, as the user chose it.
        folds: K >= 2; fewer where there are fewer images of an answer.
        seed: of the folds.
    """
    check_integer("folds", folds, 2)
    known = ~np.isnan(truth)
    present, values = truth[known] > 0, np.asarray(scores, dtype=np.float64)[known]
    rarer = int(min(present.sum(), (~present).sum()))
    if fixed or rarer < LEAST:
        return Calibrated(default, errors_of(present, values > default), False)
    fold = _folds(present, min(folds, rarer), seed)
    said = np.zeros(len(present), dtype=bool)
    for number in range(int(fold.max()) + 1):
        rest = fold != number
        said[~rest] = values[~rest] > detection_threshold(present[rest], values[rest])
    return Calibrated(detection_threshold(present, values), errors_of(present, said), True)


def errors_of(present: NDArray[np.bool_], said: NDArray[np.bool_]) -> LabelErrors:
    """Counts of labels `said` (N,) against the truth (N,)."""
    return LabelErrors(
        int(present.sum()), int((present & said).sum()), int((~present).sum()), int((~present & said).sum())
    )


def _folds(present: NDArray[np.bool_], n_folds: int, seed: int) -> NDArray[np.int64]:
    """Fold of each image, (N,): both answers spread evenly."""
    fold = np.zeros(len(present), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for answer in (True, False):
        rows = rng.permutation(np.flatnonzero(present == answer))
        fold[rows] = np.arange(len(rows)) % n_folds
    return fold
