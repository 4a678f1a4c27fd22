"""Scores: scikit-learn's numbers, labels of any two values, and clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn import metrics

from genlens.errors import UserError
from genlens.metrics import Scoring, binarise_labels, get_scoring, positives, refuse_uncertain

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 2, 120)
SCORE = RNG.normal(size=120) + Y
Y3 = RNG.integers(0, 3, 120)
OUTPUTS = RNG.normal(size=(120, 3)) + np.eye(3)[Y3]
LOG_LOSS = -metrics.log_loss(Y3, softmax(OUTPUTS, axis=1))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("roc_auc", metrics.roc_auc_score(Y, SCORE)),
        ("average_precision", metrics.average_precision_score(Y, SCORE)),
        ("accuracy", metrics.accuracy_score(Y, SCORE > 0)),
        ("balanced_accuracy", metrics.balanced_accuracy_score(Y, SCORE > 0)),
        ("f1", metrics.f1_score(Y, SCORE > 0)),
        ("neg_log_loss", -metrics.log_loss(Y, expit(SCORE))),
        ("neg_brier_score", -metrics.brier_score_loss(Y, expit(SCORE))),
        ("neg_mean_squared_error", -metrics.mean_squared_error(Y, SCORE)),
        ("neg_root_mean_squared_error", -metrics.root_mean_squared_error(Y, SCORE)),
        ("r2", metrics.r2_score(Y, SCORE)),
    ],
)
def test_binary_and_regression_scores_are_scikit_learns(name, expected):
    assert get_scoring(name)(Y, SCORE) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", metrics.accuracy_score(Y3, OUTPUTS.argmax(axis=1))),
        ("f1_macro", metrics.f1_score(Y3, OUTPUTS.argmax(axis=1), average="macro")),
        ("neg_log_loss", LOG_LOSS),
        ("roc_auc_ovr", metrics.roc_auc_score(Y3, softmax(OUTPUTS, axis=1), multi_class="ovr")),
    ],
)
@pytest.mark.parametrize("names", [[0, 1, 2], ["ape", "bee", "cat"]])
def test_multiclass_scores_take_outputs(name, expected, names):
    assert get_scoring(name)(np.array(names)[Y3], OUTPUTS) == pytest.approx(expected, abs=1e-12)


def test_probabilities_are_taken_as_they_are():
    assert get_scoring("neg_log_loss")(Y3, softmax(OUTPUTS, axis=1)) == pytest.approx(LOG_LOSS, abs=1e-12)


@pytest.mark.parametrize("labels", [["cat", "dog"], [-1, 1], [False, True], [3.0, 7.0]])
@pytest.mark.parametrize("name", ["roc_auc", "accuracy", "neg_log_loss"])
def test_labels_may_be_any_two_values(labels, name):
    assert get_scoring(name)(np.array(labels)[Y], SCORE) == get_scoring(name)(Y, SCORE)


@pytest.mark.parametrize("name", ["accuracy", "neg_log_loss", "neg_brier_score", "neg_mean_absolute_error", "r2"])
def test_additive_scores_are_means_over_rows(name):
    scoring = get_scoring(name)
    assert scoring.kind == "additive" and scoring.per_row is not None
    scale = 1 if scoring.scale is None else scoring.scale(Y).mean()
    assert scoring.per_row(Y, SCORE).mean() / scale == pytest.approx(scoring(Y, SCORE), abs=1e-12)
    if name in ("accuracy", "neg_log_loss", "neg_brier_score"):
        assert scoring.per_row(Y3, OUTPUTS).mean() == pytest.approx(scoring(Y3, OUTPUTS), abs=1e-12)


def test_constant_scores_have_an_auroc_of_one_half():
    assert get_scoring("roc_auc")(Y, np.zeros(120)) == 0.5


@pytest.mark.parametrize("name", ["roc_auc", "neg_log_loss", "roc_auc_ovr"])
def test_a_score_of_one_class_is_nan(name):
    assert np.isnan(get_scoring(name)(np.zeros(5, dtype=int), SCORE[:5]))


def test_a_resample_without_a_class_keeps_the_codes_of_the_others():
    named = np.array(["ape", "bee", "cat"])[Y3]
    scoring = get_scoring("accuracy")
    codes = scoring.codes(named, OUTPUTS)
    assert codes.tolist() == Y3.tolist()
    some = Y3 != 1
    assert scoring(codes[some], OUTPUTS[some]) == metrics.accuracy_score(Y3[some], OUTPUTS[some].argmax(axis=1))
    assert np.isnan(get_scoring("roc_auc_ovr")(codes[some], OUTPUTS[some]))
    assert get_scoring("r2").codes(SCORE, SCORE) is SCORE


def test_callables_scorers_and_scorings():
    assert get_scoring(lambda y, score: 2.0)(Y, SCORE) == 2.0
    scorer = metrics.make_scorer(metrics.fbeta_score, beta=2)
    found = get_scoring(scorer)
    assert found.name == "fbeta_score" and found(Y, SCORE) == metrics.fbeta_score(Y, SCORE > 0, beta=2)
    error = metrics.make_scorer(metrics.mean_pinball_loss, greater_is_better=False)
    assert get_scoring(error)(Y, SCORE) == -metrics.mean_pinball_loss(Y, SCORE)
    assert get_scoring(found) is found and isinstance(found, Scoring)


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        ("roc_acu", "`scoring` must be a scikit-learn scorer name; got 'roc_acu'. Near: roc_auc"),
        ("zzz", "Near: roc_auc, accuracy, r2"),
        (3, r"`scoring` must be a scorer name or a callable \(y_true, y_score\) -> float; got 3"),
    ],
)
def test_unknown_scores_are_refused(scoring, message):
    with pytest.raises(UserError, match=message):
        get_scoring(scoring)


@pytest.mark.parametrize(
    ("name", "y", "score", "message"),
    [
        ("roc_auc", Y3, OUTPUTS, "needs one score a row; got 3 outputs. Name a target class, or use 'roc_auc_ovr'"),
        ("roc_auc", Y3, SCORE, r"`labels` must have two values for an AUROC; got 3 \(0, 1, 2\)"),
        ("accuracy", Y3, SCORE, r"The labels have 3 classes \(0, 1, 2\) but the classifier gives one score a row"),
        ("accuracy", np.array(list("abcde"))[Y3 + 2 * Y], OUTPUTS, "but the classifier gives 3 outputs"),
        ("f1", Y3, OUTPUTS, "`scoring`='f1' doesn't fit these labels and predictions: Target is multiclass"),
    ],
)
def test_scores_that_do_not_fit_are_one_clear_line(name, y, score, message):
    with pytest.raises(UserError, match=message) as error:
        get_scoring(name)(y, score)
    assert "\n" not in str(error.value)


def test_positives_are_the_larger_label():
    assert positives(np.array(["a", "b", "a"])).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("labels", "target", "expected"),
    [
        ([5, 9, 5], None, [0, 1, 0]),
        ([0, 1, 2, 1], 1, [0, 1, 0, 1]),
        ([0, 1, 2, 1], "1", [0, 1, 0, 1]),
        (["cat", "dog", "eel"], "eel", [0, 0, 1]),
    ],
)
def test_labels_become_target_class_or_not(labels, target, expected):
    found = binarise_labels(np.array(labels), target)
    assert found.dtype == np.int8 and found.tolist() == expected


@pytest.mark.parametrize(
    ("labels", "target", "message"),
    [
        ([0, 1, 2], 7, "The target class 7 is not among the labels: 0, 1, 2."),
        (["a", "b"], 1, "The target class 1 is not among the labels: a, b."),
        (list(range(30)), "x", r"0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … \(30 in all\)"),
        ([3, 3], 3, "Every label is the target class 3; add rows of other classes."),
        ([0, 1, 2], None, "`labels` must have two values for an AUROC; got 3"),
    ],
)
def test_impossible_target_classes_are_refused(labels, target, message):
    with pytest.raises(UserError, match=message):
        binarise_labels(np.array(labels), target)


def test_a_callable_that_needs_probabilities_and_gets_log_odds_says_so() -> None:
    from sklearn.metrics import brier_score_loss, log_loss

    y, score = np.array([0, 1, 1, 0]), np.array([-2.0, 3.0, 1.0, -1.0])
    for function in (log_loss, brier_score_loss):
        with pytest.raises(UserError, match=r"doesn't take the target's scores, -2 to 3 .* take their logistic\.$"):
            get_scoring(function)(y, score)
    assert get_scoring(lambda y_true, y_score: -log_loss(y_true, 1 / (1 + np.exp(-y_score))))(y, score) < 0


@pytest.mark.parametrize("name", ["neg_log_loss", "neg_brier_score", "roc_auc_ovr"])
def test_scores_of_no_known_scale_are_no_probabilities(name: str) -> None:
    with pytest.raises(UserError, match=f"^`scoring`='{name}' needs probabilities, and the classifier's outputs are"):
        refuse_uncertain(get_scoring(name), "scores")
    for outputs in ("logits", "probabilities"):
        refuse_uncertain(get_scoring(name), outputs)
    refuse_uncertain(get_scoring("roc_auc"), "scores")
    refuse_uncertain(get_scoring("accuracy"), "scores")
