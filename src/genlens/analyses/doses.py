"""How the target score follows the value of a number or a count."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from genlens.audit import Audit
from genlens.importance.doses import DoseCurve, dose_curve
from genlens.importance.inference import Interval
from genlens.importance.result import Analysis
from genlens.plans.doses import dose_rows
from genlens.reports.text import figure, p_value, plain

ALPHA = 0.05
TITLE = "Dose-response"
READING = (
    "Score change: mean score when every row has this value, minus that of the rows as they are; the interval is of "
    "that paired change. Only values within the range of the table are shown."
)


def doses(audit: Audit) -> Analysis | None:
    """A curve for each concept whose doses were asked for; None where none were."""
    extras = audit.plan.extras.get("doses", ())
    if not extras:
        return None
    if audit.outputs.ndim > 1:
        return Analysis("doses", TITLE, "No curves: they need one target score an image. Choose a target class.")
    curves = {}
    for states, scores in zip(extras, audit.extra("doses"), strict=True):
        rows = dose_rows(audit.table, audit.seed, scores.n_rows)
        clusters = audit.table.clusters
        curves[states.concept] = dose_curve(
            states.states[0].astype(np.float64),
            scores.scores,
            audit.reference[rows],
            float(audit.table.concept(states.concept).values.std()),
            confidence=audit.confidence,
            clusters=None if clusters is None else clusters[rows],
        )
    records = [record for name, curve in curves.items() for record in _records(name, curve, audit.log_odds)]
    message = " ".join(_sentence(name, curve) for name, curve in curves.items())
    return Analysis("doses", TITLE, message, "", records, chart="curve", reading=READING)


def _sentence(name: str, curve: DoseCurve) -> str:
    """What the curve does, in words: its slope, and whether it is a line."""
    slope, low, high = curve.slope, int(curve.score.argmin()), int(curve.score.argmax())
    per = f"{figure(slope.value, signed=True)} [{figure(slope.low, signed=True)}, {figure(slope.high, signed=True)}]"
    per += " for a standard deviation of it"
    span = f"from {_value(curve, 0)} to {_value(curve, -1)}"
    if curve.line_p_value < ALPHA:
        return (
            f"{name}: the score doesn't follow a line (p {_compared(curve.line_p_value)}); it is lowest at "
            f"{_value(curve, low)} ({figure(curve.score[low])}) and highest at {_value(curve, high)} "
            f"({figure(curve.score[high])}), and changes by {per} on average."
        )
    if not slope.low <= 0 <= slope.high:
        return f"{name}: the score {'rises' if slope.value > 0 else 'falls'} along a line {span}, by {per}."
    return f"{name}: the score shows no clear change {span}, {per}."


def _compared(value: float) -> str:
    text = plain(p_value(value))
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def _value(curve: DoseCurve, position: int) -> str:
    return f"{curve.values[position]:g}"


def _records(name: str, curve: DoseCurve, log_odds: bool) -> list[dict[str, Any]]:
    records = []
    for value, change, score, probability in zip(
        curve.values, curve.change, curve.score, curve.probability, strict=True
    ):
        record: dict[str, Any] = {"concept": name, "value": float(value), **_interval(change), "score": float(score)}
        records.append(record | ({"probability": float(probability)} if log_odds else {}))
    return records


def _interval(change: Interval) -> dict[str, float | None]:
    ends = {"score_change": change.value, "score_change_low": change.low, "score_change_high": change.high}
    return {key: value if math.isfinite(value) else None for key, value in ends.items()}
