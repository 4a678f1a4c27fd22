"""Effects by row: how they are spread, whose decision changes, and which concepts go together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.audit import Audit
from genlens.importance.inference import Interval, interval
from genlens.importance.interactions import Interactions, spread_test
from genlens.importance.interactions import interactions as interactions_of
from genlens.importance.result import Analysis
from genlens.importance.states import StateScores
from genlens.importance.swaps import benjamini_hochberg
from genlens.reports.text import few, figure

ALPHA = 0.05
MATERIAL = 0.1
"""Differences of effects below this share of the effect itself are called small, however certain they are."""
N_QUANTILES = 101
"""Quantiles that stand for a distribution in the report."""
MOST_PAIRS = 10
"""Pairs in the table of interactions."""
_READING = (
    "Effect: score with the concept minus without it, in the row's own context. Share flipped: rows whose decision it "
    "changes. q: whether rows differ in their effect beyond noise, "
)
_SPREAD = {
    True: "from one noise draw by whether the effect depends on the row's other concepts.",
    False: "from what a row's noise draws share.",
}
_GUIDE = (
    "Row: the concept switched in the captions. Column: the concept that rows have or lack. Figure: how much larger "
    "the effect is in rows that have it."
)
_PAIRS = (
    "Interaction: mean of both directions with its interval; q over all pairs. One concept of a pair is switched, the "
    "other is as the rows have it, other concepts held fixed by least squares: an association in the latter."
)


def effects(audit: Audit) -> Analysis | None:
    """The distribution of each concept's effects over rows; None where no concept is simply present or absent."""
    states = _switched(audit)
    if not states:
        return None
    covariates, present = _covariates(audit), audit.table.presence().astype(np.float64)
    changes = {state.concept: _changes(state) for state in states}  # (N, R)
    p_values = []
    for name, change in changes.items():
        k = audit.table.names.index(name)
        rest = np.concatenate([np.delete(present, k, axis=1), covariates], axis=1)
        p_values.append(spread_test(change, rest, audit.table.clusters))
    q_values = benjamini_hochberg(np.array(p_values))
    flips = {state.concept: _flipped(state, audit.threshold) for state in states}
    records = [
        _record(audit, name, changes[name].mean(axis=1), flips[name], float(q))
        for name, q in zip(changes, q_values, strict=True)
    ]
    reading = _READING + _SPREAD[audit.reference.shape[1] == 1]
    return Analysis("effects", "Effects by row", _message(records), "", records, reading=reading)


def interactions(audit: Audit) -> Analysis | None:
    """How the effect of one concept depends on another; None where fewer than two can be switched."""
    states = _switched(audit)
    if len(states) < 2:
        return None
    names = [state.concept for state in states]
    kept = [audit.table.names.index(name) for name in names]
    changes = np.stack([_changes(state).mean(axis=1) for state in states])  # (D, N)
    found = interactions_of(
        changes,
        audit.table.presence()[:, kept],
        _covariates(audit),
        confidence=audit.confidence,
        clusters=audit.table.clusters,
    )
    size = np.abs([pair.value for pair in found.pair])
    order = [int(k) for k in np.argsort(-np.nan_to_num(size)) if np.isfinite(size[k])][:MOST_PAIRS]
    return Analysis(
        "interactions",
        "Interactions of concepts",
        _pairs_message(found, names, order, np.abs(changes.mean(axis=1))),
        "",
        [_pair_record(found, names, k) for k in order],
        found.directed.tolist(),
        names,
        chart="interval",
        reading=_PAIRS,
        guide=_GUIDE,
    )


def _switched(audit: Audit) -> list[StateScores]:
    """States of the concepts that are present or absent, for a target of one score."""
    return [] if audit.outputs.ndim > 1 else [state for state in audit.states if len(state.counts) == 2]


def _covariates(audit: Audit) -> NDArray[np.float64]:
    """(N, K) standardised numbers and indicators of categories: what presence does not say of a row."""
    columns: list[NDArray[np.float64]] = []
    for concept in audit.table.concepts:
        if concept.kind == "number":
            columns.append((concept.values - concept.values.mean()) / concept.values.std())
        elif concept.kind == "category":
            columns += [(concept.values == value).astype(np.float64) for value in np.unique(concept.values)[1:]]
    return np.stack(columns, axis=1) if columns else np.empty((audit.table.n_rows, 0))


