"""IDX files, the format of MNIST and its kin: reading them, and finding Fashion-MNIST on this machine.

An IDX file is a magic number (two zero bytes, a type, the number of axes), the size of each axis as a big-endian 32-bit
integer, then the values in C order. Only unsigned bytes are read here: all that the MNIST family uses.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from genlens.errors import UserError

Split = Literal["train", "val", "test"]
"""Photographs of the splits are disjoint: "train" and "val" are parts of the training file, "test" is the test file."""

VARIABLE = "GENLENS_FASHION_MNIST"
"""Environment variable with the folder of Fashion-MNIST's four IDX files."""
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts them."""
_LOCAL_FOLDERS = ("FashionMNIST/raw", "data/FashionMNIST/raw")
_VALIDATION = 10_000
_UNSIGNED_BYTES = 8
_MOST_AXES = 4
_MOST_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class Photos:
    """Grey photographs of one split, white on black.

    Attributes:
        images: uint8 (N, 28, 28).
        labels: int64 (N,), 0-9 in the order of `genlens.datasets.scenes.CONCEPTS`.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def of(self, concept: int) -> NDArray[np.int64]:
        """Positions of the photographs of one class."""
        return np.flatnonzero(self.labels == concept)


def read_idx(path: str | Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or compressed by gzip.

    Raises:
        UserError: it is missing, isn't an IDX file of bytes, or is shorter or longer than it says.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except FileNotFoundError as error:
        raise UserError(f"The IDX file {path} doesn't exist. Check the path.") from error
    except (EOFError, OSError, zlib.error) as error:
        raise UserError(f"The IDX file {path} can't be read: {error}. Copy or download it again.") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UNSIGNED_BYTES or not 1 <= data[3] <= _MOST_AXES:
        raise UserError(f"{path} is no IDX file of unsigned bytes (its first bytes are {data[:4].hex(' ')}).")
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise UserError(f"The IDX file {path} ends within its header. Copy or download it again.")
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    wanted = 1
    for side in shape:
        wanted *= side
    if wanted > _MOST_BYTES or len(data) - start != wanted:
        sides = " x ".join(str(side) for side in shape)
        raise UserError(f"The IDX file {path} says {sides} = {wanted:,} bytes but holds {len(data) - start:,}.")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def find_fashion_mnist(folder: str | Path | None = None) -> Path:
    """Folder with Fashion-MNIST's four IDX files, plain or .gz.

    Args:
        folder: where to look, itself or torchvision's layout below it. None: the environment variable
            GENLENS_FASHION_MNIST, then Debian's folder, then torchvision's layout here and in `data`.

    Raises:
        UserError: the files aren't there.
    """
    given = folder if folder is not None else os.environ.get(VARIABLE) or None
    if given is not None:
        found = _holder([Path(given), Path(given) / "raw", *(Path(given) / name for name in _LOCAL_FOLDERS)])
        if found is None:
            where = f"The folder {given}" if folder is not None else f"{VARIABLE} is {given}, which"
            wanted = _file(given, "train", "images").name
            raise UserError(f"{where} lacks Fashion-MNIST's IDX files, such as {wanted}. Name the folder with all 4.")
        return found
    found = _holder([SYSTEM_FOLDER, *(Path(name) for name in _LOCAL_FOLDERS)])
    if found is None:
        raise UserError(
            "Fashion-MNIST's photographs aren't on this machine. Install Debian's package dataset-fashion-mnist, or "
            "download the IDX files from github.com/zalandoresearch/fashion-mnist and name their folder with --photos "
            f"or {VARIABLE}."
        )
    return found


def load_photos(split: Split = "train", folder: str | Path | None = None) -> Photos:
    """Photographs of a split: 50,000 for training, 10,000 each for validation and test; read once a process.

    Args:
        split: which; no photograph is in two of them.
        folder: where the files are; see `find_fashion_mnist`.

    Raises:
        UserError: the split is unknown, or a file is missing or isn't what it should be.
    """
    if split not in get_args(Split):
        raise UserError(f"`split` must be one of {', '.join(get_args(Split))}; got {split!r}.")
    return _load(split, find_fashion_mnist(folder))


@lru_cache(maxsize=6)
def _load(split: Split, folder: Path) -> Photos:
    part = "t10k" if split == "test" else "train"
    images, labels = (read_idx(_file(folder, part, what)) for what in ("images", "labels"))
    if images.ndim != 3 or images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
        raise UserError(f"{folder} must hold images (N, 28, 28) and N labels; got {images.shape} and {labels.shape}.")
    if len(labels) and labels.max() > 9:
        raise UserError(f"{folder} must hold labels 0-9; got {labels.max()}.")
    if split != "test":
        held_out = min(_VALIDATION, len(images) // 6)
        where = slice(len(images) - held_out, None) if split == "val" else slice(len(images) - held_out)
        images, labels = images[where], labels[where]
    missing = sorted(set(range(10)) - set(labels.tolist()))
    if missing:
        raise UserError(f"The {split} photographs in {folder} lack the class {missing[0]}. Use the whole data set.")
    return Photos(images, labels.astype(np.int64))


def _holder(folders: list[Path]) -> Path | None:
    """The first folder with all four files."""
    wanted = [(part, what) for part in ("train", "t10k") for what in ("images", "labels")]
    return next((f for f in folders if all(_file(f, part, what).is_file() for part, what in wanted)), None)


def _file(folder: str | Path, part: str, what: str) -> Path:
    """Path of one of the four files, compressed unless only the plain one is there."""
    plain = Path(folder) / f"{part}-{what}-idx{3 if what == 'images' else 1}-ubyte"
    return plain if plain.is_file() else plain.with_name(plain.name + ".gz")
