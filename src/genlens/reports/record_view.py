"""Records and matrices as the HTML template shows them: tables with intervals and charts, curves, heat maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from genlens.reports import charts
from genlens.reports.text import MISSING, figure, interval, p_value

_ENDS = ("_low", "_high")
_NAMES = {
    "reference_auroc": "Reference AUROC",
    "own_change": "Its own change",
    "most_moved": "Moves most",
    "its_change": "By",
    "p_value": "p",
    "q_value": "q",
    "se": "SE",
}
_SHARES = ("flips_", "others_", "share_")
"""Columns whose names begin so are shares, written in percent."""
_SIGNED = ("difference", "change", "effect", "slope", "above", "curvature", "interaction")
"""Columns whose names end so are written with their sign."""

Record = Mapping[str, Any]


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


def table_view(records: Sequence[Record], chart: str = "") -> dict[str, Any]:
    """Columns and cells of any list of records; ``x_low`` and ``x_high`` become the brackets of ``x``.

    Where records have ``real`` and ``generated`` a strip shows the way from one to the other. A list of numbers becomes
    a strip of its distribution.

    Args:
        records: dicts with the same keys.
        chart: "interval": strips of the first column that has an interval stand beside the first column.
    """
    keys = [key for key in records[0] if not key.endswith(_ENDS)]
    columns = [_column(key, records) for key in keys]
    lines = [[_table_cell(record, key) for key in keys] for record in records]
    for position, key in enumerate(keys):
        if isinstance(records[0][key], (list, tuple)):
            _show_distributions(records, key, position, columns, lines)
    if {"real", "generated"} <= set(keys):
        _insert_changes(records, columns, lines)
    drawn = first_with_interval(records[0])
    if chart == "interval" and drawn:
        _insert_intervals(records, drawn, columns, lines)
    return {"columns": columns, "lines": lines, "charts": any(column.chart for column in columns)}


def first_with_interval(record: Record) -> str:
    """The first key ``x`` of a record that also has ``x_low``; empty where there is none."""
    return next((key for key in record if f"{key}_low" in record), "")


def _insert_changes(records: Sequence[Record], columns: list[Column], lines: list[list[Cell]]) -> None:
    pairs = [[_float(record[key]) for key in ("real", "generated")] for record in records]
    axis = charts.scale((value for pair in pairs for value in pair), zero=False)
    columns.insert(1, Column("Real ○ to generated ●", chart=True, axis=charts.axis_strip(axis)))
    for pair, line in zip(pairs, lines, strict=True):
        line.insert(1, Cell(charts.change_strip(axis, *pair)))


def _insert_intervals(records: Sequence[Record], key: str, columns: list[Column], lines: list[list[Cell]]) -> None:
    bars = [[_float(record.get(name)) for name in (key, f"{key}_low", f"{key}_high")] for record in records]
    axis = charts.scale(value for bar in bars for value in bar)
    columns.insert(1, Column(_name(key), chart=True, axis=charts.axis_strip(axis)))
    for bar, line in zip(bars, lines, strict=True):
        value, low, high = bar
        line.insert(1, Cell(charts.interval_strip(axis, value, low, high, strong=not low <= 0 <= high)))


def _show_distributions(
    records: Sequence[Record], key: str, position: int, columns: list[Column], lines: list[list[Cell]]
) -> None:
    axis = charts.scale(value for record in records for value in record[key])
    columns[position] = Column(_name(key), chart=True, axis=charts.axis_strip(axis))
    for record, line in zip(records, lines, strict=True):
        line[position] = Cell(charts.repeats_strip(axis, record[key], str(next(iter(record.values())))))


def curve_views(records: Sequence[Record]) -> list[dict[str, Any]]:
    """A curve for each run of records that share their first value: what has an interval, over their second value.

    All curves have the same vertical axis, so that they can be compared.
    """
    group, over = list(records[0])[:2]
    drawn = first_with_interval(records[0])
    ends = (drawn, f"{drawn}_low", f"{drawn}_high")
    vertical = charts.scale((_float(record[end]) for record in records for end in ends), zero=False)
    views = []
    for name, part in groupby(records, key=lambda record: str(record[group])):
        points = [tuple(_float(record[key]) for key in (over, *ends)) for record in part]
        horizontal = charts.scale((point[0] for point in points), zero=False)
        label = f"{name}: {_name(drawn).lower()} from {figure(points[0][1])} to {figure(points[-1][1])}."
        views.append(
            {
                "name": name,
                "over": _name(over),
                "what": _name(drawn),
                "plot": charts.curve_plot(horizontal, vertical, points, label),
                "vertical": charts.vertical_axis(vertical),
                "horizontal": charts.axis_strip(horizontal),
            }
        )
    return views


def matrix_view(
    matrix: Sequence[Sequence[float | None]], names: Sequence[str], bound: float | None = None, strongest: float = 1e-9
) -> dict[str, Any]:
    """Cells of a heat map.

    Args:
        matrix: the figures; None and NaN are gaps.
        names: of the columns, and of the rows, which may be fewer; numbers where it is empty.
        bound: figures beyond it are set bold.
        strongest: the figure that gets the strongest colour, unless there is a larger one.
    """
    figures = [[_float(value) for value in line] for line in matrix]
    labels = [str(name) for name in names] or [str(k + 1) for k in range(len(figures))]
    strongest = max([strongest, *(abs(v) for line in figures for v in line if math.isfinite(v))])
    lines = [
        {"label": label, "cells": [_cell(value, strongest, bound, j == k) for k, value in enumerate(line)]}
        for j, (label, line) in enumerate(zip(labels[: len(figures)], figures, strict=True))
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


def _name(key: str) -> str:
    name = _NAMES.get(key, key.replace("_", " "))
    return name[:1].upper() + name[1:] if len(name) > 1 else name


def _column(key: str, records: Sequence[Record]) -> Column:
    return Column(_name(key), figures=any(_is_number(record.get(key)) for record in records))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)


def _table_cell(record: Record, key: str) -> Cell:
    value = record.get(key)
    if key == "verdict":
        return Cell(verdict=str(value))
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if value is None or isinstance(value, float):
        return Cell(number(key, value), bracket(record, key), figures=True)
    return Cell(f"{value:,}" if isinstance(value, int) else str(value), figures=isinstance(value, int))


def bracket(record: Record, key: str) -> str:
    """The interval of a record's number as text; empty where it has none."""
    low, high = record.get(f"{key}_low"), record.get(f"{key}_high")
    text = interval(low, high)
    if text == MISSING or low is None or high is None or not key.startswith(_SHARES):
        return "" if text == MISSING else text
    return f"[{low:.1%}, {high:.1%}]"


def number(key: str, value: float | None) -> str:
    """A number of a record as text, by its key: p-values, shares in percent, values, changes with their sign."""
    if key in ("p_value", "q_value"):
        return p_value(value)
    if key.startswith(_SHARES):
        return MISSING if value is None or not math.isfinite(value) else f"{value:.1%}"
    if key == "value" and value is not None and math.isfinite(value):
        return figure(value, 0 if value == int(value) else 3)
    return figure(value, signed=key.endswith(_SIGNED))
