"""Which states a permutation asks of the generator that (nearly) never occur beside a row's other concepts."""

from __future__ import annotations

from typing import Any

from genlens.analyses.conditional import given_of
from genlens.audit import Audit
from genlens.importance.given import MODEL
from genlens.importance.positivity import RARE, Positivity, positivity
from genlens.importance.result import Analysis

TITLE = "Combinations that hardly occur"
OFTEN = 0.1
"""Share of permuted pictures with such a combination from which a concept is warned about."""
_READING = (
    f"share: of a permutation's pictures, those that show the concept in a state of probability below {RARE} given the "
    f"row's other concepts; states: the same share of all pairs of row and state; least: the smallest probability; "
    "rows: where it is smallest. Probabilities are those of a logistic regression, cross-fitted."
)


def positivity_of_states(audit: Audit) -> Analysis | None:
    """Look for combinations that are asked for and hardly occur; None where there is one concept only."""
    found: dict[str, tuple[Positivity, str]] = {}
    for j, states in enumerate(audit.plan.states):
        if len(states.counts) > 1 and len(audit.table.names) > 1:
            measured = positivity(given_of(audit, j, MODEL))
            rows = [f"{audit.table.row_ids[row]} ({states.strata[stratum]})" for row, stratum in measured.rows]
            found[states.concept] = measured, ", ".join(rows)
    if not found:
        return None
    order = sorted(found, key=lambda name: (-found[name][0].share, found[name][0].smallest))
    often = [name for name in order if found[name][0].share >= OFTEN]
    return Analysis(
        "positivity",
        TITLE,
        _message(order, found),
        _advice(often),
        [_record(name, *found[name]) for name in order],
        reading=_READING,
    )


def _message(order: list[str], found: dict[str, tuple[Positivity, str]]) -> str:
    first, rows = found[order[0]]
    if first.share == 0 and not rows:
        least = min(order, key=lambda name: found[name][0].smallest)
        return (
            f"No state is asked for that hardly occurs: the least probable, of {least}, has probability "
            f"{found[least][0].smallest:.3f} given the row's other concepts, {RARE} being the limit."
        )
    return (
        f"Permuting {order[0]} shows a combination of probability below {RARE} in {first.share:.1%} of the pictures; "
        f"least {first.smallest:.3f}, in {rows}."
    )


def _advice(often: list[str]) -> str:
    if not often:
        return ""
    return (
        f"What is said of {', '.join(often)} rests on pictures unlike any in the data, for the classifier and for the "
        "generator. Look at the conditional importance (--given model), or permute it with what it depends on "
        "(--group)."
    )


def _record(name: str, found: Positivity, rows: str) -> dict[str, Any]:
    return {
        "concept": name,
        "share": found.share,
        "states": found.cells,
        "least": found.smallest,
        "rows": rows,
    }
