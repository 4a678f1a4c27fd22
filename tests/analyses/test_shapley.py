"""What a report says of Shapley values."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.analyses.shapley import shapley_analysis
from genlens.importance.exact import expected_importance


def test_it_was_not_asked_for(make_audit, pair_of):
    assert shapley_analysis(make_audit(pair_of(40, 0.0), {"cup": 1.0})) is None


def test_values_add_up_and_stand_beside_the_importance(make_audit, pair_of):
    audit = make_audit(pair_of(120, 0.5), {"cup": 1.0, "tv": 0.5}, shapley=True)
    found = shapley_analysis(audit)
    rows = {row["concept"]: row for row in found.table}
    importance = [expected_importance(audit.y, audit.reference, state, audit.scoring) for state in audit.states]
    assert [rows[name]["alone"] for name in ("cup", "tv", "bed")] == pytest.approx(importance, abs=1e-12)
    total = float(found.message.split("fall of ")[1].split(" ")[0])
    assert sum(row["shapley"] for row in found.table) == pytest.approx(total, abs=5e-4)
    assert rows["bed"]["shapley"] == pytest.approx(0, abs=1e-12)
    assert found.table[0]["concept"] == "cup"
    assert np.shape(found.matrix) == (3, 3)
    assert "Strongest interaction: cup and tv" in found.message


def test_some_rows_are_enough_unless_they_have_one_label(make_audit, pair_of):
    columns = pair_of(60, 0.0)
    found = shapley_analysis(make_audit(columns, {"cup": 1.0}, shapley=True, shapley_rows=30))
    assert "(30 rows)" in found.message
    labels = np.zeros(60, dtype=int)
    labels[0] = 1
    few = shapley_analysis(make_audit(columns, {"cup": 1.0}, labels=labels, shapley=True, shapley_rows=2))
    assert "Not computed: the 2 rows have one label" in few.message


def test_one_concept_has_no_interaction(make_audit):
    found = shapley_analysis(make_audit({"cup": [0, 1] * 20}, {"cup": 1.0}, shapley=True))
    assert "interaction" not in found.message
