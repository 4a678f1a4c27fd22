"""A folder of Parquet files that only ever gains files: the common ground of the image store and the score cache.

Each append is one file, written aside and renamed, named after the keys in it. A file that can't be read (cut short,
or a page whose checksum is wrong) is moved to `damaged/` with a warning and counts as absent, so its rows are made
again.
"""

from __future__ import annotations

import errno
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from genlens.errors import RunFolderError, printable
from genlens.storage import LocalStorage, open_storage

logger = logging.getLogger("genlens")

KEY = "key"
_T = TypeVar("_T")
_DAMAGE = (None, errno.EIO, errno.EINVAL, errno.ENOENT)
"""Numbers of the errors that speak of the file: Arrow's own, a broken disk, a wrong offset, a file that is gone."""


class Shards:
    """Keyed rows in Parquet files below one folder.

    Args:
        place: a folder, made at the first append, or an fsspec URL.
        schema: columns of every file; one is called "key". Its metadata goes into every file.
        durable: whether an append waits until the bytes are on the disk.
        check: raises ValueError for rows that can't be right, though their file is whole.
    """

    def __init__(
        self,
        place: str | Path,
        schema: pa.Schema,
        *,
        durable: bool = True,
        check: Callable[[pa.Table], None] | None = None,
    ) -> None:
        self._storage = open_storage(place)
        self._schema = schema
        self._durable = durable
        self._check = check
        self._where: dict[str, str] = {}
        self.damaged: list[str] = []
        """Names of the files set aside since this object was made."""

    def scan(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Read some columns of every file, the key among them, and learn where each key is."""
        self._where = {}
        for name in self._storage.names(".parquet"):
            table = self._read(name, [column for column in self._schema.names if column in columns])
            if table is not None:
                self._where.update(dict.fromkeys(table[KEY].to_pylist(), name))
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
        name = _file_name(keys)
        buffer = io.BytesIO()
        pq.write_table(
            table,
            buffer,
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )
        self._storage.write(name, buffer.getvalue(), durable=self._durable)
        self._where.update(dict.fromkeys(keys, name))

    def adopt(self, keys: Sequence[str], name: str | None = None) -> None:
        """Learn of a file that another process wrote.

        Args:
            keys: of its rows; all of them in their order if it has no name here.
            name: of the file; None: that of the file which `append` makes of these rows.
        """
        self._where.update(dict.fromkeys(keys, _file_name(keys) if name is None else name))

    def forget(self, keys: Iterable[str]) -> None:
        """Count these rows as absent."""
        for key in keys:
            self._where.pop(key, None)

    def files(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """Name of each file that holds some of these rows -> their keys. Raises KeyError if one is absent."""
        found: dict[str, list[str]] = {}
        for key in keys:
            found.setdefault(self._where[key], []).append(key)
        return found

    @property
    def place(self) -> str:
        """Where the files are: a path or a URL."""
        return self._storage.place

    def tables(self, keys: Iterable[str], convert: Callable[[pa.Table], _T]) -> Iterator[_T]:
        """Rows with these keys, all columns, file by file, each through `convert`.

        Rows of a file that is damaged, or for which `convert` raises ValueError, are skipped and forgotten.
        """
        for name, some in self.files(keys).items():
            table = self._read(name, self._schema.names)
            if table is not None:
                rows = {key: row for row, key in enumerate(table[KEY].to_pylist())}
                try:
                    converted = convert(table.take([rows[key] for key in some]))
                except ValueError as error:
                    self.set_aside(name, error)
                else:
                    yield converted
                    continue
            self._where = {key: place for key, place in self._where.items() if place != name}

    def _read(self, name: str, columns: list[str]) -> pa.Table | None:
        try:
            try:
                return self._parse(self._storage.source(name), columns)
            except OSError:
                if isinstance(self._storage, LocalStorage):
                    raise
                return self._parse(io.BytesIO(self._storage.read(name)), columns)  # the network, or the file?
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno not in _DAMAGE:  # nothing is wrong with the file
                raise RunFolderError(f"{self._storage.place}/{name} can't be read: {error.strerror}.") from error
            self.set_aside(name, error)
        return None

    def _parse(self, source: Any, columns: list[str]) -> pa.Table:
        """Raise an error of Arrow's, an OSError or a ValueError unless the file is whole and holds what it should."""
        file, expected = pq.ParquetFile(source, page_checksum_verification=True), self._schema.names
        if not file.schema_arrow.equals(self._schema):  # before it is read: Arrow aborts on some damaged types
            raise ValueError(f"columns {file.schema_arrow.names} of other names or types instead of {expected}")
        table = file.read(columns)
        table.validate(full=True)
        if not table.num_rows or any(column.null_count for column in table.columns):
            raise ValueError("rows without values")
        if self._check is not None:
            self._check(table)
        return table

    def set_aside(self, name: str, reason: object) -> None:
        """Move a file that can't be used out of the way; its rows count as absent."""
        place = printable(self._storage.set_aside(name))
        self.damaged.append(name)
        first_line = printable(next(iter(str(reason).splitlines()), type(reason).__name__))
        shown = printable(f"{self._storage.place}/{name}")
        logger.warning("%s is damaged (%s): set aside in %s, its rows are made again.", shown, first_line, place)


def _file_name(keys: Sequence[str]) -> str:
    """Name of the file with these rows: the same rows make the same file, whoever writes it."""
    return blake2b("".join(keys).encode(), digest_size=10).hexdigest() + ".parquet"
