"""A folder of Parquet files that only ever gains files: the common ground of the image store and the score cache.

Each append is one file, written aside and renamed, named after the keys in it. A file that can't be read (cut short,
or a page whose checksum is wrong) is moved to `damaged/` with a warning and counts as absent, so its rows are made
again.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from genlens.files import write_atomic

logger = logging.getLogger("genlens")

KEY = "key"


class Shards:
    """Keyed rows in Parquet files below one folder.

    Args:
        folder: made at the first append.
        schema: columns of every file; one is called "key". Its metadata goes into every file.
        durable: whether an append waits until the bytes are on the disk.
    """

    def __init__(self, folder: Path, schema: pa.Schema, *, durable: bool = True) -> None:
        self.folder = folder
        self._schema = schema
        self._durable = durable
        self._where: dict[str, str] = {}
        self.damaged: list[str] = []
        """Names of the files set aside since this object was made."""

    def scan(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Read some columns of every file, the key among them, and learn where each key is."""
        self._where = {}
        for path in sorted(self.folder.glob("*.parquet")):
            table = self._read(path, [name for name in self._schema.names if name in columns])
            if table is not None:
                self._where.update(dict.fromkeys(table[KEY].to_pylist(), path.name))
                yield table

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def __len__(self) -> int:
        return len(self._where)

    def keys(self) -> set[str]:
        """Keys of all readable rows."""
        return set(self._where)

    def append(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write one file with these rows.

        Raises:
            WriteError: the disk is full, or the folder can't be written; nothing is left behind.
        """
        keys, table = list(columns[KEY]), pa.table(dict(columns), schema=self._schema)
        name = blake2b("".join(keys).encode(), digest_size=10).hexdigest() + ".parquet"
        buffer = io.BytesIO()
        pq.write_table(
            table,
            buffer,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )
        write_atomic(self.folder / name, buffer.getvalue(), durable=self._durable)
        self._where.update(dict.fromkeys(keys, name))

    def tables(self, keys: Iterable[str]) -> Iterator[pa.Table]:
        """Rows with these keys, all columns, file by file; rows of a damaged file are skipped and forgotten."""
        wanted: dict[str, list[str]] = {}
        for key in keys:
            wanted.setdefault(self._where[key], []).append(key)
        for name, some in wanted.items():
            table = self._read(self.folder / name, self._schema.names)
            if table is None:
                self._where = {key: place for key, place in self._where.items() if place != name}
                continue
            rows = {key: row for row, key in enumerate(table[KEY].to_pylist())}
            yield table.take([rows[key] for key in some])

    def _read(self, path: Path, columns: list[str]) -> pa.Table | None:
        expected = pa.schema([self._schema.field(name) for name in columns])
        try:
            table = pq.ParquetFile(path, page_checksum_verification=True).read(columns)
            if table.schema.equals(expected):
                return table
            reason: object = f"columns {table.schema.names} instead of {columns}"
        except PermissionError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = error
        self.set_aside(path.name, reason)
        return None

    def set_aside(self, name: str, reason: object) -> None:
        """Move a file that can't be used out of the way; its rows count as absent."""
        place = self.folder / "damaged"
        place.mkdir(exist_ok=True)
        path = self.folder / name
        if path.exists():
            os.replace(path, place / f"{name}.bad")
        self.damaged.append(name)
        first_line = next(iter(str(reason).splitlines()), type(reason).__name__)
        logger.warning("%s is damaged (%s): set aside in %s, its rows are made again.", path, first_line, place)
