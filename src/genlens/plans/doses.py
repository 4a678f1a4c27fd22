"""Doses: a number or a count set to each value of a grid in every row, all else in the caption as it is.

A grid holds values that the table has, or lies within their range: beyond it neither the generator nor the target model
has anything to go by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from genlens.captions import caption, plain
from genlens.columns import Concept
from genlens.concepts import ConceptTable
from genlens.errors import UserError, check_integer
from genlens.plan import ConceptStates, Extra, PlanBuilder
from genlens.plans.rows import drawn_rows

Doses: TypeAlias = int | Mapping[str, int | Sequence[float]]
"""How many values every number and count gets, or for each concept named how many or which."""


def doses_extra(doses: Doses, n_rows: int | None = None) -> Extra:
    """What `make_plan` needs for dose-response curves: one entry a concept, a slot for each value of its grid.

    Its rows are those of `dose_rows`; `index` and `states` have n rows.

    Args:
        doses: see `dose_grids`.
        n_rows: rows n to take, drawn by the seed; None: all.
    """
    return partial(_all_states, doses, n_rows)


def dose_rows(table: ConceptTable, seed: int, n_rows: int | None = None) -> NDArray[np.int64]:
    """Rows (n,) whose doses are rendered, in the table's order."""
    return drawn_rows(table.row_ids, seed, "doses", n_rows)


def dose_grids(table: ConceptTable, doses: Doses) -> dict[str, NDArray[np.float64]]:
    """The values of each concept, in ascending order.

    Args:
        table: the rows.
        doses: K, the quantiles (k + 1/2) / K of every number and count (as many as differ); or for each concept named K
            or its values.

    Returns:
        Name -> values (S,), S >= 2.

    Raises:
        UserError: there is no number and no count; a concept is unknown or of another kind, or its values lie outside
            of what the table has, aren't whole numbers for a count, or are fewer than two.
    """
    if isinstance(doses, Mapping):
        return {name: _grid(table.concept(name), wanted) for name, wanted in doses.items()}
    able = [concept for concept in table.concepts if concept.kind in ("number", "count")]
    if not able:
        raise UserError("`doses` needs a concept that is a number or a count; this table has none. Leave it out.")
    return {concept.name: _grid(concept, doses) for concept in able}


def _grid(concept: Concept, wanted: int | Sequence[float]) -> NDArray[np.float64]:
    if concept.kind not in ("number", "count"):
        raise UserError(f"`doses` needs a number or a count; {concept.name!r} is a {concept.kind}. Leave it out.")
    values = concept.values.astype(np.float64)
    if isinstance(wanted, Sequence):
        grid = np.unique(np.array(wanted, dtype=np.float64))
        _check_values(concept, grid, values)
        return grid
    n_values = check_integer("doses", wanted, 2)
    return np.unique(np.quantile(values, (np.arange(n_values) + 0.5) / n_values, method="inverted_cdf"))


def _check_values(concept: Concept, grid: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    low, high = plain(values.min()), plain(values.max())
    outside = [plain(value) for value in grid if not values.min() <= value <= values.max()]
    if outside:
        raise UserError(
            f"`doses` of {concept.name!r} must lie within what the table has, {low} to {high}; got {outside[0]}."
        )
    if len(grid) < 2:
        raise UserError(f"`doses` of {concept.name!r} must be two values or more; got {len(grid)}.")
    if concept.kind == "count" and (grid != np.round(grid)).any():
        raise UserError(f"`doses` of {concept.name!r} must be whole numbers, since it is a count; got {grid.tolist()}.")


def _all_states(doses: Doses, n_rows: int | None, builder: PlanBuilder) -> tuple[ConceptStates, ...]:
    grids = dose_grids(builder.table, doses)
    rows = dose_rows(builder.table, builder.seed, n_rows)
    return tuple(_states(builder, builder.table.concept(name), grid, rows) for name, grid in grids.items())


def _states(
    builder: PlanBuilder, concept: Concept, grid: NDArray[np.float64], rows: NDArray[np.int64]
) -> ConceptStates:
    whole = concept.kind == "count"
    values = [int(value) if whole else float(value) for value in grid]
    index = np.empty((len(rows), len(values), builder.n_draws), dtype=np.int64)
    for i, row in enumerate(rows.tolist()):
        for slot, value in enumerate(values):
            own = value == concept.values[row]
            text = builder.texts[row] if own else caption(builder.table, row, {concept.name: value})
            index[i, slot] = builder.images(row, text, f"{concept.name}={plain(value)}")
    own = np.zeros(len(rows), dtype=np.int64)
    states = np.broadcast_to(np.array(values, dtype=object), index.shape[:2])
    slots = np.zeros(len(values), dtype=np.int64)
    return ConceptStates(concept.name, index, slots, np.array([len(rows)]), own, ("any",), states)
