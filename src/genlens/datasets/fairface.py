"""FairFace's label files: age group, gender and race of each face (Kärkkäinen and Joo, arXiv 1908.04913).

`fairface_label_train.csv` and `fairface_label_val.csv` have the columns file, age, gender, race and service_test. The
data set is free (CC BY 4.0) but doesn't come with genlens. An attribute classifier trained on it, or any other, labels
generated pictures for `genlens bias`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.datasets.csv_rows import csv_rows
from genlens.errors import UserError

ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "age": ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"),
    "gender": ("Female", "Male"),
    "race": ("Black", "East Asian", "Indian", "Latino_Hispanic", "Middle Eastern", "Southeast Asian", "White"),
}
"""Attribute -> its values, in the order of the codes."""
SPLITS = ("train", "val")
_FLAG = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, eq=False)
class FairFace:
    """Labels of N faces.

    Attributes:
        paths: (N,) files as the label file names them, below its folder.
        codes: attribute -> int array (N,), positions in `ATTRIBUTES`.
        service_test: (N,) the faces on which the paper tested commercial services.
    """

    paths: tuple[Path, ...]
    codes: Mapping[str, NDArray[np.int64]]
    service_test: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.paths)

    def shares(self, attribute: str) -> dict[str, float]:
        """Value of an attribute -> share of the faces.

        Raises:
            UserError: no such attribute.
        """
        if attribute not in ATTRIBUTES:
            raise UserError(f"FairFace has {', '.join(ATTRIBUTES)}; got {attribute!r}.")
        counts = np.bincount(self.codes[attribute], minlength=len(ATTRIBUTES[attribute]))
        return {value: float(n / len(self)) for value, n in zip(ATTRIBUTES[attribute], counts, strict=True)}


def read_fairface(path: str | Path, split: str = "val", *, check_files: bool = False) -> FairFace:
    """Read a label file.

    Args:
        path: a label file, or the folder with `fairface_label_train.csv` and `fairface_label_val.csv`.
        split: "train" or "val", for a folder.
        check_files: see that every face's file is there, below the label file's folder.

    Raises:
        UserError: no file, a missing column, a value FairFace doesn't have, a path that leaves the folder, or a missing
            image.
    """
    if split not in SPLITS:
        raise UserError(f"`split` must be one of {', '.join(SPLITS)}; got {split!r}.")
    file = Path(path) / f"fairface_label_{split}.csv" if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise UserError(f"There is no file {file}. Pass a label file of FairFace or the folder with both.")
    columns, hint = ("file", *ATTRIBUTES, "service_test"), "Is it a label file of FairFace?"
    rows = [_row(row, where) for row, where in csv_rows(file, columns, hint, encoding="utf-8-sig")]
    if not rows:
        raise UserError(f"{file} has no faces.")
    paths = tuple(file.parent / name for name, _, _ in rows)
    absent = next((one for one in paths if check_files and not one.is_file()), None)
    if absent is not None:
        raise UserError(f"{file} names {absent}, which isn't there. Unpack FairFace's images beside the label file.")
    codes = np.array([code for _, code, _ in rows], dtype=np.int64)  # (N, 3)
    return FairFace(paths, dict(zip(ATTRIBUTES, codes.T, strict=True)), np.array([flag for *_, flag in rows]))


def _row(row: Mapping[str, str | None], where: str) -> tuple[str, list[int], bool]:
    """File, codes of the attributes and the service flag of one line."""
    name = (row["file"] or "").strip()
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise UserError(f"{where}: file must be a path below the label file's folder; got {name!r}.")
    codes = []
    for attribute, values in ATTRIBUTES.items():
        value = (row[attribute] or "").strip()
        if value not in values:
            raise UserError(f"{where}: {attribute} must be one of {', '.join(values)}; got {value!r}.")
        codes.append(values.index(value))
    flag = (row["service_test"] or "").strip()
    if flag.lower() not in _FLAG:
        raise UserError(f"{where}: service_test must be True or False; got {flag!r}.")
    return name, codes, _FLAG[flag.lower()]
