"""Analyses as the HTML template shows them: a line, advice, curves or strips, a table, a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genlens.reports.record_view import curve_views, first_with_interval, matrix_view, table_view

if TYPE_CHECKING:
    from genlens.importance.result import Analysis

_LEGEND = ("below 0", "0", "above 0", "")


def analysis_view(analysis: Analysis) -> dict[str, Any]:
    """One analysis: its line, advice, charts, table and heat map; keys as those of `check_view`."""
    curved = analysis.chart == "curve" and analysis.table and first_with_interval(analysis.table[0])
    return {
        "code": analysis.code,
        "title": analysis.title,
        "message": analysis.message,
        "advice": analysis.advice,
        "curves": curve_views(analysis.table) if curved else [],
        "matrix": matrix_view(analysis.matrix, analysis.labels) if analysis.matrix else None,
        "guide": analysis.guide,
        "legend": _LEGEND,
        "table": table_view(analysis.table, analysis.chart) if analysis.table else None,
        "reading": analysis.reading,
    }
