"""Evidence on a feature, and pictures by key, in files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.errors import RunFolderError
from genlens.files import write_atomic
from genlens.findings.spurious_types import Evidence


class PictureFiles(MutableMapping[str, NDArray[np.uint8]]):
    """Pictures by key, one compressed file each; a damaged one is as if it weren't there.

    Args:
        folder: made when the first are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, key: str) -> NDArray[np.uint8]:
        try:
            with np.load(self._path(key), allow_pickle=False) as file:
                found: NDArray[np.uint8] = file["images"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise KeyError(key) from error
        return found

    def __setitem__(self, key: str, images: NDArray[np.uint8]) -> None:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=images)
        write_atomic(self._path(key), buffer.getvalue())

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._path(key).unlink()

    def __iter__(self) -> Iterator[str]:
        return (path.stem for path in sorted(self.folder.glob("*.npz")))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npz"


_ARRAYS = ("images", "values", "parts", "reach", "restarts", "class_values", "plain_values", "look", "area")


def as_kept(masks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Masks rounded as the file has them, so that a run that goes on sees what it would have seen."""
    levels = np.round(masks * 255).astype(np.uint8)
    result: NDArray[np.float32] = (levels / 255).astype(np.float32)
    return result


def write_evidence(path: Path, found: Evidence) -> None:
    """Write a compressed npz file; it appears whole or not at all. Masks have 256 levels."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: np.asarray(getattr(found, name)) for name in _ARRAYS}
    np.savez_compressed(buffer, masks=np.round(found.masks * 255).astype(np.uint8), **arrays)
    write_atomic(path, buffer.getvalue())


def read_evidence(path: Path) -> Evidence:
    """Read what `write_evidence` wrote.

    Raises:
        RunFolderError: it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            kept = {name: file[name] for name in _ARRAYS}
            masks = (file["masks"] / 255).astype(np.float32)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        problem = f"{path} is damaged ({type(error).__name__}). Delete it; the run makes it again."
        raise RunFolderError(problem) from error
    look, area = float(kept.pop("look")), float(kept.pop("area"))
    return Evidence(masks=masks, look=look, area=area, **kept)
