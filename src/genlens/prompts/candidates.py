"""Candidate concepts: what was found without a table, in a file that annotation and `genlens rank` can start from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from genlens.errors import UserError
from genlens.files import write_atomic

CANDIDATES_FILE = "candidates.json"
_KIND = "genlens candidate concepts"


@dataclass(frozen=True)
class Candidate:
    """Something that a classifier may rely on.

    Attributes:
        name: what the concept is called: the column of a table, and what a segmenter or a person is asked for.
        text: what a caption says where it is there.
        target: what it was found for, such as "class 0 (red circle)".
        found_by: the command: "explain" or "spurious".
        gain: by how much it raised the target's score, on seeds it wasn't chosen on.
        low: lower end of the gain's interval.
        high: its upper end.
    """

    name: str
    text: str
    target: str
    found_by: str
    gain: float
    low: float
    high: float


def write_candidates(path: Path, candidates: Sequence[Candidate]) -> None:
    """Write candidates, whole or not at all.

    Raises:
        WriteError: the disk is full, or the folder can't be written.
    """
    content = {"kind": _KIND, "concepts": [asdict(candidate) for candidate in candidates]}
    write_atomic(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_candidates(path: str | Path) -> list[Candidate]:
    """Read what `write_candidates` wrote.

    Raises:
        UserError: it isn't there or isn't such a file.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["kind"] != _KIND:
            raise ValueError(f"kind {content['kind']!r}")
        found = [Candidate(**entry) for entry in content["concepts"]]
        for one in found:
            if not all(isinstance(value, str) for value in (one.name, one.text, one.target, one.found_by)):
                raise TypeError("a name that isn't text")
            _ = [float(value) for value in (one.gain, one.low, one.high)]
        return found
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is no file of candidate concepts: {type(error).__name__}, {error}.") from error
