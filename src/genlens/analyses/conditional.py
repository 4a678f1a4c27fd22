"""Importance of each concept permuted given the others, beside its importance in the ranking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from genlens.audit import Audit
from genlens.importance.conditional import conditional_importance
from genlens.importance.exact import expected_importance
from genlens.importance.given import (
    BOOSTING,
    MODEL,
    OTHERS,
    Given,
    folds_of,
    given_columns,
    given_model,
    given_strata,
    still_rows,
)
from genlens.importance.inference import Interval
from genlens.importance.result import Analysis
from genlens.importance.swaps import benjamini_hochberg, swap_p_value
from genlens.seeds import row_seed

TITLE = "Conditional importance"
N_SWAPS = 999
MANY_STILL = 0.5
"""Share of rows that can't move from which a model is advised."""
_READING = (
    "importance: fall of the score when the concept is permuted given the others, with its interval; p and q: of "
    "'given the others, the model doesn't rely on it'; unconditional: as in the ranking; can't move: share of rows "
    "whose stratum has one value of the concept, so that they keep it."
)


@dataclass(frozen=True)
class _Found:
    concept: str
    interval: Interval
    unconditional: float
    p_value: float
    still: float


def conditional(audit: Audit) -> Analysis | None:
    """Permute each concept given the others; None where `given` wasn't asked for."""
    if audit.given is None:
        return None
    found, left_out = [], []
    for j, state in enumerate(audit.states):
        others = given_columns(audit.given, state.concept, audit.table.concepts)
        if len(state.counts) < 2 or not others:
            left_out.append(state.concept)
        else:
            found.append(_measure(audit, j, given_of(audit, j)))
    if not found:
        return Analysis("conditional", TITLE, "Not computed: every concept is a number, or the only one that is given.")
    q_values = benjamini_hochberg(np.array([item.p_value for item in found]))
    rows = sorted(zip(found, q_values, strict=True), key=lambda pair: -pair[0].interval.value)
    return Analysis(
        "conditional",
        TITLE,
        _message(audit, [item for item, _ in rows], left_out),
        _advice([item for item, _ in rows]),
        [_record(item, float(q)) for item, q in rows],
        chart="interval",
        reading=_READING,
    )


def given_of(audit: Audit, j: int, model: Any = None) -> Given:
    """Probabilities of the states of concept j given others.

    Args:
        audit: the run.
        j: number of the concept; it has at least two strata, and there is another concept to go by.
        model: a model to use in place of `audit.given`.
    """
    states, given = audit.plan.states[j], audit.given if model is None else model
    others = given_columns(given, states.concept, audit.table.concepts)
    if given in (MODEL, BOOSTING) or hasattr(given, "predict_proba"):
        keys = np.array([row_seed(audit.seed, row_id, state="fold") for row_id in audit.table.row_ids])
        return given_model(states.own, len(states.counts), others, folds_of(keys, audit.table.clusters), given)
    return given_strata(states.own, len(states.counts), others)


def _measure(audit: Audit, j: int, given: Given) -> _Found:
    state, clusters = audit.states[j], audit.table.clusters
    y = audit.scoring.codes(audit.y, audit.reference[:, 0])
    interval = conditional_importance(y, audit.reference, state, given, audit.scoring, audit.confidence, clusters)
    weights = state.slot_weights(given.probabilities)
    rng = np.random.default_rng([audit.seed, *f"given {state.concept}".encode()])
    p_value = swap_p_value(y, audit.reference, state, audit.scoring, N_SWAPS, rng, weights)
    plain = expected_importance(y, audit.reference, state, audit.scoring)
    return _Found(state.concept, interval, plain, p_value, float(still_rows(given).mean()))


def _how(audit: Audit) -> str:
    if isinstance(audit.given, str):
        texts = {
            MODEL: "given the other concepts (logistic regression)",
            BOOSTING: "given the other concepts (gradient boosting)",
            OTHERS: "within rows that agree on all other concepts",
        }
        return texts[audit.given]
    if hasattr(audit.given, "predict_proba"):
        return f"given the other concepts ({type(audit.given).__name__})"
    return f"within rows that agree on {', '.join(audit.given or ())}"


def _message(audit: Audit, found: list[_Found], left_out: list[str]) -> str:
    first, far = found[0], max(found, key=lambda item: abs(item.interval.value - item.unconditional))
    parts = [
        f"Permuted {_how(audit)}, {first.concept} comes first with {first.interval.value:.3f} "
        f"[{first.interval.low:.3f}, {first.interval.high:.3f}].",
        f"Farthest from the ranking is {far.concept}: {far.interval.value:.3f} given the others, "
        f"{far.unconditional:.3f} without.",
    ]
    still = max(found, key=lambda item: item.still)
    if still.still > 0:
        parts.append(f"Rows that can't move: up to {still.still:.0%} ({still.concept}).")
    if left_out:
        parts.append(f"Left out, since numbers are carried from any row or nothing is given: {', '.join(left_out)}.")
    return " ".join(parts)


def _advice(found: list[_Found]) -> str:
    stuck = [item.concept for item in found if item.still >= MANY_STILL]
    if not stuck:
        return ""
    return (
        f"Half of the rows or more can't move for {', '.join(stuck)}, which makes these figures small whatever the "
        "model relies on. Give fewer concepts, or `--given model`."
    )


def _record(item: _Found, q_value: float) -> dict[str, Any]:
    return {
        "concept": item.concept,
        "importance": item.interval.value,
        "importance_low": item.interval.low,
        "importance_high": item.interval.high,
        "unconditional": item.unconditional,
        "p": item.p_value,
        "q": q_value,
        "can't move": item.still,
    }
