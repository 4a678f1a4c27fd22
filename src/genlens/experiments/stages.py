"""Stages of an experiment: each computed once, its arrays kept, so that a stopped experiment goes on."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genlens._version import __version__
from genlens.files import write_atomic

Arrays = dict[str, NDArray[Any]]


class Stages:
    """Arrays of the stages that are done, one file a stage.

    Args:
        folder: made at the first stage.
        log: gets a line when a stage ends.
    """

    def __init__(self, folder: Path, log: Callable[[str], None]) -> None:
        self.folder, self._log = folder, log
        self.seconds: dict[str, float] = {}

    def run(self, name: str, settings: Mapping[str, Any], compute: Callable[[], Mapping[str, ArrayLike]]) -> Arrays:
        """Arrays of a stage: read where the same settings were used before, else computed and kept.

        Args:
            name: of the stage, and of its file.
            settings: everything its arrays depend on, JSON values.
            compute: returns arrays (no objects).
        """
        path = self.folder / f"{name}.npz"
        key = blake2b(json.dumps([__version__, dict(settings)], sort_keys=True).encode(), digest_size=16).hexdigest()
        found = _read(path)
        if found is None or str(found["_key"]) != key:
            start = time.perf_counter()
            arrays = {field: np.asarray(value) for field, value in compute().items()}
            found = {**arrays, "_key": np.array(key), "_seconds": np.array(time.perf_counter() - start)}
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **found)  # type: ignore[arg-type]  # numpy's stub takes `allow_pickle` for one
            write_atomic(path, buffer.getvalue())
            self._log(f"{name}: {float(found['_seconds']):.1f} s")
        self.seconds[name] = float(found["_seconds"])
        return {field: value for field, value in found.items() if not field.startswith("_")}


def _read(path: Path) -> Arrays | None:
    """Arrays of a stage's file; None where there is none, or one that can't be read and so is made again."""
    try:
        with np.load(io.BytesIO(path.read_bytes())) as file:
            found = {field: file[field] for field in file.files}
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError, KeyError):
        return None
    return found if {"_key", "_seconds"} <= set(found) else None
