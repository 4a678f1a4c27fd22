"""The further images of analyses of concepts that depend on one another: groups and the lattice of combinations."""

from __future__ import annotations

from genlens.concepts import ConceptTable
from genlens.errors import UserError
from genlens.plan import Extra
from genlens.plans.groups import Groups, check_groups, groups_extra
from genlens.plans.lattice import check_lattice, lattice_extra


def dependence_extras(
    table: ConceptTable, groups: Groups | None = None, shapley: bool = False, shapley_rows: int | None = None
) -> dict[str, Extra]:
    """Extras of `make_plan`: "groups" and "lattice", where they are asked for.

    Args:
        table: the rows.
        groups: name -> members, of concepts permuted together.
        shapley: whether Shapley values are wanted, which take all 2^D combinations of concepts.
        shapley_rows: rows that take part in them, >= 2; None: all.

    Raises:
        UserError: a group or the table doesn't fit; see `check_groups` and `check_lattice`.
    """
    extras = {}
    if groups:
        check_groups(groups, table.names)
        extras["groups"] = groups_extra(groups)
    if shapley:
        check_lattice(table, shapley_rows)
        extras["lattice"] = lattice_extra(shapley_rows)
    elif shapley_rows is not None:
        raise UserError(f"`shapley_rows`={shapley_rows} has no effect without `shapley`. Ask for it, or drop the rows.")
    return extras
