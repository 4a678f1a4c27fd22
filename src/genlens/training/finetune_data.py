"""Captioned images, and which of them a step sees: a function of the seed and the step alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlens.captions import reference_captions
from genlens.classifiers.preprocess import ImagePreprocess
from genlens.columns import is_missing
from genlens.concepts import ConceptTable
from genlens.datasets.imagefolder import find_metadata, read_metadata
from genlens.datasets.images import check_image, load_image
from genlens.datasets.tables import image_paths, unknown_column
from genlens.errors import UserError


@dataclass(frozen=True)
class CaptionedImages:
    """N images and what is to be said of them.

    Attributes:
        names: unique names of the rows.
        paths: files of the images.
        captions: texts; "" is legal.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    captions: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: Sequence[int]) -> CaptionedImages:
        """Some rows."""
        return CaptionedImages(
            tuple(self.names[row] for row in rows),
            tuple(self.paths[row] for row in rows),
            tuple(self.captions[row] for row in rows),
        )

    def pixels(self, rows: Sequence[int], size: tuple[int, int]) -> Tensor:
        """Float32 (B, 3, H, W) in [-1, 1]: the shorter side scaled, the centre cut out."""
        prepare = ImagePreprocess(size, (0.5,) * 3, (0.5,) * 3, resize="center", interpolation="bicubic")
        array = prepare([load_image(self.paths[row]) for row in rows])
        return torch.from_numpy(np.ascontiguousarray(array))


def from_table(table: ConceptTable) -> CaptionedImages:
    """The images of a table with the captions of its template.

    Raises:
        UserError: the table has no images.
    """
    if table.image_paths is None:
        raise UserError(f"{table.source} has no images to train on. Give its rows a `file_name`.")
    return CaptionedImages(table.row_ids, table.image_paths, reference_captions(table))


def from_column(folder: str | Path, column: str) -> CaptionedImages:
    """The images of an imagefolder with the captions in a column; a missing caption is empty.

    Raises:
        UserError: no such column, or an image is missing or no image.
    """
    path = find_metadata(folder)
    frame = read_metadata(path)
    columns = [str(name).strip() for name in frame.columns]
    for option, name in (("file_name", "file_name"), ("caption_column", column)):
        if name not in columns:
            raise unknown_column(option, name, path.name, columns)
    if not len(frame):
        raise UserError(f"{path} has no rows. Add some.")
    names = tuple(str(value).strip() for value in frame.iloc[:, columns.index("file_name")])
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise UserError(f"{path} has {repeated[0]!r} more than once. Each row needs a name of its own.")
    found = image_paths(path.parent, names)
    for file in found:
        check_image(file)
    captions = tuple("" if is_missing(value) else str(value) for value in frame.iloc[:, columns.index(column)])
    return CaptionedImages(names, found, captions)


def split(n_rows: int, held_out: int, seed: int) -> tuple[list[int], list[int]]:
    """Rows to train on and rows held out, both ascending; drawn by the seed.

    Raises:
        UserError: nothing would be left to train on.
    """
    if held_out >= n_rows:
        raise UserError(f"`held_out` must be less than the number of rows, {n_rows}; got {held_out}.")
    drawn = np.random.default_rng((seed, 0xC0FFEE)).permutation(n_rows)
    return sorted(drawn[held_out:].tolist()), sorted(drawn[:held_out].tolist())


def rows_of(step: int, batch: int, n_rows: int, seed: int) -> list[int]:
    """Rows of step 0, 1, …: one epoch after another, each a permutation of its own."""
    places = range(step * batch, (step + 1) * batch)
    return [int(_order(n_rows, seed, place // n_rows)[place % n_rows]) for place in places]


@lru_cache(maxsize=4)
def _order(n_rows: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(n_rows)