def _changes(state: StateScores) -> NDArray[np.float64]:
    """(N, R) score with the concept minus without it, donors averaged."""
    absent, present = (state.scores[:, state.stratum == side].mean(axis=1) for side in (0, 1))
    return np.asarray(present - absent)


def _flipped(state: StateScores, threshold: float) -> NDArray[np.float64]:
    """(N,) share of a row's donors and draws whose decision the concept changes."""
    decided = state.scores > threshold  # (N, S, R)
    absent, present = decided[:, state.stratum == 0], decided[:, state.stratum == 1]
    return np.asarray((present[:, :, None] != absent[:, None]).mean(axis=(1, 2, 3)))


def _record(
    audit: Audit, name: str, change: NDArray[np.float64], flipped: NDArray[np.float64], q_value: float
) -> dict[str, Any]:
    quantiles = np.quantile(change, np.linspace(0, 1, N_QUANTILES))
    farthest = int(np.abs(change - np.median(change)).argmax())
    return {
        "concept": name,
        "effects_by_row": quantiles.tolist(),
        **_interval("mean_effect", _mean(change, audit)),
        "lowest_5%": float(quantiles[5]),
        "highest_5%": float(quantiles[95]),
        **_interval("share_flipped", _mean(flipped, audit)),
        "q_value": q_value,
        "farthest_row": f"{audit.table.row_ids[farthest]} ({figure(change[farthest], 2, signed=True)})",
    }


def _mean(values: NDArray[np.float64], audit: Audit) -> Interval:
    return interval(float(values.mean()), values - values.mean(), audit.confidence, audit.table.clusters)


def _interval(name: str, value: Interval) -> dict[str, float]:
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def _message(records: list[dict[str, Any]]) -> str:
    top = max(records, key=lambda record: record["share_flipped"])
    low, high = (figure(top[key], 2, signed=True) for key in ("lowest_5%", "highest_5%"))
    text = (
        f"Switching {top['concept']} changes most decisions, in {top['share_flipped']:.1%} of the rows; its effect on "
        f"the score lies between {low} and {high} in 90% of them. "
    )
    differ = [record["concept"] for record in records if record["q_value"] < ALPHA]
    much = [record["concept"] for record in records if record["concept"] in differ and _spread(record) >= MATERIAL]
    if much:
        return f"{text}Rows differ in the effect of {few(much)} (q < {figure(ALPHA, 2)})."
    small = f" by more than {MATERIAL:.0%} of it" if differ else ""
    return f"{text}No concept's effect clearly differs between rows{small}."


def _spread(record: dict[str, Any]) -> float:
    """How far apart the middle 90% of a concept's effects lie, as a share of the mean effect."""
    return float((record["highest_5%"] - record["lowest_5%"]) / max(abs(record["mean_effect"]), 1e-12))


def _pairs_message(found: Interactions, names: list[str], order: list[int], sizes: NDArray[np.float64]) -> str:
    """The strongest of the pairs that interact clearly, and whether that is much beside the effects' `sizes` (D,)."""
    clear = [k for k in order if found.q_value[k] < ALPHA]
    if not clear:
        return f"No pair of concepts clearly interacts, of {len(found.pair)} pairs."
    first, second, pair = found.first[clear[0]], found.second[clear[0]], found.pair[clear[0]]
    bracket = f"{figure(pair.value, signed=True)} [{figure(pair.low, signed=True)}, {figure(pair.high, signed=True)}]"
    n_clear = f"{int((found.q_value < ALPHA).sum())} of {len(found.pair)} pairs"
    share = abs(pair.value) / max(sizes[first], sizes[second], 1e-12)
    if share < MATERIAL:
        return (
            f"{n_clear} interact clearly (q < {figure(ALPHA, 2)}) but little: at most by {bracket} ({names[first]} and "
            f"{names[second]}), {share:.1%} of the larger effect."
        )
    return (
        f"The effect of {names[first]} changes by {bracket} in rows with {names[second]}, and vice versa, {share:.0%} "
        f"of the larger effect; {n_clear} interact clearly (q < {figure(ALPHA, 2)})."
    )


def _pair_record(found: Interactions, names: list[str], k: int) -> dict[str, Any]:
    pair = f"{names[found.first[k]]} × {names[found.second[k]]}"
    return {"pair": pair, **_interval("interaction", found.pair[k]), "q_value": float(found.q_value[k])}
