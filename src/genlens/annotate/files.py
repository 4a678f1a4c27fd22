"""Images in, labels out: what a folder holds, hand-made labels, and a new file that never takes another's place."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genlens.annotation import Annotation, annotation_path
from genlens.columns import is_missing, parse_numbers
from genlens.datasets.imagefolder import METADATA_NAMES, find_metadata, read_metadata
from genlens.datasets.images import check_image
from genlens.datasets.tables import image_paths, unknown_column
from genlens.errors import UserError
from genlens.files import write_atomic

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")


@dataclass(frozen=True)
class Pictures:
    """The images of a folder and what is known of them.

    Attributes:
        root: folder of the images.
        paths: N files.
        frame: (N, columns) `file_name` first, then what a metadata file says.
    """

    root: Path
    paths: tuple[Path, ...]
    frame: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """File names, relative to the folder."""
        return [str(name) for name in self.frame["file_name"]]


def read_pictures(source: Path) -> Pictures:
    """The images of an imagefolder (with its metadata), or all images below a folder without metadata.

    Raises:
        UserError: there are none, one is missing or no image, or the metadata is damaged.
    """
    bare = source.is_dir() and not any((source / name).is_file() for name in METADATA_NAMES)
    if bare:
        files = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not files:
            raise UserError(f"{source} has no images ({', '.join(SUFFIXES)}). Check the path.")
        frame = pd.DataFrame({"file_name": [path.relative_to(source).as_posix() for path in files]}, dtype=object)
        root = source
    else:
        path = find_metadata(source)
        frame, root = read_metadata(path), path.parent
        frame.columns = [str(name).strip() for name in frame.columns]
        if "file_name" not in frame.columns:
            raise unknown_column("file_name", "file_name", path.name, list(frame.columns))
        frame["file_name"] = [str(name).strip() for name in frame["file_name"]]
    repeated = [name for name, times in Counter(frame["file_name"]).items() if times > 1]
    if repeated:
        raise UserError(f"{source} has {repeated[0]!r} more than once. Each image needs a row of its own.")
    paths = image_paths(root, list(frame["file_name"]))
    for file in paths:
        check_image(file)
    return Pictures(root, paths, frame)


def check_columns(pictures: Pictures, concepts: Sequence[str]) -> None:
    """Refuse concepts whose columns are there already.

    Raises:
        UserError: names one.
    """
    for concept in concepts:
        for column in (concept, f"{concept} score"):
            if column in pictures.frame.columns:
                raise UserError(
                    f"The metadata has a column {column!r} already, and it isn't overwritten. Rename it, or annotate "
                    "another concept."
                )


def output_path(pictures: Pictures, name: str, overwrite: bool) -> Path:
    """The file to write in the folder of the images.

    Raises:
        UserError: it isn't a plain .csv name, or is there already, unless genlens wrote it and `overwrite` is set.
    """
    if PurePath(name).name != name or not name.endswith(".csv"):
        raise UserError(f"`out` must be the name of a .csv file in the folder of the images; got {name!r}.")
    path = pictures.root / name
    if path.exists() and not (overwrite and annotation_path(path).is_file()):
        own = annotation_path(path).is_file()
        remedy = "Pass --overwrite, or choose another name." if own else "Choose another name; it isn't ours."
        raise UserError(f"{path} is there already. {remedy}")
    return path


def read_hand_labels(path: Path, pictures: Pictures, concepts: Sequence[str]) -> NDArray[np.float64]:
    """Hand-made labels (N, D) of the pictures: 1, 0, or NaN where nobody said. Counts above 0 are 1.

    Raises:
        UserError: a column is missing, a name isn't among the images or comes twice, or a value is no number >= 0.
    """
    frame = read_metadata(path)
    columns = [str(name).strip() for name in frame.columns]
    for option, name in [("labels", "file_name"), *(("concepts", concept) for concept in concepts)]:
        if name not in columns:
            raise unknown_column(option, name, path.name, columns)
    rows = {name: row for row, name in enumerate(pictures.names)}
    names = [str(name).strip() for name in frame.iloc[:, columns.index("file_name")]]
    for name, times in Counter(names).items():
        if name not in rows:
            raise UserError(
                f"{path} labels {name!r}, which is not among the images. Names are relative to their folder."
            )
        if times > 1:
            raise UserError(f"{path} labels {name!r} more than once. Keep one line.")
    found = np.full((len(rows), len(concepts)), np.nan)
    for j, concept in enumerate(concepts):
        raw = frame.iloc[:, columns.index(concept)].tolist()
        numbers = parse_numbers(raw)
        if numbers is None and not all(is_missing(value) for value in raw):
            raise UserError(f"Column {concept!r} of {path.name} must hold 1, 0 or nothing.")
        for name, number in zip(names, numbers or [], strict=bool(numbers)):
            if number is not None:
                if not number >= 0:
                    raise UserError(f"Column {concept!r} of {path.name} must hold 1, 0 or nothing; got {number}.")
                found[rows[name], j] = float(number > 0)
    return found


def write_labels(
    path: Path, pictures: Pictures, labels: dict[str, NDArray[Any]], scores: dict[str, NDArray[Any]],
    annotation: Annotation,
) -> None:  # fmt: skip
    """Write labels and scores beside what the metadata says, and the annotation beside them.

    Raises:
        WriteError: the folder can't be written.
    """
    frame = pictures.frame.copy()
    for name, values in labels.items():
        frame[name] = values
    for name, values in scores.items():
        frame[f"{name} score"] = [f"{value:.6g}" for value in values]
    content = json.dumps({"metadata": path.name, **annotation.to_json()}, indent=1) + "\n"
    write_atomic(annotation_path(path), content.encode())
    write_atomic(path, frame.to_csv(index=False).encode("utf-8"))
