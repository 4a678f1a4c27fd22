"""Where files that are whole or absent lie: a folder of this machine, or any place that fsspec knows (S3, GCS, ...).

A place is a path or a URL such as ``s3://bucket/run/images``. An object store puts an object whole or not at all; in a
folder a file is written aside and renamed. Nothing is ever changed in place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from genlens.errors import UserError
from genlens.files import WriteError, write_atomic

DAMAGED = "damaged"
"""Folder, below a place, of files that can't be used."""


class Storage(Protocol):
    """A flat set of files by name."""

    place: str

    def names(self, suffix: str) -> list[str]:
        """Names with this ending, sorted; none where the place isn't there."""

    def source(self, name: str) -> Any:
        """What Parquet reads: a path, or an open file."""

    def read(self, name: str) -> bytes:
        """The whole file."""

    def write(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Write one file, whole or not at all.

        Raises:
            UserError: the disk is full, or the place can't be written.
        """

    def set_aside(self, name: str) -> str:
        """Move a file to `DAMAGED`, if it is there; return where that is.

        Raises:
            UserError: it can't be moved.
        """


class LocalStorage:
    """Files in one folder, made at the first write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = str(folder)

    def names(self, suffix: str) -> list[str]:
        """Names with this ending, sorted."""
        return sorted(path.name for path in self.folder.glob(f"*{suffix}"))

    def source(self, name: str) -> Path:
        """The file's path."""
        return self.folder / name

    def read(self, name: str) -> bytes:
        """The whole file."""
        return (self.folder / name).read_bytes()

    def write(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Write aside, then rename."""
        write_atomic(self.folder / name, data, durable=durable)

    def set_aside(self, name: str) -> str:
        """Move a file out of the way."""
        place = self.folder / DAMAGED
        try:
            place.mkdir(exist_ok=True)
            if (self.folder / name).exists():
                os.replace(self.folder / name, place / f"{name}.bad")
        except OSError as error:
            raise WriteError(place, error) from error
        return str(place)


class RemoteStorage:
    """Files below one fsspec URL."""

    def __init__(self, url: str) -> None:
        import fsspec

        self.place = url.rstrip("/")
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.place)
        except (ImportError, ValueError) as error:
            raise UserError(f"{url} can't be opened: {' '.join(str(error).split())}") from error

    def names(self, suffix: str) -> list[str]:
        """Names with this ending, sorted."""
        self._files.invalidate_cache()
        with self._errors("read"):
            try:
                entries = self._files.ls(self._root, detail=False)
            except FileNotFoundError:
                return []
        return sorted(name for entry in entries if (name := str(entry).rsplit("/", 1)[-1]).endswith(suffix))

    def source(self, name: str) -> Any:
        """The open file; only the columns that are asked for are fetched."""
        return self._files.open(f"{self._root}/{name}", "rb", block_size=2**18)

    def read(self, name: str) -> bytes:
        """The whole object."""
        with self._errors("read"):
            data: bytes = self._files.cat_file(f"{self._root}/{name}")
        return data

    def write(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Put one object."""
        with self._errors():
            try:
                self._files.pipe_file(f"{self._root}/{name}", data)
            except FileNotFoundError:  # a place of real folders, and this one isn't there yet
                self._files.makedirs(self._root, exist_ok=True)
                self._files.pipe_file(f"{self._root}/{name}", data)

    def set_aside(self, name: str) -> str:
        """Move an object out of the way."""
        with self._errors():
            if self._files.exists(f"{self._root}/{name}"):
                self._files.makedirs(f"{self._root}/{DAMAGED}", exist_ok=True)
                self._files.mv(f"{self._root}/{name}", f"{self._root}/{DAMAGED}/{name}.bad")
        return f"{self.place}/{DAMAGED}"

    @contextmanager
    def _errors(self, what: str = "written") -> Iterator[None]:
        """Whatever the package behind the URL raises becomes one line."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:  # each package has its own: botocore, gcsfs, aiohttp ...
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{self.place} can't be {what}: {reason}.") from error


def is_remote(place: str | Path) -> bool:
    """Whether a place is a URL rather than a path."""
    return "://" in str(place)


def open_storage(place: str | Path) -> Storage:
    """The storage at a path or URL; nothing is made or read yet.

    Raises:
        UserError: fsspec knows no such URL, or lacks a package for it; the message names it.
    """
    return RemoteStorage(str(place)) if is_remote(place) else LocalStorage(Path(place))
