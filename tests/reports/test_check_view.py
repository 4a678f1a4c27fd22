"""Checks as the template shows them."""

from __future__ import annotations

from genlens.importance.result import CheckResult
from genlens.reports.check_view import check_view


def make_check(**changes: object) -> CheckResult:
    fields = {"code": "independent-permutation", "title": "Independent permutation", "verdict": "failed"}
    fields |= {"value": 0.31, "threshold": 0.05, "message": "m", "remedy": "r"}
    return CheckResult(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_figure_is_shown_with_its_threshold() -> None:
    assert check_view(make_check())["figure"] == "figure .310 (threshold .050)"
    assert check_view(make_check(threshold=None))["figure"] == "figure .310"
    assert check_view(make_check(value=None))["figure"] == ""


def test_the_matrix_has_the_checks_threshold_and_a_scale_of_at_least_a_half() -> None:
    matrix = check_view(make_check(matrix=[[-0.25, 0.0], [0.0, 0.01]], labels=["a", "b"]))["matrix"]
    (first, _), (_, last) = (line["cells"] for line in matrix["lines"])
    assert (first["alpha"], first["kind"]) == ("0.35", "diagonal fall beyond")  # .06 + .59 * .25 / .5
    assert last["kind"] == "diagonal rise"
    assert matrix["bound"] == ".05"
