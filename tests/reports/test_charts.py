"""Inline SVG strips."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from genlens.reports import charts


@pytest.mark.parametrize("values", [[0.3, -0.1], [], [np.nan], [0.0], [1e-12], [5000.0, 2.0]])
def test_scale_holds_its_values_and_has_round_ticks(values: list[float]) -> None:
    axis = charts.scale(values)
    for value in [v for v in values if np.isfinite(v)]:
        assert axis.low <= value <= axis.high
    assert axis.low < 0 < axis.high
    assert 2 <= len(axis.ticks) <= 8
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)


def test_positions_are_shares_of_the_width() -> None:
    axis = charts.Scale(0.0, 2.0, (0.0, 1.0))
    assert axis.x(0.5) == "25.00%"
    assert axis.x(9.0) == "100.00%"


def test_strips_are_well_formed_and_names_are_escaped() -> None:
    axis = charts.scale([0.0, 0.4])
    strip = charts.repeats_strip(axis, np.linspace(0.1, 0.3, 50), '<script>"&')
    svg = ElementTree.fromstring(strip)
    assert svg.get("role") == "img"
    assert svg.get("aria-label", "").startswith('<script>"&: median .200')
    assert "<script" not in strip


def test_a_weak_concept_has_a_hollow_dot_and_unknown_figures_draw_nothing() -> None:
    axis = charts.scale([0.4])
    strong = charts.interval_strip(axis, 0.2, 0.1, 0.3)
    weak = charts.interval_strip(axis, 0.2, 0.1, 0.3, strong=False)
    nothing = charts.interval_strip(axis, np.nan, np.nan, np.nan)
    assert "hollow" in weak and "hollow" not in strong
    assert "circle" not in nothing and "whisker" not in nothing


def test_negative_bars_reach_from_the_value_to_zero() -> None:
    axis = charts.Scale(-1.0, 1.0, (0.0,))
    bar = ElementTree.fromstring(charts.bar_strip(axis, -0.5, np.nan, np.nan, np.nan)).find("rect")
    assert bar is not None
    assert (bar.get("x"), bar.get("width")) == ("25.00%", "25.00%")


def test_no_repeats_say_so() -> None:
    assert "no repeats" in charts.repeats_strip(charts.scale([]), [np.nan], "tv")
