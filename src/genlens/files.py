"""Files that are whole or absent, whenever the process is killed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from genlens.errors import UserError

_MARK = ".tmp-"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class WriteError(UserError):
    """A file or folder can't be written: the disk is full, or it isn't allowed."""

    def __init__(self, folder: Path | str, error: OSError) -> None:
        if error.errno in _FULL:
            super().__init__(f"The disk is full: can't write to {folder}. Free some space.")
        else:
            super().__init__(f"Can't write to {folder}: {error.strerror or error}.")


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, unless it is there.

    Raises:
        WriteError: it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(folder, error) from error


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write beside `path`, then rename: a reader sees the old file or the whole new one. Makes the folder.

    Args:
        path: the file.
        data: its content.
        durable: wait until the bytes are on the disk, so that a power cut can't leave an empty file either.

    Raises:
        WriteError: the disk is full, or the folder can't be written. Nothing is left behind.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}{_MARK}{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise WriteError(path.parent, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_strays(folder: Path) -> None:
    """Remove what a kill left half-written below `folder`. Only its sole writer may call this."""
    for stray in folder.rglob(f".*{_MARK}*"):
        stray.unlink(missing_ok=True)
