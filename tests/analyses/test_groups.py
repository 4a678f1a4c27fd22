"""What a report says of groups."""

from __future__ import annotations

import pytest

from genlens.analyses.groups import groups
from genlens.importance.exact import expected_importance


def test_none_were_asked_for(make_audit, pair_of):
    assert groups(make_audit(pair_of(40, 0.0), {"cup": 1.0})) is None


def test_correlated_members_are_worth_more_together(make_audit, pair_of):
    audit = make_audit(pair_of(400, 0.8), {"cup": 0.5, "tv": 0.5, "bed": 0.5}, groups={"things": ["cup", "tv"]})
    found = groups(audit)
    assert found is not None
    (row,) = found.table
    single = [expected_importance(audit.y, audit.reference, state, audit.scoring) for state in audit.states[:2]]
    assert row["alone"] == pytest.approx(sum(single))
    assert row["excess_low"] > 0
    assert row["importance"] == pytest.approx(row["alone"] + row["excess"])
    assert row["patterns"] == 4
    assert "Read things as a whole" in found.advice
    assert found.message.startswith("things is worth ")


def test_independent_members_give_no_advice_and_groups_come_by_worth(make_audit, pair_of):
    columns = pair_of(300, 0.0) | {"car": pair_of(300, 0.0, 3)["bed"]}
    weights = {"cup": 0.2, "tv": 0.2, "bed": 1.0, "car": 1.0}
    audit = make_audit(columns, weights, groups={"weak": ["cup", "tv"], "strong": ["bed", "car"]})
    found = groups(audit)
    assert found is not None
    assert [row["group"] for row in found.table] == ["strong", "weak"]
    assert found.advice == ""


def test_many_patterns_and_other_scores_work(make_audit):
    rng_columns = {"cup": [0, 1] * 30, "cars": list(range(10)) * 6, "tv": [0, 0, 1] * 20}
    audit = make_audit(
        rng_columns, {"cup": 1.0, "tv": 0.5}, kinds={"cars": "count"}, scoring="accuracy",
        groups={"g": ["cup", "cars", "tv"]},
    )  # fmt: skip
    found = groups(audit)
    assert found is not None
    assert found.table[0]["patterns"] == 2  # donors a row
    assert "[" in found.message
