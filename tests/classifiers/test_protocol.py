"""Scores of the target class, and the checks on what goes into a classifier and what comes out."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from genlens.classifiers.batches import check_images, check_outputs, predict_batches
from genlens.classifiers.protocol import Outputs, check_outputs_kind, target_score
from genlens.errors import UserError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("kind", ["logits", "scores"])
def test_one_column_of_logits_or_scores_is_the_score(kind: Outputs) -> None:
    values = RNG.normal(size=(5, 1)).astype(np.float32)
    for target in (None, 0):
        assert np.array_equal(target_score(values, kind, target), values[:, 0].astype(np.float64))


def test_one_probability_gives_its_logit() -> None:
    logits = np.array([-3.0, 0.0, 2.0])
    assert np.allclose(target_score(expit(logits)[:, None], "probabilities"), logits)


def test_two_logits_give_the_log_odds_of_class_one_or_of_the_one_asked_for() -> None:
    logits = RNG.normal(size=(6, 2))
    assert np.allclose(target_score(logits, "logits"), logits[:, 1] - logits[:, 0])
    assert np.allclose(target_score(logits, "logits", 0), logits[:, 0] - logits[:, 1])


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_logits_and_their_softmax_give_the_same_log_odds(n_classes: int) -> None:
    logits = RNG.normal(size=(7, n_classes))
    target = n_classes - 1
    log_p = log_softmax(logits, axis=1)[:, target]
    expected = log_p - np.log1p(-np.exp(log_p))
    assert np.allclose(target_score(logits, "logits", target), expected)
    assert np.allclose(target_score(softmax(logits, axis=1), "probabilities", target), expected)


def test_many_scores_are_taken_as_they_are() -> None:
    scores = RNG.normal(size=(4, 3))
    assert np.array_equal(target_score(scores, "scores", 2), scores[:, 2])


def test_saturated_probabilities_stay_finite_and_ordered() -> None:
    one = target_score(np.array([0, 1e-30, 0.5, 1], dtype=np.float32), "probabilities")
    two = target_score(np.array([[1, 0], [1, 1e-30], [0.5, 0.5], [0, 1]], dtype=np.float32), "probabilities")
    for score in (one, two):
        assert np.isfinite(score).all()
        assert (np.diff(score) > 0).all()


def test_large_logits_do_not_overflow() -> None:
    assert np.allclose(target_score(np.array([[1e4, 0.0, -1e4]]), "logits", 0), 1e4)


@pytest.mark.parametrize(
    ("shape", "target", "message"),
    [
        ((3, 5), None, "`target_class` must be given: the classifier has 5 classes (0 to 4)."),
        ((3, 5), 5, "`target_class` must be in 0..4: the classifier has 5 classes; got 5."),
        ((3, 1), 1, "`target_class` must be in 0..0: the classifier has 1 class; got 1."),
        ((3, 5), -1, "`target_class` must be an integer >= 0; got -1."),
    ],
)
def test_a_missing_or_unknown_target_class_is_refused(shape: tuple[int, int], target: int | None, message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        target_score(np.zeros(shape), "logits", target)


def test_probabilities_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match=r"probabilities must lie in \[0, 1\]; got -2 to 3. Are they logits\?"):
        target_score(np.array([[-2.0], [3.0]]), "probabilities")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UserError, match="`outputs` must be one of logits, probabilities, scores; got 'odds'"):
        check_outputs_kind("odds")


def test_outputs_become_float32_columns() -> None:
    found = check_outputs([1, 2, 3], 3, "It")
    assert found.dtype == np.float32
    assert found.tolist() == [[1], [2], [3]]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (
            np.zeros((3, 2, 2)),
            r"The net must return an array \(3,\) or \(3, classes\) for 3 images; got shape \(3, 2, 2\)",
        ),
        (np.zeros((2, 4)), r"for 3 images; got 2 rows, shape \(2, 4\)"),
        (np.zeros(()), r"got shape \(\)"),
        (np.zeros((3, 0)), r"got shape \(3, 0\)"),
        ("cat", "The net must return numbers; got str"),
        ([[0.0], [np.nan], [np.nan]], r"The net returned NaN for 2 of 3 images \(image 11, 12\)"),
    ],
)
def test_wrong_outputs_are_refused(outputs: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_outputs(outputs, 3, "The net", first=10)


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)])
def test_images_must_be_uint8_rgb(bad: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"Image 1 must be a uint8 array \(height, width, 3\); got "):
        check_images([np.zeros((4, 4, 3), np.uint8), bad])


def test_no_images_are_refused() -> None:
    with pytest.raises(UserError, match="`images` must hold at least one image"):
        predict_batches([], 4, "It", lambda batch: batch)


def test_batches_with_different_columns_are_refused() -> None:
    images = np.zeros((3, 4, 4, 3), np.uint8)
    with pytest.raises(UserError, match="It returned 1 columns for one batch and 2 for another"):
        predict_batches(images, 2, "It", lambda batch: np.zeros((len(batch), len(batch))))


def test_nan_is_reported_by_the_number_of_the_image_in_the_whole_call() -> None:
    images = np.zeros((5, 4, 4, 3), np.uint8)
    images[3] = 1
    with pytest.raises(UserError, match=r"It returned NaN for 1 of 2 images \(image 3\)"):
        predict_batches(images, 2, "It", lambda batch: [np.nan if image.any() else 0.0 for image in batch])
