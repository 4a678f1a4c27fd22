"""Analyses as the template shows them."""

from __future__ import annotations

from genlens.importance.result import Analysis
from genlens.reports.analysis_view import analysis_view

POINTS = [
    {"concept": "age", "value": x, "score": x / 10, "score_low": x / 10 - 1, "score_high": x / 10 + 1}
    for x in (20.0, 40.0, 60.0)
]


def test_curves_are_drawn_only_where_they_are_asked_for() -> None:
    assert len(analysis_view(Analysis("doses", "Doses", "m", table=POINTS, chart="curve"))["curves"]) == 1
    assert analysis_view(Analysis("doses", "Doses", "m", table=POINTS))["curves"] == []
    assert analysis_view(Analysis("doses", "Doses", "m", chart="curve"))["curves"] == []


def test_strips_stand_in_the_table() -> None:
    view = analysis_view(Analysis("placebo", "Placebo", "m", table=POINTS, chart="interval"))
    assert view["table"]["charts"] and view["curves"] == []


def test_an_analysis_may_be_a_line_only() -> None:
    view = analysis_view(Analysis("x", "X", "m"))
    assert (view["table"], view["matrix"], view["advice"]) == (None, None, "")


def test_the_matrix_takes_its_largest_figure_as_its_scale() -> None:
    view = analysis_view(Analysis("x", "X", "m", matrix=[[0.0, 0.02], [-0.01, 0.0]], labels=["a", "b"]))
    assert view["matrix"]["lines"][0]["cells"][1]["alpha"] == "0.65"
