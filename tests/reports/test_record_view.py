"""Tables of records, curves and heat maps."""

from __future__ import annotations

import math
import re

from genlens.reports.record_view import curve_views, matrix_view, table_view


def test_interval_columns_become_brackets() -> None:
    table = table_view([{"concept": "tv", "difference": 0.03, "difference_low": 0.01, "difference_high": 0.05}])
    assert [column.name for column in table["columns"]] == ["Concept", "Difference"]
    assert table["lines"][0][1].text == "+.030" and table["lines"][0][1].range == "[.010, .050]"


def test_real_and_generated_get_a_chart() -> None:
    table = table_view(
        [{"name": "target", "real": 0.98, "generated": 0.95}, {"name": "tv", "real": None, "generated": 0.9}]
    )
    assert [column.chart for column in table["columns"]] == [False, True, False, False]
    assert table["lines"][0][1].text.count("<circle") == 2
    assert table["lines"][1][1].text.count("<circle") == 0


def test_cells_of_other_kinds() -> None:
    record = {"a": "x", "n": 1200, "ok": True, "verdict": "failed", "p_value": 0.0001, "none": None,
              "flips_shown": 0.981, "value": 20.0,
              "share_moved": 0.5, "share_moved_low": 0.25, "share_moved_high": 0.75}  # fmt: skip
    (line,) = table_view([record])["lines"]
    texts = ["x", "1,200", "yes", "", "<\u2009.001", "\N{EN DASH}", "98.1%", "20", "50.0%"]
    assert [cell.text for cell in line] == texts
    assert line[3].verdict == "failed"
    assert line[8].range == "[25.0%, 75.0%]"


def test_intervals_are_drawn_on_one_axis_hollow_where_they_hold_zero() -> None:
    records = [
        {"concept": "tv", "n": 3, "slope": 2.0, "slope_low": 1.0, "slope_high": 3.0},
        {"concept": "cup", "n": 4, "slope": 0.5, "slope_low": -0.5, "slope_high": 1.5},
        {"concept": "bed", "n": 0, "slope": None, "slope_low": None, "slope_high": None},
    ]
    table = table_view(records, "interval")
    assert [column.name for column in table["columns"]] == ["Concept", "Slope", "n", "Slope"]
    strips = [line[1].text for line in table["lines"]]
    assert ["hollow" in strip for strip in strips] == [False, True, False]
    assert [strip.count("<circle") for strip in strips] == [1, 1, 0]
    assert not table_view(records)["charts"]
    assert not table_view([{"concept": "tv", "n": 3}], "interval")["charts"]


def test_lists_of_numbers_become_distributions_on_one_axis() -> None:
    table = table_view([{"concept": "tv", "effects": [0.0, 1.0, 2.0]}, {"concept": "cup", "effects": []}])
    assert table["columns"][1].chart and "<text" in table["columns"][1].axis
    assert "tv: median 1.000" in table["lines"][0][1].text and "cup: no repeats" in table["lines"][1][1].text


def curve(name: str, heights: list[float | None]) -> list[dict[str, object]]:
    ends = [(None, None) if y is None else (y - 1, y + 1) for y in heights]
    return [
        {"concept": name, "value": float(x), "score": y, "score_low": low, "score_high": high}
        for x, (y, (low, high)) in enumerate(zip(heights, ends, strict=True))
    ]


def test_each_group_of_records_gets_a_curve_on_one_vertical_axis() -> None:
    views = curve_views(curve("age", [0, 2, 4]) + curve("<b>", [1, None, 3, 3]))
    assert [(view["name"], view["over"], view["what"]) for view in views] == [
        ("age", "Value", "Score"), ("<b>", "Value", "Score")
    ]  # fmt: skip
    assert [view["plot"].count('class="path"') for view in views] == [2, 2]
    assert [view["plot"].count("<circle") for view in views] == [3, 3]
    assert views[0]["vertical"] == views[1]["vertical"]
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', views[0]["plot"])]
    assert heights[0] > heights[1] > heights[2]
    assert math.isclose(heights[0] - heights[1], heights[1] - heights[2], rel_tol=1e-4)
    assert "age: score from .000 to 4.00" in views[0]["plot"]
    assert "<b>" not in views[1]["plot"]


def test_a_matrix_without_labels_is_numbered_and_may_have_gaps() -> None:
    view = matrix_view([[0.0, None], [math.nan, -0.6]], [], 0.05, 0.5)
    assert view["labels"] == ["1", "2"]
    first, second = (line["cells"] for line in view["lines"])
    assert [cell["text"] for cell in first + second] == [".00", "\N{EN DASH}", "\N{EN DASH}", "\N{MINUS SIGN}.60"]
    assert second[1]["kind"] == "diagonal fall beyond" and second[1]["alpha"] == "0.65"
    assert first[0]["alpha"] == ""


def test_a_matrix_of_zeros_has_no_colour() -> None:
    view = matrix_view([[0.0]], ["a"])
    assert view["lines"][0]["cells"][0]["alpha"] == "" and view["bound"] == ""
