"""Finished parts of a long benchmark, in a file: the same command goes on where it stopped."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


class Kept:
    """Results of finished parts, in a file."""

    def __init__(self, path: Path | None, settings: list[int]) -> None:
        """Read what is there, if it was made with the same settings."""
        self._path = path
        kept = json.loads(path.read_text()) if path is not None and path.is_file() else {}
        self._kept = kept if kept.get("settings") == settings else {"settings": settings, "parts": {}, "seconds": 0.0}

    @property
    def seconds(self) -> float:
        """Processor time of all parts."""
        return float(self._kept["seconds"])

    def get(self, key: str, compute: Any, *arguments: Any) -> Any:
        """A part's result, computed where it isn't there."""
        if key not in self._kept["parts"]:
            start = time.process_time()
            self._kept["parts"][key] = compute(*arguments)
            self._kept["seconds"] += time.process_time() - start
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.write_text(json.dumps(self._kept))
        return self._kept["parts"][key]
