"""Raw values of a column -> a concept, with one-line errors that name the rows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import InitVar, dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genlens.errors import UserError

Kind = Literal["binary", "count", "category", "number", "segment"]
"""What a concept's values are: 0/1; 0, 1, 2, …; one of some names; a real number; text or "" (absent)."""
KINDS: tuple[Kind, ...] = get_args(Kind)

Values: TypeAlias = Sequence[Any] | NDArray[Any]
"""Raw values of a column."""

MAX_INFERRED_CATEGORIES = 50
"""A text column with more distinct values than this must say itself what kind it is."""

_WHOLE = re.compile(r"[+-]?\d+")
_LONGEST_WHOLE = 400
"""Digits of a whole number; one with more is infinite as a float, and Python refuses to read very long ones."""
_TRUTH = {"true": 1, "false": 0, "yes": 1, "no": 0}
_NULLS = frozenset({"nan", "na", "n/a", "null", "none", "<na>"})


def describe_rows(rows: Iterable[int], row_ids: Sequence[str] | None, limit: int = 3) -> str:
    """Say which rows, e.g. ``"rows 3 ('c.png') and 7 ('g.png')"``; the first data row is row 1."""
    numbers = [int(row) for row in rows]
    names = [f"{row + 1}" if row_ids is None else f"{row + 1} ({row_ids[row]!r})" for row in numbers[:limit]]
    if len(numbers) > limit:
        names.append(f"{len(numbers) - limit} more")
    listed = names[0] if len(names) == 1 else ", ".join(names[:-1]) + f" and {names[-1]}"
    return f"row{'s' if len(numbers) > 1 else ''} {listed}"


