"""What a report says of combinations that hardly occur."""

from __future__ import annotations

import numpy as np

from genlens.analyses.positivity import positivity_of_states


def test_concepts_that_exclude_each_other_are_warned_about_and_rows_are_named(make_audit, pair_of):
    columns = pair_of(400, 0.0)
    columns["tv"] = np.where(np.arange(400) < 396, 1 - columns["cup"], columns["tv"])
    found = positivity_of_states(make_audit(columns, {"cup": 1.0}))
    shares = {row["concept"]: row["share"] for row in found.table}
    assert shares["cup"] > 0.4 and shares["tv"] > 0.4 and shares["bed"] == 0
    assert "row " in found.table[0]["rows"]
    assert "shows a combination of probability below 0.05 in " in found.message
    assert "cup" in found.advice and "tv" in found.advice and "bed" not in found.advice


def test_independent_concepts_are_fine(make_audit, pair_of):
    found = positivity_of_states(make_audit(pair_of(400, 0.3), {"cup": 1.0}))
    assert found.advice == ""
    assert found.message.startswith("No state is asked for that hardly occurs")


def test_numbers_are_passed_over_and_one_concept_has_nothing_to_go_by(make_audit):
    rng = np.random.default_rng(0)
    mixed = {"age": rng.normal(size=60), "cup": rng.integers(0, 2, 60)}
    found = positivity_of_states(make_audit(mixed, {"cup": 1.0}))
    assert [row["concept"] for row in found.table] == ["cup"]
    assert positivity_of_states(make_audit({"cup": mixed["cup"]}, {"cup": 1.0})) is None
