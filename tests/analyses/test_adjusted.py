"""Adjusted importance as an analysis: beside the ranking, with what it can't adjust said in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genlens.analyses.adjusted import adjusted
from genlens.audit import Audit
from genlens.importance.result import Analysis
from genlens.metrics import get_scoring

WEIGHTS = {"cup": 1.0, "tv": 0.7, "bed": 0.3}
MakeAudit = Callable[..., Audit]


def binary_columns(n_rows: int = 400) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {name: rng.integers(0, 2, n_rows) for name in WEIGHTS}


def rendered(audit: Audit, ignored: dict[str, float]) -> Audit:
    """Images that show a flip of a caption only in a share of the rows, and a concept classifier that sees them."""
    names = audit.table.names
    asked = np.array([[name in text for name in names] for text in audit.plan.captions], dtype=float)  # (M, D)
    own = np.empty_like(asked)
    own[audit.plan.reference[:, 0]] = audit.table.presence()
    for states in audit.plan.states:
        for row, numbers in enumerate(states.index[:, :, 0]):
            own[numbers] = audit.table.presence()[row]
    luck = np.random.default_rng(5).random(asked.shape) < [ignored.get(name, 0.0) for name in names]
    drawn = np.where(luck, own, asked)
    weights = np.array([WEIGHTS[name] for name in names])
    real = audit.table.presence() @ weights
    y = (real > np.median(real)).astype(int)
    presence = audit.table.presence().astype(float)
    return replace(audit, y=y, outputs=drawn @ weights, real=real, concepts=drawn, real_concepts=presence)


def analysis(audit: Audit) -> Analysis:
    found = adjusted(audit)
    assert found is not None
    return found


def test_a_perfect_generator_has_one_ranking(make_audit: MakeAudit) -> None:
    found = analysis(rendered(make_audit(binary_columns(), WEIGHTS), {}))
    assert found.message == (
        "Both rankings agree: adjusted as unadjusted, cup comes first. "
        "Every unadjusted importance lies in its adjusted interval."
    )
    assert found.advice == ""
    assert [row["concept"] for row in found.table] == ["cup", "tv", "bed"]
    assert found.matrix is not None
    np.testing.assert_allclose(found.matrix, np.eye(3), atol=1e-9)
    first = found.table[0]
    assert first["importance"] == pytest.approx(first["unadjusted"], abs=0.005)
    assert first["importance_low"] < first["importance"] < first["importance_high"]
    assert first["reliance"] == pytest.approx(1.0)
    assert (first["shown"], first["withheld"]) == (pytest.approx(1.0), "")


def test_ignored_flips_change_the_order_and_the_report_says_so(make_audit: MakeAudit) -> None:
    found = analysis(rendered(make_audit(binary_columns(), WEIGHTS), {"cup": 0.8}))
    assert found.message.startswith("The rankings differ: cup is number 1 of 3 adjusted, number ")
    assert "Unadjusted importances outside the adjusted interval: " in found.message
    assert "farthest that of cup" in found.message
    assert "The generator doesn't always draw what the captions say" in found.advice
    assert [row["concept"] for row in found.table] == ["cup", "tv", "bed"]
    assert found.table[0]["shown"] == pytest.approx(0.2, abs=0.1)


def test_flips_that_never_show_are_withheld_with_the_reason(make_audit: MakeAudit) -> None:
    found = analysis(rendered(make_audit(binary_columns(), WEIGHTS), {"tv": 1.0}))
    assert "Withheld: tv (flips hardly show in the images: conditional F 0.0 < 16.38)." in found.message
    assert "train the generator further on the captions" in found.advice
    assert found.table[-1]["concept"] == "tv"
    assert np.isnan(found.table[-1]["importance"])
    nothing = analysis(rendered(make_audit(binary_columns(), WEIGHTS), dict.fromkeys(WEIGHTS, 1.0)))
    assert nothing.message.startswith("No concept's importance can be adjusted. Withheld: ")


def test_it_needs_real_images_and_a_concept_classifier(make_audit: MakeAudit) -> None:
    audit = rendered(make_audit(binary_columns(60), WEIGHTS), {})
    assert adjusted(replace(audit, real=None, real_concepts=None)) is None
    assert adjusted(replace(audit, concepts=None, real_concepts=None)) is None


def test_other_than_binary_concepts_are_left_out_by_name(make_audit: MakeAudit) -> None:
    columns = binary_columns() | {"colour": np.array(["red", "blue", "green"], dtype=object)[np.arange(400) % 3]}
    audit = rendered_with_category(make_audit(columns, WEIGHTS))
    found = analysis(audit)
    assert found.message.endswith("Left out, since they aren't simply present or absent: colour.")
    assert found.labels == ["cup", "tv", "bed"]
    only = analysis(rendered_with_category(make_audit({"colour": columns["colour"]}, WEIGHTS)))
    assert only.message == "Not adjusted: no concept is one that is present or absent."
    assert only.table == []


def rendered_with_category(audit: Audit) -> Audit:
    """A perfect generator for concepts of which one is a category."""
    names = audit.table.names
    drawn = np.array([[float(name in text) for name in names] for text in audit.plan.captions])
    real = drawn[audit.plan.reference[:, 0]]
    weights = np.array([WEIGHTS.get(name, 0.0) for name in names])
    return replace(audit, outputs=drawn @ weights, real=real @ weights, concepts=drawn, real_concepts=real)


def test_scores_without_a_closed_form_and_many_classes_are_told(make_audit: MakeAudit) -> None:
    audit = rendered(make_audit(binary_columns(60), WEIGHTS), {})
    other = analysis(replace(audit, scoring=get_scoring("average_precision")))
    assert other.message == "Not adjusted: the score 'average_precision' has no closed form. Use e.g. roc_auc."
    many = np.repeat(audit.outputs[:, None], 3, axis=1)
    found = analysis(replace(audit, outputs=many, real=np.zeros((60, 3))))
    assert found.message == "Not adjusted: it needs one target score an image. Choose a target class."


def test_the_order_of_concepts_does_not_matter(make_audit: MakeAudit) -> None:
    columns = binary_columns(200)
    first = analysis(rendered(make_audit(columns, WEIGHTS), {}))
    turned = analysis(rendered(make_audit(dict(reversed(columns.items())), WEIGHTS), {}))
    assert [row["concept"] for row in first.table] == [row["concept"] for row in turned.table]
    np.testing.assert_allclose(first.table[0]["importance"], turned.table[0]["importance"], atol=1e-9)


def test_it_is_kept_with_the_result(tmp_path: Path, make_audit: MakeAudit) -> None:
    from genlens.importance.compute import importance_from_scores
    from genlens.importance.result import ImportanceResult

    audit = rendered(make_audit(binary_columns(60), WEIGHTS), {"tv": 1.0})
    result = importance_from_scores(
        audit.y, audit.reference, audit.states, audit.scoring, 3, 0, analyses=(analysis(audit),)
    )
    result.save(tmp_path)
    kept = ImportanceResult.load(tmp_path).analyses[0]
    assert kept.message == result.analyses[0].message
    assert kept.table[0]["importance"] == result.analyses[0].table[0]["importance"]
