"""Hugging Face imagefolder: images with metadata.csv, metadata.jsonl or metadata.parquet beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from genlens.annotation import read_annotation
from genlens.columns import is_unicode
from genlens.concepts import ConceptTable, TableOptions
from genlens.datasets import shapes
from genlens.datasets.tables import table_from_frame
from genlens.errors import UserError

METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


def table_from_metadata(
    folder: str | Path, concepts: Sequence[str], label: str | None = None, **options: Unpack[TableOptions]
) -> ConceptTable:
    """Make a table from an imagefolder.

    Args:
        folder: the folder with the images and one of `METADATA_NAMES`, or the path of such a file under any name.
        concepts: columns that are permuted, in caption order.
        label: column of the labels; None: they come later, by `ConceptTable.with_labels`.
        **options: see `TableOptions`. Masks are read from columns "<concept> mask" (files; empty: the concept isn't
            there), and where the shapes data set has them.

    Raises:
        UserError: there is no readable metadata file, or as in `genlens.datasets.tables.table_from_frame`.
    """
    path = find_metadata(folder)
    frame = read_metadata(path)
    table = table_from_frame(frame, concepts, label, image_root=path.parent, source=path.name, **options)
    table = replace(table, annotation=read_annotation(path))
    if table.masks is None and set(table.names) <= set(shapes.CONCEPTS):
        return _with_shapes_masks(table, path.parent)
    return table


def _with_shapes_masks(table: ConceptTable, folder: Path) -> ConceptTable:
    """The masks that `genlens.datasets.shapes.write_imagefolder` puts beside the images, if they are there."""
    files = [folder / "masks" / Path(row_id).name for row_id in table.row_ids]
    if not all(file.is_file() for file in files):
        return table
    layers = [shapes.CONCEPTS.index(name) for name in table.names]
    return replace(table, masks=lambda row: shapes.read_masks(files[row])[layers])


def find_metadata(folder: str | Path) -> Path:
    """Return the metadata file of an imagefolder, or `folder` itself if it is a file.

    Raises:
        UserError: there is none, or more than one.
    """
    folder = Path(folder)
    if folder.is_file():
        return folder
    if not folder.is_dir():
        raise UserError(f"The data folder {folder} doesn't exist. Check the path.")
    found = [folder / name for name in METADATA_NAMES if (folder / name).is_file()]
    if not found:
        raise UserError(f"{folder} has no {', '.join(METADATA_NAMES[:-1])} or {METADATA_NAMES[-1]}. Add one.")
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise UserError(f"{folder} has {names}. Keep one, or pass the path of the file.")
    return found[0]


def read_metadata(path: str | Path) -> pd.DataFrame:
    """Read a metadata file with its values as they stand in it.

    Everything in a csv stays text (so names such as "007" and words such as "None" survive) until a column is used as
    what it is; jsonl and parquet keep their types.

    Raises:
        UserError: the file isn't csv, jsonl or parquet in UTF-8, or is damaged.
    """
    path = Path(path)
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path} must be a .csv, .jsonl or .parquet file.")
    try:
        return reader(path)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} isn't UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}.") from error


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        cells = pd.read_csv(
            path, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True
        )
    except pd.errors.EmptyDataError as error:
        raise UserError(f"{path} is empty. It needs a line of column names and a line a row.") from error
    except pd.errors.ParserError as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise UserError(f"{path} can't be read as csv: {reason}. Quote values that hold commas.") from error
    names = [str(name).strip() for name in cells.iloc[0]]
    if len(names) == 1 and ";" in names[0]:
        raise UserError(f"{path} is separated by semicolons. Save it with commas.")
    return cells.iloc[1:].set_axis(names, axis=1).reset_index(drop=True)


def _read_jsonl(path: Path) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {number} isn't JSON: {error.msg} (column {error.colno}).") from error
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}, line {number} isn't JSON that can be read: {error}.") from error
        if isinstance(row, dict) and not all(map(is_unicode, row)):
            raise UserError(f"{path}, line {number} has a name that is no text. Save it as UTF-8.")
        if not isinstance(row, dict):
            raise UserError(f'{path}, line {number} must be an object such as {{"file_name": …}}; got {line[:40]!r}.')
        rows.append(row)
    return pd.DataFrame(rows, dtype=object)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        file = pq.ParquetFile(path)
        if "map<" in str(file.schema_arrow):  # Arrow aborts on damaged ones
            raise UserError(f"{path} has a column of maps. Use one column a value.")
        table = file.read()
        table.validate(full=True)
        # Without what pandas noted in the file about its index: it isn't needed, and may be anything.
        frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas(types_mapper=pd.ArrowDtype)
    except (pa.ArrowException, ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise UserError(f"{path} can't be read as parquet: {next(iter(str(error).splitlines()), error)}") from error
    return frame
