"""DataFrame -> ConceptTable: columns are found, read and checked here, whatever file they came from."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genlens.captions import CaptionTemplate, ListTemplate
from genlens.columns import Concept, Kind, as_objects, describe_rows, infer_kind, is_missing, is_unicode, refuse_missing
from genlens.concepts import ConceptTable
from genlens.datasets.images import check_image, load_image, unreadable
from genlens.errors import UserError
from genlens.labels import Task

_NESTED = (list, tuple, dict, set, np.ndarray)

TEXT_SUFFIX = " slot"
"""A column "<concept> slot" holds what the caption says of a binary concept in each row."""
MASK_SUFFIX = " mask"
"""A column "<concept> mask" holds the file of the concept's mask in each row; empty: the concept isn't there."""


def table_from_frame(
    df: pd.DataFrame,
    concepts: Sequence[str],
    label: str | None = None,
    *,
    kinds: Mapping[str, Kind] | None = None,
    texts: Mapping[str, str] | None = None,
    context: str | None = None,
    row_id: str | None = "file_name",
    cluster: str | None = None,
    watch: Sequence[str] = (),
    template: CaptionTemplate | None = None,
    task: Task | None = None,
    image_root: str | Path | None = None,
    skip_unreadable: bool = False,
    source: str = "the DataFrame",
) -> ConceptTable:
    """Make a table from a DataFrame of N rows.

    Args:
        df: the columns; values may be numbers, truth values or text in any of pandas' types.
        concepts: columns that are permuted, in caption order.
        label: column of the labels; None: they come later, by `ConceptTable.with_labels`.
        kinds: kinds of concepts; those not named are inferred (`genlens.columns.infer_kind`).
        texts: binary concept -> the column with its text in each row. None: "<concept> slot" where there is one.
        context: column with text that belongs to the caption and is never permuted; a missing one is empty.
        row_id: column with unique names of the rows (and, with `image_root`, their files). None: the index.
        cluster: column whose equal values mark rows that belong together.
        watch: further columns, of concepts that the checks look for in the images though they aren't permuted.
        template: how captions are made; None: a `ListTemplate`.
        task: what the labels are; None: inferred (`genlens.labels.label_values`).
        image_root: folder of the images; None: no images.
        skip_unreadable: leave out rows whose image is missing or can't be read (all are decoded once).
        source: what the columns come from, for messages.

    Raises:
        UserError: a column is unknown or repeated, a value is missing or doesn't fit, a concept is constant, the label
            has one class, a file name occurs twice or leaves the folder, or an image is missing or can't be read.
    """
    frame = _Frame(df, source)
    names = concept_names(concepts)
    frame.require("concepts", names)
    for option, column in {"label": label, "context": context, "row_id": row_id, "cluster": cluster}.items():
        if column is not None:
            frame.require(option, [column])
    if label in names:
        raise UserError(f"`label` {label!r} is one of the concepts. Take it out of `concepts` or choose another label.")
    known = {name: infer_kind(name, frame.values(name)) for name in names if name not in (kinds or {})}
    known |= _of_concepts("kinds", kinds or {}, names)
    texts = frame.text_columns(known) if texts is None else _of_concepts("texts", texts, names)
    frame.require("texts", list(texts.values()))
    watched = concept_names(watch, "watch") if watch else ()
    frame.require("watch", watched)
    ids = frame.row_ids(row_id)
    paths = None if image_root is None else image_paths(image_root, ids)
    table = ConceptTable(
        row_ids=ids,
        concepts=tuple(_concept(frame, name, known[name], texts.get(name), ids) for name in names),
        labels=None if label is None else as_objects(frame.values(label)),
        label_name=label or "label",
        task=task,
        context=None if context is None else tuple("" if is_missing(v) else str(v) for v in frame.values(context)),
        image_paths=paths,
        masks=None if paths is None else _mask_reader(frame, names, Path(image_root or ""), paths),
        clusters=None if cluster is None else _clusters(cluster, frame.values(cluster), ids),
        source=source,
        caption_template=template or ListTemplate(),
        watched=tuple(_watched(frame, name, ids) for name in watched),
    )
    return check_images(table, skip_unreadable)


def check_images(table: ConceptTable, skip_unreadable: bool) -> ConceptTable:
    """Check the images of a table by their headers, or leave out the rows whose image can't be decoded.

    Raises:
        UserError: an image is missing, isn't an image or is too large; or no image at all can be read.
    """
    paths = table.image_paths or ()
    if not skip_unreadable:
        for path in paths:
            check_image(path)
        return table
    bad = dict(unreadable(paths))
    if not bad:
        return table
    if len(bad) == len(paths):
        raise UserError(f"None of the {len(paths)} images of {table.source} can be read, the first because: {bad[0]}")
    kept = table.take([row for row in range(table.n_rows) if row not in bad])
    return replace(kept, skipped=tuple(table.row_ids[row] for row in bad))


def image_paths(root: str | Path, names: Sequence[str]) -> tuple[Path, ...]:
    """Paths of the images under `root`.

    Raises:
        UserError: `root` is no folder, or a name is absolute or leaves it.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"The image folder {root} doesn't exist or isn't a folder. Check the path.")
    for row, name in enumerate(names):
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        if posix.is_absolute() or windows.drive or ".." in windows.parts or "\0" in name:
            where = describe_rows([row], None)
            raise UserError(f"The file name {name!r} in {where} must stay inside {root}. Use a path relative to it.")
    return tuple(root / name for name in names)


