"""What is known of labels that a model gave: by whom, at which thresholds, and how often they are wrong.

It lies beside the metadata file that holds the labels, as ``<name>.annotation.json``; tables read it with the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genlens.errors import UserError, check_integer
from genlens.proportions import wilson_interval

SUFFIX = ".annotation.json"


@dataclass(frozen=True)
class LabelErrors:
    """A concept's labels held against the truth.

    Attributes:
        n_with: images that show the concept, such as people say.
        seen: those of them that the annotator labelled so.
        n_without: images that don't.
        imagined: those of them that the annotator labelled as if they did.
    """

    n_with: int
    seen: int
    n_without: int
    imagined: int

    def __post_init__(self) -> None:
        """Check the counts."""
        for total, part in (("n_with", "seen"), ("n_without", "imagined")):
            n = check_integer(total, getattr(self, total), 0)
            if check_integer(part, getattr(self, part), 0) > n:
                raise UserError(f"`{part}` must be at most `{total}`; got {getattr(self, part)} of {n}.")

    @property
    def sensitivity(self) -> float:
        """Share of images with the concept that are labelled so; NaN without such images."""
        return self.seen / self.n_with if self.n_with else math.nan

    @property
    def specificity(self) -> float:
        """Share of images without the concept that are labelled so; NaN without such images."""
        return 1 - self.imagined / self.n_without if self.n_without else math.nan

    @property
    def slope(self) -> float:
        """Youden's J = sensitivity + specificity - 1: the slope of the label in the truth."""
        return self.sensitivity + self.specificity - 1

    def sensitivity_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's interval."""
        return wilson_interval(self.seen, self.n_with, confidence)

    def specificity_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's interval."""
        return wilson_interval(self.n_without - self.imagined, self.n_without, confidence)

    def slope_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Interval of the slope from those of both shares (Newcombe 1998, Stat Med 17:873, method 10)."""
        ends = (self.sensitivity_interval(confidence), self.specificity_interval(confidence))
        values = (self.sensitivity, self.specificity)
        down = math.hypot(*(value - end[0] for value, end in zip(values, ends, strict=True)))
        up = math.hypot(*(end[1] - value for value, end in zip(values, ends, strict=True)))
        return self.slope - down, self.slope + up


@dataclass(frozen=True)
class Annotation:
    """Labels of D concepts that an annotator gave.

    Attributes:
        annotator: how the annotator was named.
        thresholds: concept -> score above which it is labelled present.
        errors: concept -> its errors; concepts without hand-made labels aren't in it.
        calibrated: concepts whose threshold was fitted to hand-made labels (its errors are then cross-validated).
        n_labelled: images with hand-made labels.
    """

    annotator: str
    thresholds: Mapping[str, float]
    errors: Mapping[str, LabelErrors]
    calibrated: tuple[str, ...] = ()
    n_labelled: int = 0

    def to_json(self) -> dict[str, Any]:
        """JSON values; shares and intervals are in it for the reader, the counts decide."""
        shown = {
            name: {
                "sensitivity": found.sensitivity if found.n_with else None,
                "sensitivity_interval": list(found.sensitivity_interval()),
                "specificity": found.specificity if found.n_without else None,
                "specificity_interval": list(found.specificity_interval()),
                **asdict(found),
            }
            for name, found in self.errors.items()
        }
        return {
            "annotator": self.annotator,
            "n_labelled": self.n_labelled,
            "thresholds": dict(self.thresholds),
            "calibrated": list(self.calibrated),
            "errors": shown,
        }


def annotation_path(metadata: Path) -> Path:
    """Where the annotation of a metadata file lies: ``labels.csv`` -> ``labels.annotation.json``."""
    return metadata.with_name(metadata.stem + SUFFIX)


def read_annotation(metadata: Path) -> Annotation | None:
    """What is known of the labels in a metadata file; None where nothing lies beside it.

    Raises:
        UserError: the file can't be read.
    """
    path = annotation_path(metadata)
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        errors = {
            str(name): LabelErrors(*(entry[key] for key in ("n_with", "seen", "n_without", "imagined")))
            for name, entry in content["errors"].items()
        }
        thresholds = {str(name): float(value) for name, value in content["thresholds"].items()}
        return Annotation(
            str(content["annotator"]), thresholds, errors, tuple(map(str, content["calibrated"])),
            check_integer("n_labelled", content["n_labelled"], 0),
        )  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{path} is damaged ({reason}). Annotate again, or delete it.") from error
