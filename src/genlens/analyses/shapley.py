"""Shapley values of the concepts from the lattice of all their combinations."""

from __future__ import annotations

from typing import Any

import numpy as np

from genlens.audit import Audit
from genlens.importance.inference import Interval
from genlens.importance.result import Analysis
from genlens.importance.shapley import Shapley, shapley
from genlens.plans.lattice import lattice_rows

TITLE = "Shapley values"
_READING = (
    "shapley: the concept's share of the fall of the score when all concepts are permuted together, with its interval; "
    "alone: its fall when only it is permuted, on the same rows; last: when it is permuted after all others."
)
_GUIDE = (
    "Shapley interaction of two concepts: above 0 they are worth more together than one by one, below 0 each can do "
    "without the other."
)


def shapley_analysis(audit: Audit) -> Analysis | None:
    """Share the fall of the score out among the concepts; None where the lattice wasn't asked for."""
    lattice = audit.extra("lattice")
    if not lattice:
        return None
    names, n_rows = audit.table.names, lattice[0].n_rows
    rows = lattice_rows(audit.table.row_ids, audit.seed, n_rows)
    y = audit.scoring.codes(audit.y, audit.reference[:, 0])[rows]
    if len(np.unique(y)) < 2:
        message = f"Not computed: the {n_rows} rows have one label. Take more (--shapley-rows)."
        return Analysis("shapley", TITLE, message)
    clusters = None if audit.table.clusters is None else audit.table.clusters[rows]
    found = shapley(y, lattice[0], audit.scoring, audit.confidence, clusters)
    order = sorted(range(len(names)), key=lambda j: -found.values[j].value)
    return Analysis(
        "shapley",
        TITLE,
        _message(names, order, found, n_rows),
        "",
        [_record(names[j], j, found) for j in order],
        found.interactions.tolist(),
        list(names),
        chart="interval",
        reading=_READING,
        guide=_GUIDE,
    )


def _message(names: tuple[str, ...], order: list[int], found: Shapley, n_rows: int) -> str:
    first, total = found.values[order[0]], found.total
    parts = [
        f"Of the fall of {_bounds(total)} when all concepts are permuted together ({n_rows:,} rows), {names[order[0]]} "
        f"has {_bounds(first)}."
    ]
    if len(names) > 1:
        i, j = divmod(int(np.nanargmax(np.abs(found.interactions))), len(names))
        parts.append(f"Strongest interaction: {names[i]} and {names[j]}, {found.interactions[i, j]:+.3f}.")
    return " ".join(parts)


def _bounds(found: Interval) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _record(name: str, j: int, found: Shapley) -> dict[str, Any]:
    value, sets = found.values[j], found.sets
    return {
        "concept": name,
        "shapley": value.value,
        "shapley_low": value.low,
        "shapley_high": value.high,
        "alone": float(sets[-1] - sets[len(sets) - 1 - (1 << j)]),
        "last": float(sets[1 << j] - sets[0]),
    }
