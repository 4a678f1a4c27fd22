"""The checks as the HTML template shows them: a line, a table of records, a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genlens.reports.record_view import matrix_view, table_view
from genlens.reports.text import figure, meaning

if TYPE_CHECKING:
    from genlens.importance.result import CheckResult

_READING = {
    "effective-generation": "Difference: real minus generated, with its interval over rows.",
    "independent-permutation": "Its own change: of its AUROC against the permuted values, which should not fall. "
    "Flips shown: how many of the flips in captions the concept classifier sees in the images; expected: how many it "
    "would see of perfect ones, its own errors counted. Others stayed: how many detections of other concepts a flip "
    "leaves as they were.",
}
_SCALE_OF_MATRIX = 0.5
"""Change of AUROC that gets the strongest colour of the heat map (or the largest one, if that is larger)."""
_GUIDE = (
    "Row: the concept permuted in the captions. Column: the concept looked for in the images. "
    "Figure: change of its AUROC."
)
_LEGEND = ("AUROC falls", "stays", "rises", "the concept itself")


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
        "matrix": matrix_view(check.matrix, check.labels, check.threshold, _SCALE_OF_MATRIX) if check.matrix else None,
        "curves": [],
        "guide": _GUIDE,
        "legend": _LEGEND,
        "table": table_view(check.table) if check.table else None,
        "reading": _READING.get(check.code, "") if check.table else "",
    }


def _figure(check: CheckResult) -> str:
    if check.value is None:
        return ""
    bound = f" (threshold {figure(check.threshold)})" if check.threshold is not None else ""
    return f"figure {figure(check.value)}{bound}"
