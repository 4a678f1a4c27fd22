"""What one classifier said about each image: computed once, kept beside the images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from genlens.errors import UserError
from genlens.shards import Shards

_SCHEMA = pa.schema([("key", pa.string()), ("scores", pa.list_(pa.float32()))])


class ScoreCache:
    """Score vectors of one classifier, float32, by image key, in Parquet files.

    Args:
        folder: made at the first append. Its files are read once, here.
    """

    def __init__(self, folder: str | Path) -> None:
        self._width: int | None = None
        self._shards = Shards(folder, _SCHEMA, durable=False, check=self._check)
        self._rows: dict[str, NDArray[np.float32]] = {}
        for table in self._shards.scan(["key", "scores"]):
            keys, values = table["key"].to_pylist(), table["scores"].combine_chunks()
            scores = values.flatten().to_numpy(zero_copy_only=False).reshape(len(keys), -1)
            self._rows.update(zip(keys, scores, strict=True))

    def _check(self, table: pa.Table) -> None:
        """Raise ValueError unless the scores are finite, and as many an image as in the files before."""
        values = table["scores"].combine_chunks()
        flat = values.flatten()
        widths = set(values.value_lengths().to_pylist()) or {self._width}
        if values.null_count or flat.null_count or not np.isfinite(flat.to_numpy(zero_copy_only=False)).all():
            raise ValueError("scores that are no numbers")
        if len(widths) > 1 or widths & {0, None} or not widths <= {self._width or max(widths)}:
            raise ValueError(f"{sorted(widths, key=str)} scores an image instead of {self._width}")
        self._width = widths.pop()

    @property
    def n_outputs(self) -> int | None:
        """Scores an image (C); None as long as the cache is empty."""
        return next((len(row) for row in self._rows.values()), None)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, keys: Sequence[str], scores: NDArray[np.float32]) -> None:
        """Keep the scores (B, C) of B images, whole or not at all.

        Raises:
            UserError: C differs from the scores already here.
            WriteError: the disk is full, or the folder can't be written; nothing is left behind.
        """
        columns = self.n_outputs
        if columns is not None and scores.shape[1] != columns:
            raise UserError(
                f"The classifier gave {scores.shape[1]} scores an image, and {columns} before "
                f"({self._shards.place}); its fingerprint must change when the model does."
            )
        scores = np.ascontiguousarray(scores, dtype=np.float32)
        self._shards.append({"key": list(keys), "scores": list(scores)})
        self._rows.update(zip(keys, scores, strict=True))

    def get(self, keys: Sequence[str]) -> NDArray[np.float32]:
        """Scores (len(keys), C) in the order of the keys. Raises KeyError if one has none."""
        rows = [self._rows[key] for key in keys]
        return np.stack(rows) if rows else np.zeros((0, self.n_outputs or 0), dtype=np.float32)
