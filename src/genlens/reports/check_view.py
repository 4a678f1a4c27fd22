"""The checks as the HTML template shows them: any table of records, the heat map, dumbbells of real and generated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genlens.reports import charts
from genlens.reports.text import MISSING, figure, interval, meaning, p_value

if TYPE_CHECKING:
    from genlens.importance.result import CheckResult

_ENDS = ("_low", "_high")
_NAMES = {
    "reference_auroc": "Reference AUROC",
    "own_change": "Its own change",
    "most_moved": "Moves most",
    "its_change": "By",
}
_READING = {
    "effective-generation": "Difference: real minus generated, with its interval over rows.",
    "independent-permutation": "Its own change: of its AUROC against the permuted values, which should not fall. "
    "Flips shown: how many of the flips in captions the concept classifier sees in the images; expected: how many it "
    "would see of perfect ones, its own errors counted. Others stayed: how many detections of other concepts a flip "
    "leaves as they were.",
}
_SCALE_OF_MATRIX = 0.5
"""Change of AUROC that gets the strongest colour of the heat map (or the largest one, if that is larger)."""


@dataclass(frozen=True)
class Column:
    """Head of a column: numbers are set to the right, charts get their axis."""

    name: str
    figures: bool = False
    chart: bool = False
    axis: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table: text (or a chart) with its interval, or a verdict."""

    text: str = ""
    range: str = ""
    figures: bool = False
    verdict: str = ""


def check_view(check: CheckResult) -> dict[str, Any]:
    """One check: its line, meaning, table and heat map."""
    return {
        "code": check.code,
        "title": check.title,
        "verdict": check.verdict,
        "message": check.message,
        "remedy": check.remedy,
        "meaning": meaning(check),
        "figure": _figure(check),
        "matrix": matrix_view(check) if check.matrix else None,
        "table": table_view(check.table) if check.table else None,
        "reading": _READING.get(check.code, "") if check.table else "",
    }


def _figure(check: CheckResult) -> str:
    if check.value is None:
        return ""
    bound = f" (threshold {figure(check.threshold)})" if check.threshold is not None else ""
    return f"figure {figure(check.value)}{bound}"


def matrix_view(check: CheckResult) -> dict[str, Any]:
    """Cells of the heat map: row = concept permuted, column = concept detected."""
    matrix = [[math.nan if value is None else float(value) for value in line] for line in check.matrix or []]
    labels = [str(label) for label in check.labels] or [str(k + 1) for k in range(len(matrix))]
    strongest = max([_SCALE_OF_MATRIX, *(abs(v) for line in matrix for v in line if math.isfinite(v))])
    bound = check.threshold
    lines = [
        {"label": label, "cells": [_cell(value, strongest, bound, j == k) for k, value in enumerate(line)]}
        for j, (label, line) in enumerate(zip(labels, matrix, strict=True))
    ]
    return {"labels": labels, "lines": lines, "bound": "" if bound is None else figure(bound, 2)}


def _cell(value: float, strongest: float, bound: float | None, diagonal: bool) -> dict[str, Any]:
    kinds = ["diagonal"] if diagonal else []
    known = math.isfinite(value)
    if known and abs(value) >= 0.005:
        kinds.append("fall" if value < 0 else "rise")
    if known and bound is not None and abs(value) > bound:
        kinds.append("beyond")
    alpha = f"{0.06 + 0.59 * abs(value) / strongest:.2f}" if known and abs(value) >= 0.005 else ""
    return {"text": figure(value, 2, signed=True), "kind": " ".join(kinds), "alpha": alpha}


def table_view(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns and cells of any list of records; ``x_low`` and ``x_high`` become the brackets of ``x``.

    Where records have ``real`` and ``generated`` a strip shows the way from one to the other.
    """
    keys = [key for key in records[0] if not key.endswith(_ENDS)]
    columns = [_column(key, records) for key in keys]
    lines = [[_table_cell(record, key) for key in keys] for record in records]
    if {"real", "generated"} <= set(keys):
        values = [record[key] for record in records for key in ("real", "generated") if record[key] is not None]
        axis = charts.scale(values, zero=False)
        columns.insert(1, Column("Real ○ to generated ●", chart=True, axis=charts.axis_strip(axis)))
        for record, line in zip(records, lines, strict=True):
            ends = [math.nan if record[key] is None else float(record[key]) for key in ("real", "generated")]
            line.insert(1, Cell(charts.change_strip(axis, *ends)))
    return {"columns": columns, "lines": lines, "charts": any(column.chart for column in columns)}


def _column(key: str, records: Sequence[Mapping[str, Any]]) -> Column:
    name = _NAMES.get(key, key.replace("_", " ").capitalize())
    return Column(name, figures=any(_is_number(record.get(key)) for record in records))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _table_cell(record: Mapping[str, Any], key: str) -> Cell:
    value = record.get(key)
    if key == "verdict":
        return Cell(verdict=str(value))
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if value is None or isinstance(value, float):
        bracket = interval(record.get(f"{key}_low"), record.get(f"{key}_high"))
        return Cell(_number(key, value), "" if bracket == MISSING else bracket, figures=True)
    return Cell(f"{value:,}" if isinstance(value, int) else str(value), figures=isinstance(value, int))


def _number(key: str, value: float | None) -> str:
    if key in ("p_value", "q_value"):
        return p_value(value)
    if key.startswith(("flips_", "others_")):
        return MISSING if value is None or not math.isfinite(value) else f"{value:.1%}"
    return figure(value, signed=key.endswith(("difference", "change")))