def unknown_column(option: str, column: str, source: str, columns: Sequence[str], what: str = "column") -> UserError:
    """Return the error for a column that isn't there; near matches come first, long lists are cut."""
    near = get_close_matches(column, columns, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
    listed = ", ".join(columns[:30]) + (f" and {len(columns) - 30} more" if len(columns) > 30 else "")
    plural = "Categories" if what == "category" else "Columns"
    verb = f"`{option}` contains" if option in ("concepts", "texts") else f"`{option}` is"
    return UserError(f"{verb} {column!r}, which is not a {what} of {source}.{hint} {plural}: {listed}.")


def concept_names(concepts: Sequence[str], option: str = "concepts") -> tuple[str, ...]:
    """Names without blanks at the ends.

    Raises:
        UserError: `concepts` (what `option` was given) isn't a list of names, is empty or has one twice.
    """
    if isinstance(concepts, str) or not all(isinstance(name, str) for name in concepts):
        raise UserError(f"`{option}` must be a list of column names; got {concepts!r}.")
    names = tuple(name.strip() for name in concepts)
    if not names:
        raise UserError(f"`{option}` must name at least one column; got none.")
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"`{option}` names {name!r} twice. Name each concept once.")
    return names


class _Frame:
    """Columns by name, blanks around names ignored."""

    def __init__(self, df: pd.DataFrame, source: str) -> None:
        if not isinstance(df, pd.DataFrame):
            raise UserError(f"`df` must be a pandas DataFrame; got {type(df).__name__}.")
        self.df, self.source = df, source
        self.columns = [str(column).strip() for column in df.columns]
        repeated = [name for name in self.columns if self.columns.count(name) > 1]
        if repeated:
            raise UserError(f"{source} has the column {repeated[0]!r} more than once. Rename or drop one.")
        if not len(df):
            raise UserError(f"{source} has no rows. Add some.")

    def require(self, option: str, columns: Sequence[str]) -> None:
        for column in columns:
            if column not in self.columns:
                raise unknown_column(option, column, self.source, self.columns)

    def values(self, column: str) -> list[Any]:
        result: list[Any] = self.df.iloc[:, self.columns.index(column)].tolist()
        nested = [row for row, value in enumerate(result) if isinstance(value, _NESTED)]
        if nested:
            where = describe_rows(nested, None)
            raise UserError(f"Column {column!r} of {self.source} holds lists in {where}. Use one column a value.")
        broken = [row for row, value in enumerate(result) if isinstance(value, bytes) or not is_unicode(value)]
        if broken:
            where = describe_rows(broken, None)
            raise UserError(f"Column {column!r} of {self.source} holds what is no text in {where}. Save it as UTF-8.")
        return result

    def text_columns(self, kinds: Mapping[str, Kind]) -> dict[str, str]:
        """Binary concepts that have a "<concept> slot" column beside them."""
        binary = [name for name, kind in kinds.items() if kind == "binary"]
        return {name: name + TEXT_SUFFIX for name in binary if name + TEXT_SUFFIX in self.columns}

    def row_ids(self, column: str | None) -> tuple[str, ...]:
        raw = self.df.index.tolist() if column is None else self.values(column)
        refuse_missing(f"Column {column!r} of {self.source}", [is_missing(value) for value in raw], None)
        ids = tuple(str(value).strip() for value in raw)
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(ids):
            rows.setdefault(posixpath.normpath(name), []).append(row)
        for name, places in rows.items():
            if len(places) > 1:
                what = f"`{column}` of {self.source}" if column else f"The index of {self.source}"
                where = describe_rows(places, None)
                raise UserError(f"{what} has {name!r} in {where}. Each row needs a name of its own.")
        return ids


