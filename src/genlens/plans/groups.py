"""Groups of concepts that are permuted together: a row takes the values of all members from one other row.

The states of a group are the joint patterns of its members' values that occur in the data; a pattern that no row has is
never shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genlens.captions import plain
from genlens.columns import Concept
from genlens.errors import UserError
from genlens.plan import ConceptStates, Extra, PlanBuilder
from genlens.seeds import row_seed

Groups: TypeAlias = Mapping[str, Sequence[str]]
"""Name of a group -> names of its members."""

MAX_PATTERNS = 8
"""Groups with more distinct patterns than this use donors."""


def groups_extra(groups: Groups) -> Extra:
    """What `make_plan` needs to permute groups: one entry of states a group, in the order of `groups`.

    Args:
        groups: see `check_groups`.
    """
    return partial(_all_states, dict(groups))


def check_groups(groups: Groups, concepts: Sequence[str]) -> None:
    """Check groups against the concepts of a table.

    Args:
        groups: name of each group -> its members, at least two; a concept is in one group at most.
        concepts: D names.

    Raises:
        UserError: a group has no name or a concept's, names an unknown concept or one member, or shares one.
    """
    home: dict[str, str] = {}
    for name, members in groups.items():
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"A group's name must be text; got {name!r}.")
        if name in concepts:
            raise UserError(f"Group {name!r} has the name of a concept; choose another name.")
        if isinstance(members, str) or len(members) < 2:
            raise UserError(f"Group {name!r} must have at least two concepts; got {members!r}.")
        for member in members:
            if member not in concepts:
                known = ", ".join(concepts)
                raise UserError(f"Group {name!r} names {member!r}, which is no concept. Concepts: {known}.")
            if member in home:
                other = home[member]
                where = f"twice in group {name!r}" if other == name else f"in groups {other!r} and {name!r}"
                raise UserError(f"Concept {member!r} is {where}; a concept may be in one group, once.")
            home[member] = name


def _all_states(groups: Groups, builder: PlanBuilder) -> tuple[ConceptStates, ...]:
    check_groups(groups, builder.table.names)
    return tuple(_group_states(builder, name, list(members)) for name, members in groups.items())


def _group_states(builder: PlanBuilder, name: str, members: list[str]) -> ConceptStates:
    concepts = [builder.table.concept(member) for member in members]
    codes = np.stack([np.unique(concept.values, return_inverse=True)[1].ravel() for concept in concepts], axis=1)
    _, first, own = np.unique(codes, axis=0, return_index=True, return_inverse=True)  # row that shows each pattern
    own = own.ravel().astype(np.int64)
    if len(first) <= MAX_PATTERNS:
        source = np.broadcast_to(first, (len(own), len(first)))  # (N, B) row whose pattern each slot shows
        stratum, strata = np.arange(len(first)), tuple(pattern_name(concepts, row) for row in first)
    else:
        source = _donor_rows(name, builder)
        own, stratum, strata = np.zeros_like(own), np.zeros(source.shape[1], np.int64), ("any",)
    values = np.stack([concept.values.astype(object)[source] for concept in concepts], axis=2)  # (N, S, K)
    patterns = np.empty(source.shape, dtype=object)
    for row, slot in np.ndindex(*source.shape):
        patterns[row, slot] = tuple(values[row, slot])
    index = builder.index(members, values)
    return ConceptStates(name, index, stratum, np.bincount(own, minlength=len(strata)), own, strata, patterns)


def _donor_rows(name: str, builder: PlanBuilder) -> NDArray[np.int64]:
    """(N, K) rows whose patterns each row takes: the K after it in a circle, never itself."""
    row_ids = builder.table.row_ids
    order = np.argsort([row_seed(builder.seed, row_id, state=f"donors {name}") for row_id in row_ids])
    n_slots = min(builder.n_donors, len(order) - 1)
    donor = np.empty((len(order), n_slots), dtype=np.int64)
    donor[order] = order[(np.arange(len(order))[:, None] + 1 + np.arange(n_slots)) % len(order)]
    return donor


def pattern_name(concepts: Sequence[Concept], row: int) -> str:
    """The joint pattern of a row in words, such as "red circle" or "cup=2, ink"; "none" where all are absent."""
    parts: list[Any] = []
    for concept in concepts:
        if concept.kind == "binary":
            parts += [concept.name] if concept.values[row] else []
        elif concept.kind == "segment":
            parts += [concept.values[row]] if concept.values[row] else []
        else:
            parts.append(f"{concept.name}={plain(concept.values[row])}")
    return ", ".join(parts) or "none"
