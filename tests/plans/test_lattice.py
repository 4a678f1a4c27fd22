"""The images of all combinations of concepts."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.captions import caption
from genlens.concepts import Concept, ConceptTable
from genlens.errors import UserError
from genlens.plan import make_plan
from genlens.plans.dependence import dependence_extras
from genlens.plans.lattice import check_lattice, lattice_extra, lattice_rows


def binary_table(n: int, d: int, seed: int = 0) -> ConceptTable:
    rng = np.random.default_rng(seed)
    concepts = tuple(Concept(f"c{j}", "binary", rng.permutation(np.arange(n) % 2)) for j in range(d))
    return ConceptTable(tuple(f"row {i}" for i in range(n)), concepts)


@pytest.mark.parametrize("noise", ["common", "fresh"])
def test_every_combination_of_every_row_is_shown(noise: str) -> None:
    table = binary_table(10, 3)
    plan = make_plan(table, 0, noise=noise, extras={"lattice": lattice_extra()})  # type: ignore[arg-type]
    (states,) = plan.extras["lattice"]
    assert states.index.shape == (10, 8, 1)
    for row in range(10):
        assert states.index[row, states.own[row], 0] == plan.reference[row, 0]
        for k in range(8):
            bits = {f"c{j}": k >> j & 1 for j in range(3)}
            assert plan.captions[states.index[row, k, 0]] == caption(table, row, bits)
    assert states.strata[0b101] == "c0, c2"
    assert plan.n_images == (80 if noise == "common" else 10 * (1 + 2 * 3 + 7))


def test_some_rows_can_be_drawn_by_the_seed() -> None:
    table = binary_table(30, 2)
    rows = lattice_rows(table.row_ids, 5, 8)
    assert (len(rows), sorted(rows.tolist())) == (8, rows.tolist())
    assert rows.tolist() != lattice_rows(table.row_ids, 6, 8).tolist()
    plan = make_plan(table, 5, extras=dependence_extras(table, shapley=True, shapley_rows=8))
    (states,) = plan.extras["lattice"]
    assert states.index.shape == (8, 4, 1)
    assert plan.reference[rows, 0].tolist() == states.index[np.arange(8), states.own, 0].tolist()
    assert plan.n_images == 30 * 3 + 8
    assert lattice_rows(table.row_ids, 5, 99).tolist() == list(range(30))


def test_what_has_no_lattice_is_refused() -> None:
    with pytest.raises(UserError, match=r"at most 8 concepts; got 9\. Name fewer"):
        check_lattice(binary_table(4, 9))
    table = ConceptTable(("a", "b"), (Concept("age", "number", np.array([1.0, 2.0])),))
    with pytest.raises(UserError, match=r"need binary concepts; 'age' is a number\. Leave it out\."):
        check_lattice(table)
    with pytest.raises(UserError, match="`shapley_rows` must be an integer >= 2; got 1"):
        check_lattice(binary_table(4, 2), 1)
    with pytest.raises(UserError, match="`shapley_rows`=5 has no effect without `shapley`"):
        dependence_extras(binary_table(4, 2), shapley_rows=5)
