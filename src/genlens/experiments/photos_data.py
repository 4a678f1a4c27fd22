"""Photographs with concepts and scenes, as `genlens data scenes` and `genlens data coco` write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genlens.concepts import ConceptTable
from genlens.datasets.coco import read_instances
from genlens.datasets.imagefolder import find_metadata, read_metadata
from genlens.datasets.tables import TEXT_SUFFIX, table_from_frame
from genlens.errors import UserError
from genlens.seeds import row_seed

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled photographs of one split.

    Attributes:
        paths: N files.
        presence: (N, D) of 0 and 1, which concepts are in each.
        scenes: (N, S) of 0 and 1, which scenes it shows.
    """

    paths: tuple[Path, ...]
    presence: Ints
    scenes: Ints


@dataclass(frozen=True, eq=False)
class Photos:
    """A data set for the protocol of DEPICT's section 4.2.

    Attributes:
        name: of the data set.
        concepts: D names, in caption order.
        scenes: S names.
        train: what target models and concept nets learn from.
        test: what is permuted: N rows with masks. A concept is on or off; its text has the count ("2 person"), where
            it is absent the count of another row that has it.
        test_scenes: (N, S).
    """

    name: str
    concepts: tuple[str, ...]
    scenes: tuple[str, ...]
    train: Split
    test: ConceptTable
    test_scenes: Ints


def load_photos(
    name: str,
    folder: Path,
    concepts: Sequence[str],
    scenes: Sequence[str],
    *,
    max_rows: int,
    seed: int,
    instances: str = "instances.json",
    context: str | None = "context",
) -> Photos:
    """Read FOLDER/train and FOLDER/test.

    Args:
        name: of the data set.
        folder: has a metadata file in `train` and in `test` with file_name, a column of counts a concept, one of 0 and
            1 a scene.
        concepts: columns.
        scenes: columns.
        max_rows: test rows at most, a random part.
        seed: of that part and of the counts that absent concepts get when they are switched on.
        instances: annotations in COCO's format beside the metadata of `test`, for masks.
        context: column with what captions say besides the concepts, if there is one of that name; None: nothing.

    Raises:
        UserError: a file or a column is missing, or a concept is in all test rows or in none.
    """
    train, test = (_read(folder / split, [*concepts, *scenes]) for split in ("train", "test"))
    if len(test) > max_rows:
        order = np.random.default_rng(row_seed(seed, "test rows")).permutation(len(test))
        test = test.iloc[np.sort(order[:max_rows])].reset_index(drop=True)
    counts = test[list(concepts)].astype(int)
    frame = test.copy()
    frame[list(concepts)] = counts.clip(upper=1)
    for concept in concepts:
        frame[concept + TEXT_SUFFIX] = _texts(concept, counts[concept].to_numpy(), test["file_name"].tolist(), seed)
    table = table_from_frame(
        frame,
        concepts,
        None,
        kinds={concept: "binary" for concept in concepts},
        context=context if context in frame.columns else None,
        image_root=folder / "test",
        source=name,
    )
    return Photos(
        name,
        tuple(concepts),
        tuple(scenes),
        _split(train, folder / "train", concepts, scenes),
        _with_masks(table, folder / "test" / instances),
        test[list(scenes)].astype(int).to_numpy(),
    )


def _read(folder: Path, columns: Sequence[str]) -> pd.DataFrame:
    path = find_metadata(folder)
    frame = read_metadata(path)
    for column in ("file_name", *columns):
        if column not in frame.columns:
            raise UserError(f"{path} has no column {column!r}. Write the data with `genlens data`.")
    return frame


def _split(frame: pd.DataFrame, folder: Path, concepts: Sequence[str], scenes: Sequence[str]) -> Split:
    return Split(
        tuple(folder / name for name in frame["file_name"]),
        frame[list(concepts)].astype(int).clip(upper=1).to_numpy(),
        frame[list(scenes)].astype(int).to_numpy(),
    )


def _texts(concept: str, counts: Ints, ids: Sequence[str], seed: int) -> list[str]:
    """What captions say of a concept when it is on: its count, where it is absent that of a row that has it."""
    present = counts[counts > 0]
    if not len(present):
        raise UserError(f"No test row has the concept {concept!r}. Take more rows or leave it out.")
    drawn = [present[row_seed(seed, f"{concept} {row_id}") % len(present)] for row_id in ids]
    return [f"{count or other} {concept}" for count, other in zip(counts, drawn, strict=True)]


def _with_masks(table: ConceptTable, path: Path) -> ConceptTable:
    found = read_instances(path)
    rows = {str(image["file_name"]).strip(): row for row, image in enumerate(found.images)}
    lacking = [row_id for row_id in table.row_ids if row_id not in rows]
    if lacking:
        raise UserError(f"{path} doesn't list the image {lacking[0]!r} ({len(lacking)} are missing). Write it again.")
    return replace(table, masks=lambda row: found.masks(rows[table.row_ids[row]], table.names))
