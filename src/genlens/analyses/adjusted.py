"""Adjusted importance beside the unadjusted: what the concepts in the images are worth, where captions reach them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from genlens.audit import Audit
from genlens.importance.adjusted import AdjustedResult, adjusted_importance
from genlens.importance.adjusted_model import MAX_DOUBT
from genlens.importance.exact import expected_importance, has_closed_form
from genlens.importance.result import Analysis
from genlens.importance.states import StateScores

N_RESAMPLES = 300
TITLE = "Adjusted importance"
_READING = (
    "importance: fall of the score on the real images when the concept in the image is permuted, with its interval; "
    "unadjusted: that of permuting the caption, as in the ranking; reliance: mean change of the target's score; shown: "
    "how far the flip of the caption moves the concept in the image (1: always, 0: never); F: strength of the flips as "
    "instruments, given the other concepts."
)
_GUIDE = (
    "How far the flip of a row's concept in the caption moves a column's concept in the image, by the concept "
    "classifier: 1 on the diagonal and 0 elsewhere where captions are obeyed."
)


def adjusted(audit: Audit) -> Analysis | None:
    """Compare adjusted and unadjusted importance; None without real images or without a concept classifier."""
    seen = audit.concept_states
    if audit.real is None or audit.real_concepts is None or seen is None:
        return None
    states, names = audit.states, audit.table.names
    kept = [j for j, state in enumerate(states) if len(state.counts) == 2]
    reason = _not_possible(audit, kept)
    if reason:
        return Analysis("adjusted", TITLE, f"Not adjusted: {reason}")
    result = adjusted_importance(
        audit.y,
        audit.real,
        audit.real_concepts[:, kept],
        [states[j] for j in kept],
        [_only(seen[j], kept) for j in kept],
        audit.scoring,
        clusters=audit.table.clusters,
        confidence=audit.confidence,
        n_resamples=N_RESAMPLES,
        seed=audit.seed,
    )
    plain = np.array([expected_importance(audit.y, audit.reference, states[j], audit.scoring) for j in kept])
    left_out = [name for j, name in enumerate(names) if j not in kept]
    return Analysis(
        "adjusted",
        TITLE,
        " ".join(filter(None, [_comparison(result, plain), _in_doubt(result), _withheld(result), _left_out(left_out)])),
        _advice(result, plain),
        _records(result, plain),
        result.first_stage.tolist(),
        list(result.concepts),
        chart="interval",
        reading=_READING,
        guide=_GUIDE,
    )


def _not_possible(audit: Audit, kept: Sequence[int]) -> str:
    if not has_closed_form(audit.scoring):
        return f"the score {audit.scoring.name!r} has no closed form. Use e.g. roc_auc."
    if audit.outputs.ndim > 1:
        return "it needs one target score an image. Choose a target class."
    return "" if kept else "no concept is one that is present or absent."


def _only(state: StateScores, kept: Sequence[int]) -> StateScores:
    """The concept classifier's outputs of the concepts that are adjusted."""
    return StateScores(state.concept, state.scores[..., list(kept)], state.stratum, state.counts, state.own)


def _order(values: np.ndarray) -> list[int]:
    return [int(j) for j in np.argsort(-values, kind="stable") if np.isfinite(values[j])]


def _comparison(result: AdjustedResult, plain: np.ndarray) -> str:
    """Whether both rankings agree, and which importances clearly don't."""
    order = _order(result.importance)
    if not order:
        return "No concept's importance can be adjusted."
    unadjusted = _order(np.where(np.isfinite(result.importance), plain, np.nan))
    if order == unadjusted:
        first = f"Both rankings agree: adjusted as unadjusted, {result.concepts[order[0]]} comes first."
    else:
        moves = {j: unadjusted.index(j) - order.index(j) for j in order}
        far = max(order, key=lambda j: abs(moves[j]))
        first = (
            f"The rankings differ: {result.concepts[far]} is number {order.index(far) + 1} of {len(order)} adjusted, "
            f"number {unadjusted.index(far) + 1} unadjusted."
        )
    outside = _outside(result, plain)
    if result.doubt > MAX_DOUBT:
        return first
    if not outside:
        return f"{first} Every unadjusted importance lies in its adjusted interval."
    j = max(outside, key=lambda k: abs(plain[k] - result.importance[k]))
    low, high = result.ci[j]
    return (
        f"{first} Unadjusted importances outside the adjusted interval: {len(outside)} of {len(order)}, farthest that "
        f"of {result.concepts[j]}, {plain[j]:.3f} against {result.importance[j]:.3f} [{low:.3f}, {high:.3f}]."
    )


def _in_doubt(result: AdjustedResult) -> str:
    if not result.doubt > MAX_DOUBT:
        return ""
    return (
        f"No intervals: the concept classifier is in doubt about {result.doubt:.0%} of what it sees in the generated "
        "images, so that they aren't read as real ones are, and no interval would hold the error of that."
    )


def _outside(result: AdjustedResult, plain: np.ndarray) -> list[int]:
    return [j for j, (low, high) in enumerate(result.ci) if plain[j] < low or plain[j] > high]


def _withheld(result: AdjustedResult) -> str:
    held = [f"{name} ({reason})" for name, reason in zip(result.concepts, result.withheld, strict=True) if reason]
    return f"Withheld: {'; '.join(held)}." if held else ""


def _left_out(names: Sequence[str]) -> str:
    return f"Left out, since they aren't simply present or absent: {', '.join(names)}." if names else ""


def _advice(result: AdjustedResult, plain: np.ndarray) -> str:
    advice = []
    if _outside(result, plain):
        advice.append(
            "The generator doesn't always draw what the captions say, and the ranking carries that; the adjusted "
            "figures don't, as long as the concept classifier sees in generated images what it sees in real ones."
        )
    if result.doubt > MAX_DOUBT:
        advice.append("Images are half-drawn: train the generator further before relying on either ranking.")
    if any(result.withheld):
        advice.append("For the concepts withheld train the generator further on the captions, or take more rows.")
    return " ".join(advice)


def _records(result: AdjustedResult, plain: np.ndarray) -> list[dict[str, Any]]:
    """The table, most important first, withheld concepts last."""
    order = _order(result.importance)
    rows = [*order, *(j for j in range(len(plain)) if j not in order)]
    return [
        {
            "concept": result.concepts[j],
            "importance": float(result.importance[j]),
            "importance_low": float(result.ci[j, 0]),
            "importance_high": float(result.ci[j, 1]),
            "unadjusted": float(plain[j]),
            "reliance": float(result.reliance[j]),
            "reliance_low": float(result.reliance_ci[j, 0]),
            "reliance_high": float(result.reliance_ci[j, 1]),
            "shown": float(result.first_stage[j, j]),
            "F": float(result.f_statistic[j]),
            "withheld": result.withheld[j],
        }
        for j in rows
    ]
