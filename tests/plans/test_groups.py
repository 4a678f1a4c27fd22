"""The images of groups: joint patterns that occur, shared with other states, donors where there are many."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.captions import caption
from genlens.concepts import Concept, ConceptTable
from genlens.errors import UserError
from genlens.plan import make_plan
from genlens.plans.groups import MAX_PATTERNS, check_groups, groups_extra


def table_of(**columns: np.ndarray) -> ConceptTable:
    n = len(next(iter(columns.values())))
    kinds = {name: "category" if values.dtype == object else "binary" for name, values in columns.items()}
    kinds |= {name: "count" for name, values in columns.items() if values.dtype != object and values.max() > 1}
    concepts = tuple(Concept(name, kinds[name], values) for name, values in columns.items())  # type: ignore[arg-type]
    return ConceptTable(tuple(f"row {i}" for i in range(n)), concepts)


def test_the_states_are_the_patterns_that_occur() -> None:
    table = table_of(
        cup=np.array([0, 0, 1, 1, 0, 1]),
        tv=np.array([0, 1, 1, 1, 0, 0]),
        bed=np.array([0, 1, 0, 1, 0, 1]),
    )
    plan = make_plan(table, 3, extras={"groups": groups_extra({"things": ["cup", "tv"]})})
    (states,) = plan.extras["groups"]
    assert (states.concept, states.strata) == ("things", ("none", "tv", "cup", "cup, tv"))
    assert states.counts.tolist() == [2, 1, 1, 2]
    assert states.own.tolist() == [0, 1, 3, 3, 0, 2]
    for row in range(6):
        assert states.index[row, states.own[row], 0] == plan.reference[row, 0]
        for slot, (cup, tv) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
            assert states.states[row, slot] == (cup, tv)
            assert plan.captions[states.index[row, slot, 0]] == caption(table, row, {"cup": cup, "tv": tv})
    assert plan.n_images == 6 * (1 + 3) + 6  # only the pattern that differs in both members is new
    assert plan.n_further(states) == 6


def test_a_pattern_that_no_row_has_is_not_shown() -> None:
    cup = np.array([0, 1, 0, 1])
    plan = make_plan(table_of(cup=cup, tv=cup), 0, extras={"groups": groups_extra({"both": ["cup", "tv"]})})
    assert plan.extras["groups"][0].strata == ("none", "cup, tv")


def test_many_patterns_use_donors_other_than_the_row() -> None:
    count = np.arange(20) % 5
    style = np.array(["ink", "oil"], dtype=object)[np.arange(20) % 2]
    table = table_of(cars=count, style=style)
    plan = make_plan(table, 0, n_donors=3, extras={"groups": groups_extra({"all": ["cars", "style"]})})
    (states,) = plan.extras["groups"]
    assert len(set(zip(count, style, strict=True))) > MAX_PATTERNS
    assert (states.strata, states.index.shape) == (("any",), (20, 3, 1))
    taken = [states.states[:, slot].tolist() for slot in range(3)]
    for slot in taken:  # each slot is a permutation of the rows' own patterns
        assert sorted(slot) == sorted(zip(count.tolist(), style.tolist(), strict=True))


def test_fewer_patterns_than_the_limit_use_no_donors_in_mixed_kinds() -> None:
    table = table_of(cars=np.array([0, 2, 0, 2]), style=np.array(["ink", "oil", "oil", "oil"], dtype=object))
    (states,) = make_plan(table, 0, extras={"groups": groups_extra({"all": ["cars", "style"]})}).extras["groups"]
    assert states.strata == ("cars=0, style=ink", "cars=0, style=oil", "cars=2, style=oil")


def test_nothing_hangs_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    table = table_of(a=rng.integers(0, 5, 12), b=rng.integers(0, 4, 12))
    order = rng.permutation(12)
    found = []
    for this in (table, table.take(order)):
        plan = make_plan(this, 0, extras={"groups": groups_extra({"g": ["a", "b"]})})
        (states,) = plan.extras["groups"]
        found.append({row_id: states.states[row].tolist() for row, row_id in enumerate(this.row_ids)})
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"g": ["cup", "sofa"]}, "Group 'g' names 'sofa', which is no concept. Concepts: cup, tv, bed."),
        ({"g": ["cup", "tv"], "h": ["tv", "bed"]}, "Concept 'tv' is in groups 'g' and 'h'; a concept may be in one"),
        ({"g": ["cup", "cup"]}, "Concept 'cup' is twice in group 'g'"),
        ({"g": ["cup"]}, "Group 'g' must have at least two concepts"),
        ({"g": "cup"}, "Group 'g' must have at least two concepts; got 'cup'"),
        ({"tv": ["cup", "bed"]}, "Group 'tv' has the name of a concept"),
        ({" ": ["cup", "bed"]}, "A group's name must be text"),
    ],
)
def test_groups_that_make_no_sense_are_refused(groups: dict[str, list[str]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_groups(groups, ["cup", "tv", "bed"])
