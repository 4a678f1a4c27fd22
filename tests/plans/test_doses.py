"""Doses: the grids, the images, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.captions import FieldsTemplate, caption
from genlens.concepts import Concept, ConceptTable
from genlens.errors import UserError
from genlens.plan import make_plan
from genlens.plans.doses import dose_grids, dose_rows, doses_extra

N = 50


def table() -> ConceptTable:
    rng = np.random.default_rng(0)
    concepts = (
        Concept("age", "number", np.arange(20.0, 20 + N)),
        Concept("cup", "count", rng.integers(0, 4, N)),
        Concept("hat", "binary", np.arange(N) % 2),
    )
    return ConceptTable(tuple(f"row {k}" for k in range(N)), concepts, caption_template=FieldsTemplate())


def test_grids_are_quantiles_that_the_table_has() -> None:
    grids = dose_grids(table(), 5)
    assert list(grids) == ["age", "cup"]
    assert grids["age"].tolist() == [24.0, 34.0, 44.0, 54.0, 64.0]
    assert set(grids["cup"].tolist()) <= {0.0, 1.0, 2.0, 3.0} and len(grids["cup"]) >= 3


def test_grids_may_be_named() -> None:
    grids = dose_grids(table(), {"age": [60, 30.5, 30.5, 45], "cup": 2})
    assert grids["age"].tolist() == [30.5, 45.0, 60.0]
    assert len(grids["cup"]) == 2


def test_every_row_is_shown_at_every_value_with_its_own_noise() -> None:
    rows = table()
    plan = make_plan(rows, 3, n_draws=2, extras={"doses": doses_extra({"age": [20, 30], "cup": [0, 3]}, 10)})
    chosen = dose_rows(rows, 3, 10)
    assert [states.concept for states in plan.extras["doses"]] == ["age", "cup"]
    for states, name, values in zip(plan.extras["doses"], ("age", "cup"), ([20, 30], [0, 3]), strict=True):
        assert states.index.shape == (10, 2, 2) and states.states.tolist() == [values] * 10
        for i, row in enumerate(chosen):
            for slot, value in enumerate(values):
                for draw in range(2):
                    image = states.index[i, slot, draw]
                    assert plan.captions[image] == caption(rows, row, {name: value})
                    assert plan.seeds[image] == plan.seeds[plan.reference[row, draw]]


def test_a_rows_own_value_is_its_reference_image() -> None:
    rows = table()
    plan = make_plan(rows, 0, extras={"doses": doses_extra({"age": [20, 69]})})
    (states,) = plan.extras["doses"]
    assert states.index[0, 0] == plan.reference[0] and states.index[-1, 1] == plan.reference[-1]
    assert states.index[0, 1] != plan.reference[0]


@pytest.mark.parametrize(
    ("doses", "message"),
    [
        ({"age": [10, 30]}, "`doses` of 'age' must lie within what the table has, 20 to 69; got 10."),
        ({"age": [30, 30]}, "`doses` of 'age' must be two values or more; got 1."),
        ({"cup": [0, 1.5]}, "`doses` of 'cup' must be whole numbers, since it is a count; got"),
        ({"hat": 2}, "`doses` needs a number or a count; 'hat' is a binary. Leave it out."),
        ({"sofa": 2}, "'sofa' is no concept of table. Concepts: age, cup, hat."),
        (1, "`doses` must be an integer >= 2; got 1"),
    ],
)
def test_what_is_refused(doses, message: str) -> None:
    with pytest.raises(UserError) as caught:
        dose_grids(table(), doses)
    assert str(caught.value).startswith(message)


def test_a_table_without_numbers_has_no_doses() -> None:
    binary = ConceptTable(("a", "b"), (Concept("hat", "binary", np.array([0, 1])),))
    with pytest.raises(UserError, match=r"^`doses` needs a concept that is a number or a count; this table has none"):
        dose_grids(binary, 5)
