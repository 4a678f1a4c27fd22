"""Thresholds and errors: closed forms, coverage of honest errors, and the dishonest way as a control."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from genlens.annotate.calibration import LEAST, calibrate, errors_of
from genlens.annotation import Annotation, LabelErrors, annotation_path, read_annotation
from genlens.errors import UserError


def test_errors_by_hand() -> None:
    found = LabelErrors(n_with=8, seen=6, n_without=10, imagined=1)
    assert (found.sensitivity, found.specificity) == (0.75, 0.9)
    assert found.slope == pytest.approx(0.65)
    low, high = found.slope_interval()
    assert low < 0.65 < high
    sens, spec = found.sensitivity_interval(), found.specificity_interval()
    assert low == pytest.approx(0.65 - math.hypot(0.75 - sens[0], 0.9 - spec[0]))
    assert high == pytest.approx(0.65 + math.hypot(sens[1] - 0.75, spec[1] - 0.9))
    assert math.isnan(LabelErrors(0, 0, 3, 0).sensitivity)
    with pytest.raises(UserError, match="`seen` must be at most `n_with`; got 9 of 8"):
        LabelErrors(8, 9, 1, 0)


def test_the_slope_interval_covers() -> None:
    rng, hits = np.random.default_rng(0), 0
    for _ in range(500):
        seen, imagined = int(rng.binomial(40, 0.8)), int(rng.binomial(60, 0.1))
        low, high = LabelErrors(40, seen, 60, imagined).slope_interval()
        hits += low <= 0.7 <= high
    assert 0.92 < hits / 500 <= 0.99


def test_labels_by_the_slope_keep_that_share_of_a_covariance() -> None:
    """What the report says is left of an importance: cov(label, y) = J cov(truth, y), by enumeration."""
    sensitivity, specificity, share = 0.7, 0.9, 0.3
    cells = [
        (truth, label, (share if truth else 1 - share) * p)
        for truth in (0, 1) for label in (0, 1)
        for p in [(sensitivity if label else 1 - sensitivity) if truth else (1 - specificity if label else specificity)]
    ]  # fmt: skip
    y = {0: 2.0, 1: 5.0}

    def covariance(which: int) -> float:
        mean = sum(cell[which] * cell[2] for cell in cells)
        return sum((cell[which] - mean) * y[cell[0]] * cell[2] for cell in cells)

    assert covariance(1) / covariance(0) == pytest.approx(sensitivity + specificity - 1)


def test_a_clear_score_gives_a_threshold_between_the_classes() -> None:
    truth = np.array([0, 1] * 20, dtype=float)
    found = calibrate(truth * 2 - 1 + np.linspace(-0.1, 0.1, 40), truth, 5.0)
    assert found.fitted and -0.8 < found.threshold < 0.8
    assert (found.errors.sensitivity, found.errors.specificity) == (1.0, 1.0)
    assert (found.errors.n_with, found.errors.n_without) == (20, 20)


def test_errors_of_a_score_that_knows_nothing_are_honest() -> None:
    """Fitted and judged on the same images, noise looks as if it knew something; cross-validated it doesn't."""
    honest, dishonest = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        truth, scores = (rng.random(40) < 0.5).astype(float), rng.normal(size=40)
        found = calibrate(scores, truth, 0.0, seed=seed)
        honest.append(found.errors.slope)
        dishonest.append(errors_of(truth > 0, scores > found.threshold).slope)
    assert abs(float(np.mean(honest))) < 0.06
    assert float(np.mean(dishonest)) > 0.12


def test_too_few_labels_and_chosen_thresholds_are_measured_not_fitted() -> None:
    truth = np.array([1.0] * (LEAST - 1) + [0.0] * 30 + [np.nan] * 5)
    scores = np.linspace(1, -1, len(truth))
    few = calibrate(scores, truth, 0.25)
    assert not few.fitted and few.threshold == 0.25
    assert (few.errors.n_with, few.errors.n_without) == (LEAST - 1, 30)
    many = np.array([1.0, 0.0] * 10)
    chosen = calibrate(np.linspace(0, 1, 20), many, 0.5, fixed=True)
    assert not chosen.fitted and chosen.errors == errors_of(many > 0, np.linspace(0, 1, 20) > 0.5)
    with pytest.raises(UserError, match="`folds` must be an integer >= 2"):
        calibrate(scores, truth, 0.0, folds=1)


def test_annotations_survive_their_file(tmp_path: Path) -> None:
    import json

    metadata = tmp_path / "labels.csv"
    assert read_annotation(metadata) is None
    wanted = Annotation("clip:x", {"cat": 0.5, "dog": 1.0}, {"cat": LabelErrors(8, 6, 10, 1)}, ("cat",), 18)
    path = annotation_path(metadata)
    assert path.name == "labels.annotation.json"
    path.write_text(json.dumps(wanted.to_json()))
    assert read_annotation(metadata) == wanted
    for damaged in ("", "[]", '{"annotator": 1}', path.read_text().replace('"seen": 6', '"seen": 60')):
        path.write_text(damaged)
        with pytest.raises(UserError, match=r"labels\.annotation\.json is damaged"):
            read_annotation(metadata)
