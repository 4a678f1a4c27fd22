"""Tables and heat maps of checks."""

from __future__ import annotations

import math

from genlens.importance.result import CheckResult
from genlens.reports.check_view import check_view, matrix_view, table_view


def make_check(**changes: object) -> CheckResult:
    fields = {"code": "independent-permutation", "title": "Independent permutation", "verdict": "failed"}
    fields |= {"value": 0.31, "threshold": 0.05, "message": "m", "remedy": "r"}
    return CheckResult(**{**fields, **changes})  # type: ignore[arg-type]


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
    record = {
        "a": "x",
        "n": 1200,
        "ok": True,
        "verdict": "failed",
        "p_value": 0.0001,
        "none": None,
        "flips_shown": 0.981,
    }
    (line,) = table_view([record])["lines"]
    assert [cell.text for cell in line] == ["x", "1,200", "yes", "", "<\u2009.001", "\N{EN DASH}", "98.1%"]
    assert line[3].verdict == "failed"


def test_matrix_without_labels_is_numbered_and_may_have_gaps() -> None:
    view = matrix_view(make_check(matrix=[[0.0, None], [math.nan, -0.6]]))
    assert view["labels"] == ["1", "2"]
    first, second = (line["cells"] for line in view["lines"])
    assert [cell["text"] for cell in first + second] == [".00", "\N{EN DASH}", "\N{EN DASH}", "\N{MINUS SIGN}.60"]
    assert second[1]["kind"] == "diagonal fall beyond" and second[1]["alpha"] == "0.65"
    assert first[0]["alpha"] == ""


def test_the_figure_is_shown_with_its_threshold() -> None:
    assert check_view(make_check())["figure"] == "figure .310 (threshold .050)"
    assert check_view(make_check(threshold=None))["figure"] == "figure .310"
    assert check_view(make_check(value=None))["figure"] == ""
