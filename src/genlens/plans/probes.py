"""Placebo and doses, as options ask for them: `genlens rank` renders them, `genlens plan` counts them."""

from __future__ import annotations

from typing import Any

from genlens.concepts import ConceptTable
from genlens.errors import UserError, check_integer
from genlens.plan import Extra
from genlens.plans.doses import Doses, dose_grids, doses_extra
from genlens.plans.placebo import PLACEBO_ROWS, placebo_extra


def probe_extras(
    table: ConceptTable,
    placebo_rows: int = PLACEBO_ROWS,
    doses: Doses | None = None,
    dose_rows: int | None = None,
) -> dict[str, Extra]:
    """The further images of a run, for `genlens.plan.make_plan`; checked before anything is rendered.

    Args:
        table: the rows.
        placebo_rows: rows that get a placebo; 0: none.
        doses: values of numbers and counts, see `genlens.plans.doses.dose_grids`; None: no doses.
        dose_rows: rows whose doses are rendered; None: all.

    Raises:
        UserError: a number is out of range, or `doses` don't fit the table.
    """
    if doses is None and dose_rows is not None:
        raise UserError(f"`dose_rows`={dose_rows} has no effect without `doses`. Ask for them, or drop the rows.")
    extras: dict[str, Extra] = {}
    if check_integer("placebo_rows", placebo_rows, 0):
        extras["placebo"] = placebo_extra(placebo_rows)
    if dose_rows is not None:
        check_integer("dose_rows", dose_rows, 2)
    if doses is not None:
        dose_grids(table, doses)
        extras["doses"] = doses_extra(doses, dose_rows)
    return extras


def asked_probes(placebo_rows: int, doses: Doses | None, dose_rows: int | None) -> dict[str, Any]:
    """What was asked for, as settings of the result."""
    asked: dict[str, Any] = {"placebo_rows": placebo_rows}
    if doses is not None:
        asked["doses"] = doses if isinstance(doses, int) else dict(doses)
    return asked if dose_rows is None else asked | {"dose_rows": dose_rows}