_T = TypeVar("_T")


def _of_concepts(option: str, given: Mapping[str, _T], names: Sequence[str]) -> dict[str, _T]:
    for name in given:
        if name not in names:
            raise UserError(f"`{option}` names {name!r}, which is not in `concepts`. Concepts: {', '.join(names)}.")
    return dict(given)


def _concept(frame: _Frame, name: str, kind: Kind, text: str | None, ids: Sequence[str]) -> Concept:
    texts = None if text is None else as_objects(frame.values(text))
    return Concept(name, kind, as_objects(frame.values(name)), texts, ids)


def _watched(frame: _Frame, name: str, ids: Sequence[str]) -> Concept:
    """A concept that is only looked for.

    Raises:
        UserError: it is one that is always there (a category, a number) or never absent.
    """
    values = frame.values(name)
    kind = infer_kind(name, values)
    if kind not in ("binary", "count", "segment"):
        raise UserError(f"`watch` {name!r} is a {kind}; a concept to look for must be there in some rows only.")
    return Concept(name, kind, as_objects(values), None, ids)


def _clusters(column: str, values: list[Any], ids: Sequence[str]) -> NDArray[np.int64]:
    refuse_missing(f"`cluster` column {column!r}", [is_missing(value) for value in values], ids)
    return np.unique([str(value) for value in values], return_inverse=True)[1].astype(np.int64)


def _mask_reader(
    frame: _Frame, names: Sequence[str], root: Path, images: Sequence[Path]
) -> Callable[[int], NDArray[np.bool_]] | None:
    if not all(name + MASK_SUFFIX in frame.columns for name in names):
        return None
    files = [["" if is_missing(v) else str(v) for v in frame.values(name + MASK_SUFFIX)] for name in names]
    for column in files:
        image_paths(root, column)

    def read(row: int) -> NDArray[np.bool_]:
        """Masks of one row: bool (D, H, W)."""
        found = [load_image(root / column[row])[..., 0] > 127 if column[row] else None for column in files]
        shape = next((mask.shape for mask in found if mask is not None), None) or load_image(images[row]).shape[:2]
        odd = [name for name, mask in zip(names, found, strict=True) if mask is not None and mask.shape != shape]
        if odd:
            raise UserError(
                f"The masks of row {images[row].name!r} must have one size; that of {odd[0]!r} differs from {shape}."
            )
        return np.stack([np.zeros(shape, dtype=bool) if mask is None else mask for mask in found])

    return read
