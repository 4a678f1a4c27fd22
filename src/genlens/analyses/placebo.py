"""The noise floor of the generator, and which concepts lie above it."""

from __future__ import annotations

import math
from typing import Any

from genlens.audit import Audit
from genlens.importance.inference import Interval
from genlens.importance.placebo import NoiseFloor, noise_floor
from genlens.importance.result import Analysis
from genlens.plans.placebo import placebo_edits, placebo_rows
from genlens.reports.text import few, figure

ALPHA = 0.05
TITLE = "Placebo: the generator's noise floor"
READING = (
    "Reliance: mean absolute change of the score. Above the placebo: minus the placebo's own, with its interval over "
    "rows; q tests whether it is above 0 (Benjamini-Hochberg). The same for importance."
)


def placebo(audit: Audit) -> Analysis | None:
    """Hold every concept against a caption edit that says the same; None where no placebo was asked for."""
    if "placebo" not in audit.plan.extras:
        return None
    scores = audit.extra("placebo")
    if not scores:
        return Analysis("placebo", TITLE, "There is none: no caption of this table names two concepts to put in order.")
    rows = placebo_rows(audit.table, audit.seed, scores[0].n_rows)
    states = audit.states
    floor = noise_floor(
        audit.y, audit.reference, states, scores[0], rows, audit.scoring,
        threshold=audit.threshold, confidence=audit.confidence, clusters=audit.table.clusters,
    )  # fmt: skip
    low = [state.concept for state, q in zip(states, floor.q_value, strict=True) if not q < ALPHA]
    edit = placebo_edits(audit.table)[0]
    return Analysis(
        "placebo",
        TITLE,
        _message(edit, len(rows), floor, low, len(states)),
        _advice(low),
        _table([state.concept for state in states], floor),
        chart="interval",
        reading=READING,
    )


def _message(edit: str, n_rows: int, floor: NoiseFloor, low: list[str], n_concepts: int) -> str:
    text = f"{edit[0].upper()}{edit[1:]} changes nothing that a caption says; in {n_rows} rows it moves the score by "
    text += f"{_bracketed(floor.reliance)} on average and {floor.flipped.value:.1%} of the decisions"
    if math.isfinite(floor.importance.value):
        text += f" (importance {_bracketed(floor.importance)})"
    above = "all" if not low else f"{n_concepts - len(low)} of {n_concepts}"
    return f"{text}. Reliance on {above} concepts is above that floor{f'; not on {few(low)}' if low else ''}."


def _advice(low: list[str]) -> str:
    if not low:
        return ""
    return (
        f"What the score does when {few(low)} {'is' if len(low) == 1 else 'are'} switched can't be told from the "
        "generator's own noise. Take more noise draws, or a generator that heeds captions more closely."
    )


def _bracketed(value: Interval) -> str:
    return f"{figure(value.value)} [{figure(value.low)}, {figure(value.high)}]"


def _table(names: list[str], floor: NoiseFloor) -> list[dict[str, Any]]:
    return [
        {
            "concept": name,
            "reliance": floor.reliance_above[j].value + floor.reliance.value,
            **_interval("reliance_above", floor.reliance_above[j]),
            "q_value": float(floor.q_value[j]),
            **_interval("importance_above", floor.importance_above[j]),
            "above_the_floor": bool(floor.q_value[j] < ALPHA),
        }
        for j, name in enumerate(names)
    ] + [
        {
            "concept": "placebo",
            "reliance": floor.reliance.value,
            "reliance_above": None,
            "reliance_above_low": None,
            "reliance_above_high": None,
            "q_value": None,
            "importance_above": None,
            "importance_above_low": None,
            "importance_above_high": None,
            "above_the_floor": "",
        }
    ]


def _interval(name: str, value: Interval) -> dict[str, float]:
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
