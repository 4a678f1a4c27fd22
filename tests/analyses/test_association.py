"""What a report says of association."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.analyses.association import association


def test_strong_pairs_are_warned_about(make_audit, pair_of):
    found = association(make_audit(pair_of(500, 0.8), {"bed": 1.0}))
    assert found.message.startswith("The strongest pair is cup and tv: Cramer's V 0.")
    assert "Pairs of 0.5 or more: 1 of 3." in found.message
    assert "With the label, bed is associated most" in found.message
    assert '--group "name=cup,tv"' in found.advice
    grouped = association(
        make_audit(pair_of(500, 0.8), {"bed": 1.0}, groups={"g": ["bed", "tv", "cup"]}, given="model")
    )
    assert grouped.advice.endswith("Read their group and the conditional importance instead.")
    assert found.labels == ["cup", "tv", "bed", "label"]
    assert found.matrix[0][1] == found.matrix[1][0] == pytest.approx(found.table[0]["strength"])


def test_independent_concepts_are_not(make_audit, pair_of):
    found = association(make_audit(pair_of(500, 0.0), {"bed": 1.0}))
    assert found.advice == ""
    assert "or more" not in found.message


def test_other_kinds_and_one_concept_alone(make_audit):
    rng = np.random.default_rng(0)
    columns = {"age": rng.normal(size=60), "style": np.array(["ink", "oil"], dtype=object)[rng.integers(0, 2, 60)]}
    found = association(make_audit(columns, {"ink": 1.0}, clusters=np.arange(60) // 2))
    assert found.table[0]["measure"] == "correlation ratio"
    only = association(make_audit({"cup": rng.integers(0, 2, 60)}, {"cup": 1.0}))
    assert only.message.startswith("With the label, cup is associated most")


def test_a_label_that_is_a_number_or_shares_a_name(make_audit):
    rng = np.random.default_rng(0)
    columns = {"label": rng.integers(0, 2, 60), "cup": rng.integers(0, 2, 60)}
    found = association(make_audit(columns, {"cup": 1.0}, labels=rng.normal(size=60), scoring="r2"))
    assert found.labels[-1] == "label (label)"
    assert found.table[-1]["measure"] == "correlation ratio"
