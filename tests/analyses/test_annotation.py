"""What the report says of labels that a model made, and that it is so: importance falls by the slope of the labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from genlens.analyses import analyse
from genlens.analyses.annotation import annotation
from genlens.annotation import Annotation, LabelErrors
from genlens.audit import Audit
from genlens.importance.exact import expected_importance
from genlens.metrics import get_scoring

THRESHOLDS = {"cup": 0.5, "tv": 0.5}


@pytest.fixture
def annotated(make_audit: Callable[..., Audit], pair_of: Callable[..., dict[str, np.ndarray]]) -> Callable[..., Audit]:
    def build(errors: dict[str, LabelErrors], thresholds: dict[str, float] = THRESHOLDS) -> Audit:
        audit = make_audit(pair_of(60, 0.0), {"cup": 1.0, "tv": 0.5})
        known = Annotation("clip:mine", thresholds, errors, tuple(errors), 100)
        return replace(audit, table=replace(audit.table, annotation=known))

    return build


def test_other_tables_have_none(
    make_audit: Callable[..., Audit], pair_of: Callable[..., dict[str, np.ndarray]]
) -> None:
    assert annotation(make_audit(pair_of(60, 0.0), {"cup": 1.0})) is None


def test_it_says_what_is_left_of_the_weakest(annotated: Callable[..., Audit]) -> None:
    found = annotation(annotated({"cup": LabelErrors(200, 200, 200, 0), "tv": LabelErrors(50, 40, 50, 5)}))
    assert found is not None and found.code == "annotation"
    assert "given by clip:mine" in found.message and "cross-validated on 100 images" in found.message
    assert "they leave 0.70 [" in found.message and "of the importance of tv" in found.message
    assert "importance of tv is expected to come out too small" in found.advice and "cup" not in found.advice
    cup, tv = found.table
    assert (cup["left"], tv["left"]) == (1.0, pytest.approx(0.7))
    assert tv["left_low"] < 0.7 < tv["left_high"]
    assert [record["concept"] for record in found.table] == ["cup", "tv"]  # bed's labels came from elsewhere


def test_unmeasured_labels_are_said_to_be_so(annotated: Callable[..., Audit]) -> None:
    found = annotation(annotated({}))
    assert found is not None and "wasn't measured" in found.message
    assert "Nothing says how often labels of cup and tv are wrong" in found.advice
    assert all(record["left"] is None for record in found.table)
    assert annotation(annotated({}, {"other": 0.0})) is None


def test_it_is_in_the_report_of_a_run(annotated: Callable[..., Audit]) -> None:
    codes = [found.code for found in analyse(annotated({"tv": LabelErrors(50, 40, 50, 5)}))]
    assert "annotation" in codes


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.9, 0.95), (0.7, 0.8)])
def test_importance_falls_by_that_share(sensitivity: float, specificity: float) -> None:
    """An additive score and squared errors: exactly, but for the sample; AUROC: roughly."""
    from genlens.importance.states import StateScores

    rng, n = np.random.default_rng(0), 6000
    truth = rng.random((n, 3)) < 0.5
    target = truth @ np.array([1.0, 0.7, 0.7]) + rng.normal(0, 0.5, n)
    wrong = np.where(truth[:, 0], rng.random(n) > sensitivity, rng.random(n) > specificity)
    labels = truth[:, 0] ^ wrong

    def importance(column: np.ndarray, scoring: str) -> float:
        """Of the first concept, its caption saying `column`, by a perfect generator and the true model."""
        rest = truth[:, 1:] @ np.array([0.7, 0.7])
        scores = np.stack([rest, rest + 1.0], axis=1)[:, :, None]  # (N, 2, 1): off, on
        own = column.astype(np.int64)
        states = StateScores("first", scores, np.array([0, 1]), counts=np.bincount(own), own=own)
        y = (target > np.median(target)).astype(int) if scoring == "roc_auc" else target
        return float(expected_importance(y, scores[np.arange(n), own], states, get_scoring(scoring)))

    for scoring, tolerance in (("neg_mean_squared_error", 0.06), ("roc_auc", 0.15)):
        left = importance(labels, scoring) / importance(truth[:, 0], scoring)
        assert left == pytest.approx(sensitivity + specificity - 1, abs=tolerance)
