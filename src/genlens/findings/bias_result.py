"""The result of a search for bias, as JSON and as a table of its pictures."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.findings.bias import Attribute, AttributeFinding, PictureSet


@dataclass(frozen=True, eq=False)
class BiasResult:
    """What was found, and the pictures it rests on.

    Attributes:
        target: index of the class.
        name: how the class is called.
        findings: one an attribute.
        pictures: kind -> pictures.
        labels: attribute -> kind -> position of each picture's value, -1 where unclear.
        attributes: as they were given.
        settings: what decided the result.
    """

    target: int
    name: str
    findings: tuple[AttributeFinding, ...]
    pictures: Mapping[str, PictureSet]
    labels: Mapping[str, Mapping[str, NDArray[np.int64]]]
    attributes: tuple[Attribute, ...]
    settings: Mapping[str, Any]

    def to_json(self) -> str:
        """Findings and settings; numbers that are undefined are null."""
        content = {
            "target": self.target,
            "name": self.name,
            "findings": [asdict(one) for one in self.findings],
            "pictures": {kind: len(part.images) for kind, part in self.pictures.items()},
            "settings": dict(self.settings),
        }
        return json.dumps(_defined(content), indent=2) + "\n"

    def to_csv(self) -> str:
        """A line a picture: kind, restart, target score, value of each attribute."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["pictures", "restart", "score", *(attribute.name for attribute in self.attributes)])
        for kind, part in self.pictures.items():
            for i, score in enumerate(part.scores):
                restart = "" if part.restarts is None else part.restarts[i]
                values = [self._value(attribute, kind, i) for attribute in self.attributes]
                writer.writerow([kind, restart, f"{score:.6g}", *values])
        return stream.getvalue()

    def _value(self, attribute: Attribute, kind: str, row: int) -> str:
        code = int(self.labels[attribute.name][kind][row])
        return "unclear" if code < 0 else attribute.values[code]


def _defined(value: Any) -> Any:
    """The same content with numbers that JSON can't hold as null."""
    if isinstance(value, Mapping):
        return {key: _defined(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_defined(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
