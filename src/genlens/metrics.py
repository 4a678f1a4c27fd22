"""Scores of predictions, higher is better: any scikit-learn scorer name, a scorer object or a callable.

Predictions are numbers that a classifier gave, not a fitted estimator: the target score (N,), read as a log-odds where
a scorer wants probabilities or classes (class 1 above 0) and as the prediction itself by regression scorers; or the
outputs (N, C) for multi-class scorers.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy.special import expit, softmax

from genlens.errors import UserError

Kind = Literal["auroc", "additive", "other"]
PerRow: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]

REGRESSION_SCORERS = frozenset(
    {
        "d2_absolute_error_score",
        "explained_variance",
        "neg_max_error",
        "neg_mean_absolute_error",
        "neg_mean_absolute_percentage_error",
        "neg_mean_gamma_deviance",
        "neg_mean_poisson_deviance",
        "neg_mean_squared_error",
        "neg_mean_squared_log_error",
        "neg_median_absolute_error",
        "neg_root_mean_squared_error",
        "neg_root_mean_squared_log_error",
        "r2",
    }
)


@dataclass(frozen=True, eq=False)
class Scoring:
    """A score of predictions, higher is better.

    Calling it with labels y_true (N,) and y_score (N,) or (N, C) returns a float; NaN where the score is undefined on
    these rows (one class only). An additive score is mean(per_row) / mean(scale), with scale = 1 where it is None.

    Args:
        name: scikit-learn's name, or the callable's.
        kind: "auroc", "additive" or "other"; the first two have exact expectations over permutations.
        function: (y_true, y_score) -> float.
        per_row: additive scores: (y_true, y_score) -> (N,).
        scale: additive scores that divide by a mean over the labels (r2): y_true -> (N,).
        of_classes: whether labels are classes, for `codes`.
        of_probabilities: whether it needs probabilities; log-odds are turned into them, other scores can't be.
    """

    name: str
    kind: Kind
    function: Callable[[np.ndarray, np.ndarray], float]
    per_row: PerRow | None = None
    scale: Callable[[np.ndarray], np.ndarray] | None = None
    of_classes: bool = False
    of_probabilities: bool = False

    def __call__(self, y_true: np.ndarray, y_score: np.ndarray) -> float:
        """Score predictions (N,) or (N, C) against labels (N,)."""
        return float(self.function(np.asarray(y_true), np.asarray(y_score)))

    def codes(self, y_true: np.ndarray, y_score: np.ndarray) -> np.ndarray:
        """Labels (N,) of classes as numbers of the outputs, so that a resample without some class keeps the others'.

        Raises:
            UserError: the labels have other classes than the outputs `y_score`, (N,) or (N, C).
        """
        return _codes(y_true, y_score) if self.of_classes and self.kind != "auroc" else np.asarray(y_true)


def get_scoring(scoring: str | Scoring | Callable[..., float]) -> Scoring:
    """Look a score up.

    Args:
        scoring: a scikit-learn scorer name, a scorer from `sklearn.metrics.make_scorer`, or a callable
            (y_true, y_score) -> float, higher is better.

    Raises:
        UserError: the name is unknown (near matches are listed) or it isn't callable.
    """
    if isinstance(scoring, Scoring):
        return scoring
    from sklearn.metrics import get_scorer, get_scorer_names

    if not isinstance(scoring, str):
        return _from_callable(scoring)
    names = get_scorer_names()
    if scoring not in names:
        near = difflib.get_close_matches(scoring, names, n=3, cutoff=0.4) or ["roc_auc", "accuracy", "r2"]
        raise UserError(f"`scoring` must be a scikit-learn scorer name; got {scoring!r}. Near: {', '.join(near)}.")
    if scoring == "roc_auc":
        return Scoring(scoring, "auroc", _roc_auc)
    scorer = get_scorer(scoring)
    function = partial(_scored, scorer, scoring in REGRESSION_SCORERS, scoring)
    per_row = _PER_ROW.get(scoring)
    scale = _squared_deviation if scoring == "r2" else None
    of_classes = scoring not in REGRESSION_SCORERS
    certain = scorer._response_method == "predict_proba"
    return Scoring(scoring, "additive" if per_row else "other", function, per_row, scale, of_classes, certain)


def positives(labels: np.ndarray) -> np.ndarray:
    """Labels of two values -> bool (N,), True for the larger one (scikit-learn's positive class).

    Raises:
        UserError: there are other than two values.
    """
    values = np.unique(labels)
    if len(values) != 2:
        raise UserError(
            f"`labels` must have two values for an AUROC; got {len(values)} ({_listed(values)}). "
            "Name the target class, or choose another `scoring`."
        )
    return np.asarray(labels == values[1])


def binarise_labels(labels: np.ndarray, target: Any = None) -> np.ndarray:
    """Turn labels into "is the target class" or not.

    Args:
        labels: (N,) of any type.
        target: the label of the target class; None only for labels of two values, where it is the larger one. Text is
            compared with the label's text, so "3" finds 3.

    Returns:
        (N,) int8, 1 where the label is the target.

    Raises:
        UserError: `target` is missing from the labels, or is the only label, or None with more than two values.
    """
    labels = np.asarray(labels)
    if target is None:
        return positives(labels).astype(np.int8)
    matches = labels == target if not isinstance(target, str) else labels.astype(str) == target
    matches = np.broadcast_to(np.asarray(matches, dtype=bool), labels.shape)
    if not matches.any():
        raise UserError(f"The target class {target!r} is not among the labels: {_listed(np.unique(labels))}.")
    if matches.all():
        raise UserError(f"Every label is the target class {target!r}; add rows of other classes.")
    return matches.astype(np.int8)


def _listed(values: np.ndarray, most: int = 10) -> str:
    shown = ", ".join(str(value) for value in values[:most])
    return shown if len(values) <= most else f"{shown}, … ({len(values)} in all)"


def _from_callable(scoring: object) -> Scoring:
    if not callable(scoring):
        raise UserError(f"`scoring` must be a scorer name or a callable (y_true, y_score) -> float; got {scoring!r}.")
    response = getattr(scoring, "_response_method", None)  # set on the objects of sklearn.metrics.make_scorer
    if response is None:
        name = str(getattr(scoring, "__name__", type(scoring).__name__))
        return Scoring(name, "other", partial(_called, scoring, name))
    metric = scoring._score_func  # type: ignore[attr-defined]
    raw = response == "predict" and metric.__module__.endswith("_regression")
    function, certain = partial(_scored, scoring, raw, metric.__name__), response == "predict_proba"
    return Scoring(metric.__name__, "other", function, of_classes=not raw, of_probabilities=certain)


def _called(function: Callable[..., float], name: str, y_true: np.ndarray, y_score: np.ndarray) -> float:
    """Call a user's own score, which gets the target score as it is."""
    try:
        return function(y_true, y_score)
    except ValueError as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise UserError(
            f"`scoring`={name!r} doesn't take the target's scores, {y_score.min():.3g} to {y_score.max():.3g} "
            f"({reason}). They are log-odds where the classifier has them: one that needs probabilities must "
            "take their logistic."
        ) from error


def refuse_uncertain(scoring: Scoring, outputs: str) -> None:
    """Refuse a score of probabilities for a classifier that gives neither logits nor probabilities.

    Args:
        scoring: the score.
        outputs: what the classifier's outputs are, see `genlens.classifiers.protocol.Outputs`.

    Raises:
        UserError: they don't fit.
    """
    if scoring.of_probabilities and outputs == "scores":
        raise UserError(
            f"`scoring`={scoring.name!r} needs probabilities, and the classifier's outputs are scores of no known "
            "scale. Load it with outputs='logits' or outputs='probabilities' if they are that, or use e.g. 'roc_auc'."
        )


def _roc_auc(y_true: np.ndarray, y_score: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    if y_score.ndim != 1:
        raise UserError(
            f"`scoring`='roc_auc' needs one score a row; got {y_score.shape[1]} outputs. "
            "Name a target class, or use 'roc_auc_ovr'."
        )
    return float("nan") if len(np.unique(y_true)) == 1 else float(roc_auc_score(positives(y_true), y_score))


def _scored(scorer: Any, regression: bool, name: str, y_true: np.ndarray, y_score: np.ndarray) -> float:
    """Call a scikit-learn scorer on predictions."""
    regressor, classifier = _given()
    estimator = regressor() if regression else classifier(_classes(y_true, y_score))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # undefined on these rows: the score says so by NaN or its convention
        try:
            return float(scorer(estimator, y_score, y_true))
        except ValueError as error:
            if not regression and len(np.unique(y_true)) < len(estimator.classes_):
                return float("nan")
            reason = str(error).splitlines()[0].rstrip(".")
            raise UserError(f"`scoring`={name!r} doesn't fit these labels and predictions: {reason}.") from error


def _classes(y_true: np.ndarray, y_score: np.ndarray) -> np.ndarray:
    """Class of each output: 0 ... C-1 for labels that are such numbers, else the sorted labels."""
    values = np.unique(y_true)
    n_outputs = 2 if y_score.ndim == 1 else y_score.shape[1]
    if values.dtype.kind in "biu" and values[0] >= 0 and values[-1] < n_outputs:
        return np.arange(n_outputs)
    if len(values) != n_outputs:
        what = "one score a row" if y_score.ndim == 1 else f"{n_outputs} outputs"
        raise UserError(f"The labels have {len(values)} classes ({_listed(values)}) but the classifier gives {what}.")
    return values


@cache
def _given() -> tuple[type, type]:
    """Estimators whose predictions are their input: (regressor, classifier with the classes it is made with)."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class GivenRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict(self, scores: np.ndarray) -> np.ndarray:
            return scores

    class GivenClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def __init__(self, classes_: np.ndarray) -> None:
            self.classes_ = classes_

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def decision_function(self, scores: np.ndarray) -> np.ndarray:
            return scores

        def predict_proba(self, scores: np.ndarray) -> np.ndarray:
            return probabilities(scores)

        def predict(self, scores: np.ndarray) -> np.ndarray:
            return np.asarray(self.classes_[predicted(scores)])

    return GivenRegressor, GivenClassifier


def probabilities(y_score: np.ndarray) -> np.ndarray:
    """(N, C) probabilities of log-odds (N,) or of outputs (N, C), which may be probabilities already."""
    if y_score.ndim == 1:
        positive = expit(y_score)
        return np.stack([1 - positive, positive], axis=1)
    if (y_score >= 0).all() and np.allclose(y_score.sum(axis=1), 1, atol=1e-4):
        return np.asarray(y_score / y_score.sum(axis=1, keepdims=True))
    return np.asarray(softmax(y_score, axis=1))


def predicted(y_score: np.ndarray) -> np.ndarray:
    """(N,) index of the predicted class: log-odds above 0, or the largest output."""
    return np.asarray(y_score > 0).astype(np.int64) if y_score.ndim == 1 else np.asarray(y_score.argmax(axis=1))


def _codes(y_true: np.ndarray, y_score: np.ndarray) -> np.ndarray:
    """(N,) index of each label among the outputs."""
    return np.asarray(np.searchsorted(_classes(y_true, y_score), y_true))


def _correct(y_true: np.ndarray, y_score: np.ndarray) -> np.ndarray:
    return np.asarray((predicted(y_score) == _codes(y_true, y_score)).astype(np.float64))


def _log_likelihood(y_true: np.ndarray, y_score: np.ndarray) -> np.ndarray:
    shares = probabilities(y_score)
    tiny = np.finfo(shares.dtype).eps
    own = np.clip(shares, tiny, 1 - tiny)[np.arange(len(y_true)), _codes(y_true, y_score)]
    return np.asarray(np.log(own))


def _neg_brier(y_true: np.ndarray, y_score: np.ndarray) -> np.ndarray:
    shares = probabilities(y_score)
    errors = ((shares - np.eye(shares.shape[1])[_codes(y_true, y_score)]) ** 2).sum(axis=1)
    return np.asarray(-errors / 2 if shares.shape[1] == 2 else -errors)


def _neg_squared_error(y_true: np.ndarray, y_score: np.ndarray) -> np.ndarray:
    return np.asarray(-((y_true - y_score) ** 2))


def _neg_absolute_error(y_true: np.ndarray, y_score: np.ndarray) -> np.ndarray:
    return np.asarray(-np.abs(y_true - y_score))


def _squared_deviation(y_true: np.ndarray) -> np.ndarray:
    return np.asarray((y_true - y_true.mean()) ** 2)


def _explained_deviation(y_true: np.ndarray, y_score: np.ndarray) -> np.ndarray:
    return np.asarray(_squared_deviation(y_true) - (y_true - y_score) ** 2)


_PER_ROW: dict[str, PerRow] = {
    "accuracy": _correct,
    "neg_brier_score": _neg_brier,
    "neg_log_loss": _log_likelihood,
    "neg_mean_absolute_error": _neg_absolute_error,
    "neg_mean_squared_error": _neg_squared_error,
    "r2": _explained_deviation,
}
