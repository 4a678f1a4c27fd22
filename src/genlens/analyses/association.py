"""Which concepts hang together, and with the label: where permuting one alone is hard to read."""

from __future__ import annotations

import numpy as np

from genlens.audit import Audit
from genlens.columns import Concept
from genlens.importance.association import Association, Column, associations
from genlens.importance.given import codes
from genlens.importance.result import Analysis

TITLE = "Association of concepts"
STRONG = 0.5
"""Strength from which a pair of concepts is warned about."""
_READING = (
    "strength: Cramer's V of two lists of values, correlation ratio of a list and a number, absolute correlation of "
    "two numbers; 0: none, 1: one decides the other; with its interval over rows."
)
_GUIDE = "Strength of the association of two concepts, and of each with the label: 0 none, 1 one decides the other."


def association(audit: Audit) -> Analysis | None:
    """Measure the association of all pairs of concepts, and of each with the label."""
    label = _label(audit)
    columns = [*(_column(concept) for concept in audit.table.concepts), label]
    found = associations(columns, seed=audit.seed, confidence=audit.confidence, clusters=audit.table.clusters)
    pairs = [item for item in found if label.name not in (item.first, item.second)]
    with_label = [item for item in found if item not in pairs]
    strong = [item for item in pairs if item.strength.value >= STRONG]
    names = [column.name for column in columns]
    matrix = np.eye(len(names))
    for item in found:
        i, j = names.index(item.first), names.index(item.second)
        matrix[i, j] = matrix[j, i] = item.strength.value
    return Analysis(
        "association",
        TITLE,
        _message(pairs, strong, with_label[0]),
        _advice(strong, audit),
        [_record(item) for item in [*pairs, *with_label]],
        matrix.tolist(),
        names,
        chart="interval",
        reading=_READING,
        guide=_GUIDE,
    )


def _column(concept: Concept) -> Column:
    if concept.kind in ("number", "count"):
        return Column(concept.name, concept.values.astype(np.float64), False)
    return Column(concept.name, codes(concept)[0], True)


def _label(audit: Audit) -> Column:
    name = audit.table.label_name
    name = f"{name} (label)" if name in audit.table.names else name
    if audit.table.labels is not None and audit.table.task == "regression":
        return Column(name, np.asarray(audit.y, dtype=np.float64), False)
    return Column(name, np.unique(audit.y, return_inverse=True)[1].ravel(), True)


def _message(pairs: list[Association], strong: list[Association], label: Association) -> str:
    nearest = f"With the label, {label.first} is associated most: {_figure(label)}."
    if not pairs:
        return nearest
    first = pairs[0]
    counted = f" Pairs of {STRONG} or more: {len(strong)} of {len(pairs)}." if strong else ""
    return f"The strongest pair is {first.first} and {first.second}: {_figure(first)}.{counted} {nearest}"


def _figure(item: Association) -> str:
    found = item.strength
    return f"{item.measure} {found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _advice(strong: list[Association], audit: Audit) -> str:
    if not strong:
        return ""
    first, second = strong[0].first, strong[0].second
    together = any({first, second} <= set(members) for members in audit.groups.values())
    asked = [name for name, done in (("their group", together), ("the conditional importance", audit.given)) if done]
    remedy = (
        f"Read {' and '.join(asked)} instead."
        if asked
        else f'Permute the two together (--group "name={first},{second}") or given each other (--given model).'
    )
    alone = f"Permuting {first} alone makes pictures that the data hardly have, and leaves {second} to stand in for it."
    return f"{alone} {remedy}"


def _record(item: Association) -> dict[str, object]:
    found = item.strength
    return {
        "first": item.first,
        "second": item.second,
        "strength": found.value,
        "strength_low": found.low,
        "strength_high": found.high,
        "measure": item.measure,
    }
