"""What a report says of concepts permuted given others."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from genlens.analyses.conditional import conditional
from genlens.importance.conditional import conditional_importance
from genlens.importance.given import within_cells


def rows_of(found):
    return {row["concept"]: row for row in found.table}


def test_nothing_was_asked_for(make_audit, pair_of):
    assert conditional(make_audit(pair_of(40, 0.0), {"cup": 1.0})) is None


@pytest.mark.parametrize("given", ["others", ["tv"], "model", "boosting", DecisionTreeClassifier(max_depth=3)])
def test_an_ignored_concept_has_none_and_a_correlated_one_less_than_alone(make_audit, pair_of, given):
    audit = make_audit(pair_of(400, 0.8), {"cup": 1.0, "bed": 0.5}, given=given)
    found = conditional(audit)
    rows = rows_of(found)
    assert rows["cup"]["importance"] < 0.6 * rows["cup"]["unconditional"]
    assert rows["cup"]["p"] < 0.01
    if given != ["tv"]:
        assert (rows["tv"]["importance"], rows["tv"]["p"]) == (0.0, 1.0)
        assert rows["bed"]["importance"] == pytest.approx(rows["bed"]["unconditional"], abs=0.03)
    else:
        assert set(rows) == {"cup", "bed"}
        assert "nothing is given: tv" in found.message
    assert "Farthest from the ranking is cup" in found.message


def test_the_figures_are_those_of_permutation_within_rows_that_agree(make_audit, pair_of):
    columns = pair_of(100, 0.5)
    audit = make_audit(columns, {"cup": 1.0, "tv": 0.4}, given=["tv", "bed"])
    found = rows_of(conditional(audit))["cup"]
    cells = np.unique(2 * columns["tv"] + columns["bed"], return_inverse=True)[1]
    given = within_cells(columns["cup"], 2, cells)
    expected = conditional_importance(audit.y, audit.reference, audit.states[0], given, audit.scoring)
    assert (found["importance"], found["importance_low"]) == (expected.value, expected.low)


def test_rows_that_cannot_move_are_counted_and_a_model_is_advised(make_audit):
    rng = np.random.default_rng(0)
    columns = {f"c{j}": rng.integers(0, 2, 60) for j in range(9)}
    found = conditional(make_audit(columns, {"c0": 1.0}, given="others"))
    assert found.table[0]["can't move"] > 0.5
    assert "Rows that can't move: up to " in found.message
    assert "`--given model`" in found.advice


def test_other_kinds_are_moved_where_they_can_be(make_audit):
    rng = np.random.default_rng(1)
    columns = {
        "age": rng.normal(size=80),
        "style": np.array(["ink", "oil", "pen"], dtype=object)[rng.integers(0, 3, 80)],
        "cars": rng.integers(0, 4, 80),
        "dots": rng.permutation(80),
        "cup": rng.integers(0, 2, 80),
    }
    weights = {"ink": 1.0, "oil": -1.0, "cup": 0.5, "3 cars": 1.0}
    for given in ("model", ["age", "cup"]):
        found = conditional(make_audit(columns, weights, kinds={"cars": "count", "dots": "count"}, given=given))
        assert set(rows_of(found)) == {"style", "cars", "dots", "cup"}
        assert "Left out, since numbers are carried from any row or nothing is given: age." in found.message
    alone = conditional(make_audit({"age": columns["age"], "cup": columns["cup"]}, weights, given=["cup"]))
    assert alone.message.startswith("Not computed")
