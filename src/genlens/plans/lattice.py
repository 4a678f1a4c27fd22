"""All 2^D combinations of a few binary concepts, shown in some rows: the images that Shapley values need."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.captions import caption
from genlens.concepts import ConceptTable
from genlens.errors import UserError, check_integer
from genlens.plan import ConceptStates, Extra, PlanBuilder
from genlens.seeds import row_seed

MAX_CONCEPTS = 8


def lattice_extra(n_rows: int | None = None) -> Extra:
    """What `make_plan` needs for Shapley values: one entry whose slot k shows the concepts whose bits k has.

    Bit j of k stands for concept j of the table. `index`, `own` and `states` have n rows, those of `lattice_rows`.

    Args:
        n_rows: rows n to take, drawn by the seed; None: all.
    """
    return partial(_states, n_rows)


def check_lattice(table: ConceptTable, n_rows: int | None = None) -> None:
    """Refuse a table whose lattice of states can't be shown.

    Raises:
        UserError: more than eight concepts, one that isn't binary, or `n_rows` < 2.
    """
    if n_rows is not None:
        check_integer("shapley_rows", n_rows, 2)
    if len(table.concepts) > MAX_CONCEPTS:
        raise UserError(
            f"Shapley values need all 2^D combinations, so at most {MAX_CONCEPTS} concepts; got {len(table.concepts)}. "
            "Name fewer concepts."
        )
    for concept in table.concepts:
        if concept.kind != "binary":
            raise UserError(f"Shapley values need binary concepts; {concept.name!r} is a {concept.kind}. Leave it out.")


def lattice_rows(row_ids: Sequence[str], seed: int, n_rows: int | None = None) -> NDArray[np.int64]:
    """Rows (n,) that take part, in the table's order; they hang on the seed and the rows' ids."""
    if n_rows is None or n_rows >= len(row_ids):
        return np.arange(len(row_ids))
    order = np.argsort([row_seed(seed, row_id, state="lattice") for row_id in row_ids])
    return np.sort(order[:n_rows])


def _states(n_rows: int | None, builder: PlanBuilder) -> tuple[ConceptStates, ...]:
    table = builder.table
    check_lattice(table, n_rows)
    rows = lattice_rows(table.row_ids, builder.seed, n_rows)
    bits = np.arange(2 ** len(table.names))[:, None] >> np.arange(len(table.names)) & 1  # (S, D)
    index = np.empty((len(rows), len(bits), builder.n_draws), dtype=np.int64)
    own = table.presence()[rows] @ (1 << np.arange(len(table.names)))  # (n,)
    for i, k in np.ndindex(*index.shape[:2]):
        row, label = int(rows[i]), f"lattice {k}"
        text = builder.texts[row] if k == own[i] else caption(table, row, _overrides(table, bits[k]))
        index[i, k] = builder.images(row, text, None if k == own[i] else label)
    names = tuple(", ".join(name for name, on in zip(table.names, row, strict=True) if on) or "none" for row in bits)
    states = np.broadcast_to(np.array(names, dtype=object), index.shape[:2])
    slots = np.arange(len(bits))
    return (ConceptStates("lattice", index, slots, np.bincount(own, minlength=len(bits)), own, names, states),)


def _overrides(table: ConceptTable, bits: NDArray[np.int64]) -> dict[str, Any]:
    return dict(zip(table.names, bits.tolist(), strict=True))