def is_missing(value: Any) -> bool:
    """Whether a raw value is None, NaN, NaT, pandas' NA or blank text."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    if isinstance(value, (float, np.floating)):
        return math.isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")


def _number(value: Any) -> int | float | None:
    """A raw value as a number; None if it isn't one."""
    if isinstance(value, (bool, np.bool_, int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if _WHOLE.fullmatch(text) and len(text) <= _LONGEST_WHOLE:
        return int(text)
    try:
        return float(text)
    except ValueError:
        return None


def _is_null_word(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in _NULLS


def is_unicode(value: Any) -> bool:
    """Whether a value is no text, or text that can be written as UTF-8 (JSON may hold halves of characters)."""
    return not isinstance(value, str) or value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def parse_numbers(values: Values) -> list[int | float | None] | None:
    """All values as numbers, None where one is missing; None if the column isn't numeric."""
    found: list[int | float | None] = []
    for value in values:
        number = None if is_missing(value) or _is_null_word(value) else _number(value)
        if number is None and not (is_missing(value) or _is_null_word(value)):
            return None
        found.append(number)
    return found if any(number is not None for number in found) else None


def infer_kind(name: str, values: Values) -> Kind:
    """Guess the kind of a concept from its raw values.

    Only 0 and 1 (or true and false, yes and no): binary. Other whole numbers >= 0: count. Other numbers: number. Text:
    category; segment where some rows are empty and all others contain the concept's name.

    Raises:
        UserError: text with more than `MAX_INFERRED_CATEGORIES` distinct values.
    """
    numbers = parse_numbers(values)
    if numbers is not None:
        given = [number for number in numbers if number is not None]
        if all(number in (0, 1) for number in given):
            return "binary"
        return "count" if all(isinstance(number, int) and number >= 0 for number in given) else "number"
    texts = {str(value) for value in values if not is_missing(value)}
    if any(is_missing(value) for value in values) and all(name.lower() in text.lower() for text in texts):
        return "segment"
    if len(texts) > MAX_INFERRED_CATEGORIES:
        raise UserError(
            f"Concept {name!r} has {len(texts)} distinct texts, too many to take for categories. Say what it is: "
            f"kinds={{{name!r}: 'category'}} or 'segment' (text that is carried from row to row)."
        )
    return "category"


def concept_values(name: str, values: Values, kind: Kind, row_ids: Sequence[str] | None = None) -> NDArray[Any]:
    """Values of a concept in the type of its kind.

    Args:
        name: the concept.
        values: N raw values: numbers, truth values, text, None or NaN.
        kind: one of `KINDS`.
        row_ids: N names, for the messages.

    Returns:
        (N,) int8 (binary), int64 (count), float64 (number) or object array of str (category, segment).

    Raises:
        UserError: a value is missing (a segment's isn't: it is absent) or doesn't belong to the kind.
    """
    if kind not in KINDS:
        raise UserError(f"Concept {name!r} has the kind {kind!r}; it must be one of {', '.join(KINDS)}.")
    what = f"Concept {name!r}"
    if kind == "segment":
        return clean_texts(["" if is_missing(value) else value for value in values])
    if kind == "category":
        refuse_missing(what, [is_missing(value) for value in values], row_ids)
        return clean_texts(values)
    numbers = finite_numbers(what, values, kind, row_ids)
    if kind == "number":
        return numbers
    allowed = "0 or 1" if kind == "binary" else "whole numbers >= 0"
    bad = (numbers != 0) & (numbers != 1) if kind == "binary" else (numbers < 0) | (numbers != np.floor(numbers))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        where = describe_rows([row], row_ids)
        raise UserError(f"{what} is of kind {kind!r}, so its values must be {allowed}; got {values[row]!r} in {where}.")
    if numbers.max() >= 2**53:
        where = describe_rows([int(numbers.argmax())], row_ids)
        raise UserError(f"{what} holds {numbers.max():.0f} in {where}, which is no count. Use kind 'category' for ids.")
    return numbers.astype(np.int8 if kind == "binary" else np.int64)


def as_objects(values: Values) -> NDArray[Any]:
    """Object array (N,) of the values as they are."""
    result = np.empty(len(values), dtype=object)
    result[:] = list(values)
    return result


def clean_texts(values: Values) -> NDArray[Any]:
    """Object array (N,) of str without blanks at the ends."""
    return as_objects([str(value).strip() for value in values])


def refuse_missing(what: str, missing: ArrayLike, row_ids: Sequence[str] | None) -> None:
    """Raise a UserError that names the rows where `missing` (N,) is true."""
    rows = np.flatnonzero(np.asarray(missing, dtype=bool))
    if len(rows):
        where = describe_rows(rows, row_ids)
        raise UserError(f"{what} has no value in {where}. Fill it in or drop such rows.")


def finite_numbers(what: str, values: Values, kind: str, row_ids: Sequence[str] | None) -> NDArray[np.float64]:
    """Finite numbers (N,), or an error that names the first row without one."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        numbers = values.astype(np.float64)
        refuse_missing(what, np.isnan(numbers), row_ids)
    else:
        refuse_missing(what, [is_missing(value) or _is_null_word(value) for value in values], row_ids)
        found = [_number(value) for value in values]
        strange = [row for row, number in enumerate(found) if number is None]
        if strange:
            row, where = strange[0], describe_rows(strange[:1], row_ids)
            raise UserError(f"{what} is of kind {kind!r}, so it needs numbers; got {values[row]!r} in {where}.")
        limited = [min(max(number, -1e309), 1e309) for number in found if number is not None]
        numbers = np.array(limited, dtype=np.float64)
    infinite = np.flatnonzero(~np.isfinite(numbers))
    if len(infinite):
        where = describe_rows(infinite, row_ids)
        raise UserError(f"{what} must have finite values; got {values[infinite[0]]!r} in {where}.")
    return numbers.astype(np.float64)


@dataclass(frozen=True, eq=False)
class Concept:
    """One column of a table.

    Values of any type that suits the kind are accepted and kept in the kind's own type.

    Attributes:
        name: the column's name; captions and reports show it.
        kind: one of `KINDS`.
        values: (N,) int8 of 0 and 1 (binary), int64 >= 0 (count), float64 (number), object array of str (category;
            segment, where "" means absent).
        texts: binary only, (N,) object array of str or None: what the caption of that row says while the concept is
            on, also filled where it is off, e.g. "red circle (12, 40) 9".
        row_ids: names of the rows, for messages only.

    Raises:
        UserError: a value is missing or doesn't belong to the kind, all values are equal, or a text is missing.
    """

    name: str
    kind: Kind
    values: NDArray[Any]
    texts: NDArray[Any] | None = None
    row_ids: InitVar[Sequence[str] | None] = None

    def __post_init__(self, row_ids: Sequence[str] | None) -> None:
        """Coerce and check the values."""
        if not isinstance(self.name, str) or not self.name.strip():
            raise UserError(f"A concept's name must be text; got {self.name!r}.")
        values = concept_values(self.name, self.values, self.kind, row_ids)
        if len(values) == 0 or (values == values[0]).all():
            same = "" if len(values) == 0 else f" (all {values[0]!s})" if str(values[0]) else " (absent in all rows)"
            raise UserError(
                f"Concept {self.name!r} is constant{same}, so permuting it changes nothing. Drop it or add rows."
            )
        object.__setattr__(self, "values", values)
        if self.texts is not None:
            object.__setattr__(self, "texts", self._checked_texts(self.texts, row_ids))

    def _checked_texts(self, texts: Values, row_ids: Sequence[str] | None) -> NDArray[Any]:
        if self.kind != "binary":
            raise UserError(f"`texts` is for binary concepts; {self.name!r} is a {self.kind}. Drop its texts.")
        if len(texts) != len(self.values):
            raise UserError(f"`texts` of {self.name!r} must have {len(self.values)} entries; got {len(texts)}.")
        empty = [row for row, text in enumerate(texts) if is_missing(text)]
        if empty:
            raise UserError(
                f"Concept {self.name!r} has no text in {describe_rows(empty, row_ids)}. Text is needed where the "
                "concept is off, too; use kind 'segment' to borrow it from rows that have it."
            )
        return clean_texts(texts)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Bool (N,): 1 (binary), > 0 (count), not "" (segment); always True for categories and numbers."""
        if self.kind in ("category", "number"):
            return np.ones(len(self.values), dtype=bool)
        result: NDArray[np.bool_] = np.asarray(self.values != ("" if self.kind == "segment" else 0), dtype=bool)
        return result

    def take(self, rows: NDArray[np.int64]) -> Concept:
        """The same concept on some rows (indices)."""
        return Concept(self.name, self.kind, self.values[rows], None if self.texts is None else self.texts[rows])
