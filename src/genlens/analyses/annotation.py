"""What wrong labels do to the ranking, where the labels came from a model and its errors are known."""

from __future__ import annotations

from typing import Any

from genlens.annotation import Annotation, LabelErrors
from genlens.audit import Audit
from genlens.importance.result import Analysis
from genlens.reports.text import few

ENOUGH = 0.9
"""Share of the importance that must be expected to be left for nothing to be said."""
TITLE = "Labels made by a model"
READING = (
    "sensitivity, specificity: shares of hand-labelled images with and without the concept that are labelled so, with "
    "Wilson intervals; left: sensitivity + specificity - 1, the share of the importance that is expected to be left "
    "where labels are wrong at random (exact for squared errors of an additive score, roughly so for AUROC; errors "
    "must not depend on the row's label given the concept). Score reliance is not affected."
)


def annotation(audit: Audit) -> Analysis | None:
    """How much of each importance noisy concept labels leave; None where the labels weren't made by a model."""
    known = audit.table.annotation
    if known is None:
        return None
    names = [name for name in audit.table.names if name in known.thresholds]
    if not names:
        return None
    measured = [name for name in names if _is_measured(known.errors.get(name))]
    weak = [name for name in measured if known.errors[name].slope_interval(audit.confidence)[0] < ENOUGH]
    unknown = [name for name in names if name not in measured]
    return Analysis(
        "annotation",
        TITLE,
        _message(known, names, measured, audit.confidence),
        _advice(weak, unknown),
        [_record(name, known, measured, audit.confidence) for name in names],
        chart="interval" if measured else "",
        reading=READING,
    )


def _is_measured(errors: LabelErrors | None) -> bool:
    return errors is not None and errors.n_with > 0 and errors.n_without > 0


def _message(known: Annotation, names: list[str], measured: list[str], confidence: float) -> str:
    text = f"The labels of {few(names)} were given by {known.annotator}."
    if not measured:
        return f"{text} How often they are wrong wasn't measured."
    least = min(measured, key=lambda name: known.errors[name].slope)
    errors = known.errors[least]
    low, high = errors.slope_interval(confidence)
    how = "cross-validated on" if least in known.calibrated else "measured on"
    return (
        f"{text} Their errors were {how} {known.n_labelled} images labelled by hand; they leave {errors.slope:.2f} "
        f"[{low:.2f}, {high:.2f}] of the importance of {least}, the least of all."
    )


def _advice(weak: list[str], unknown: list[str]) -> str:
    parts = []
    if weak:
        parts.append(
            f"The importance of {few(weak)} is expected to come out too small: read it as at least what it says, look "
            "at score reliance, or label more by hand."
        )
    if unknown:
        parts.append(
            f"Nothing says how often labels of {few(unknown)} are wrong: label some images by hand and annotate with "
            "--labels."
        )
    return " ".join(parts)


def _record(name: str, known: Annotation, measured: list[str], confidence: float) -> dict[str, Any]:
    values: dict[str, tuple[float | None, float | None, float | None]] = {
        "left": (None,) * 3, "sensitivity": (None,) * 3, "specificity": (None,) * 3,
    }  # fmt: skip
    if name in measured:
        errors = known.errors[name]
        values = {
            "left": (errors.slope, *errors.slope_interval(confidence)),
            "sensitivity": (errors.sensitivity, *errors.sensitivity_interval(confidence)),
            "specificity": (errors.specificity, *errors.specificity_interval(confidence)),
        }
    record: dict[str, Any] = {"concept": name}
    for key, (value, low, high) in values.items():
        record |= {key: value, f"{key}_low": low, f"{key}_high": high}
    return record | {"threshold": known.thresholds[name]}
