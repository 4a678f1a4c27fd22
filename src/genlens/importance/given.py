"""What a row's other concepts say about one concept: the probabilities with which a conditional permutation moves it.

Two sources. *Strata*: rows with equal values of the given concepts; a value moves inside a stratum only. *A model*: the
probability of each value given the other concepts, from a scikit-learn classifier fitted on other rows (cross-fitted).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from genlens.captions import plain
from genlens.columns import Concept
from genlens.errors import UserError

GivenBy: TypeAlias = str | Sequence[str] | Any
"""`MODEL`, `BOOSTING`, `OTHERS`, names of concepts, or a scikit-learn classifier with `predict_proba`."""

MODEL, BOOSTING, OTHERS = "model", "boosting", "others"
"""A logistic regression on all other concepts; gradient boosting on them; strata of all other concepts."""

N_FOLDS = 5
N_BINS = 4
"""Numbers, and counts of more than `MAX_VALUES` values, are cut into this many bins of equal size."""
MAX_VALUES = 8
_C = 10.0  # inverse penalty of the logistic regression: weak, so that a certain value gets a probability near 1


@dataclass(frozen=True, eq=False)
class Given:
    """Probability of each value of a concept in each row, given the row's other concepts.

    Args:
        own: (N,) stratum of each row's own value, in [0, B).
        probabilities: (N, B), rows sum to 1.
        cells: (N,) stratum of given values within which rows are permuted, in [0, G); None: drawn independently.
        design: (N, P) predictors of a logistic regression whose own error enters the influences, or None.
    """

    own: np.ndarray
    probabilities: np.ndarray
    cells: np.ndarray | None = None
    design: np.ndarray | None = None

    def influence(self, slopes: np.ndarray) -> np.ndarray:
        """Influence (N,) of the rows through the probabilities, which another sample would have estimated otherwise.

        Args:
            slopes: (N, B) derivative of the score in each probability, times N.

        Returns:
            (N,). Strata: each row's part in its stratum's frequencies. Logistic regression: the delta method. Other
            models: 0, which takes their probabilities as known.
        """
        residual = np.eye(self.probabilities.shape[1])[self.own] - self.probabilities  # (N, B)
        if self.cells is not None:
            counts = np.bincount(self.cells)
            sums = np.stack([np.bincount(self.cells, weights=column) for column in slopes.T], axis=1)  # (G, B)
            return np.asarray((residual * (sums / counts[:, None])[self.cells]).sum(axis=1))
        if self.design is not None:
            return np.asarray((residual * (self.design @ self._newton_step(slopes))).sum(axis=1))
        return np.zeros(len(self.own))

    def _newton_step(self, slopes: np.ndarray) -> np.ndarray:
        """(P, B): inverse Fisher information of the logistic regression times the score's gradient."""
        shares, design = self.probabilities, np.asarray(self.design)
        size, n_values = design.shape[1], shares.shape[1]
        jacobian = shares[:, :, None] * (np.eye(n_values) - shares[:, None, :])  # (N, B, B)
        gradient = np.einsum("np,nbc,nc->pb", design, jacobian, slopes) / len(design)
        fisher = np.einsum("np,nq,nbc->pbqc", design, design, jacobian, optimize=True) / len(design)
        penalty = np.eye(size * n_values) / (_C * len(design))
        step = np.linalg.solve(fisher.reshape(size * n_values, -1) + penalty, gradient.ravel())
        return np.asarray(step.reshape(size, n_values))


def check_given(given: GivenBy, concepts: Sequence[Concept]) -> None:
    """Refuse a `given` that can't be used with a table's concepts.

    Raises:
        UserError: it is no name, list of concepts or classifier; there is one concept only; or in the strata that it
            makes no row can change some concept.
    """
    names = [concept.name for concept in concepts]
    if not isinstance(given, str) and hasattr(given, "predict_proba"):
        _refuse_single(concepts)
        return
    if isinstance(given, str):
        if given not in (MODEL, BOOSTING, OTHERS):
            raise UserError(
                f"`given` must be 'model', 'boosting', 'others', a list of concepts or a scikit-learn classifier with "
                f"`predict_proba`; got {given!r}."
            )
        _refuse_single(concepts)
    elif not isinstance(given, Sequence) or not given:
        raise UserError(f"`given` must name at least one concept, or be 'model' or 'others'; got {given!r}.")
    elif strange := [name for name in given if name not in names]:
        raise UserError(f"`given` names {strange[0]!r}, which is no concept. Concepts: {', '.join(names)}.")
    elif len(set(given)) < len(given):
        raise UserError(f"`given` must name each concept once; got {', '.join(given)}.")
    elif list(given) == names:
        _refuse_single(concepts)
    for concept in concepts if given not in (MODEL, BOOSTING) else ():
        others = given_columns(given, concept.name, concepts)
        if others:
            _refuse_still(concept, others)


def given_columns(given: GivenBy, name: str, concepts: Sequence[Concept]) -> list[Concept]:
    """The concepts on which concept `name` is conditioned: those named (or all), itself left out."""
    chosen = [concept.name for concept in concepts] if isinstance(given, str) or hasattr(given, "fit") else list(given)
    return [concept for concept in concepts if concept.name in chosen and concept.name != name]


def given_strata(own: np.ndarray, n_values: int, others: Sequence[Concept]) -> Given:
    """Probabilities from the frequencies among rows with equal values of other concepts.

    Args:
        own: (N,) stratum of each row's own value, in [0, B).
        n_values: B.
        others: at least one concept.
    """
    _, cells = np.unique(np.stack([codes(concept)[0] for concept in others], axis=1), axis=0, return_inverse=True)
    return within_cells(own, n_values, cells.ravel())


def within_cells(own: np.ndarray, n_values: int, cells: np.ndarray) -> Given:
    """Probabilities from the frequencies within cells (N,) of rows, numbered from 0 without gaps."""
    counts = np.zeros((int(cells.max()) + 1, n_values))
    np.add.at(counts, (cells, own), 1.0)
    return Given(own, (counts / counts.sum(axis=1, keepdims=True))[cells], cells)


def given_model(
    own: np.ndarray, n_values: int, others: Sequence[Concept], folds: np.ndarray, model: Any = MODEL
) -> Given:
    """Probabilities from a classifier of the concept given all others, each row's from a fit without its fold.

    Args:
        own: (N,) stratum of each row's own value, in [0, B).
        n_values: B.
        others: at least one concept.
        folds: (N,) fold of each row, see `folds_of`.
        model: "model" (logistic regression), "boosting", or a scikit-learn classifier, which is cloned.
    """
    from sklearn.base import clone

    features = design(others)
    estimator = _estimator(model)
    shares = np.zeros((len(own), n_values))
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        found = np.unique(own[train])
        if len(found) == 1:
            shares[test, found[0]] = 1.0
            continue
        fitted = clone(estimator).fit(features[train], own[train])
        shares[np.ix_(test, np.asarray(fitted.classes_, dtype=np.int64))] = fitted.predict_proba(features[test])
    intercept = np.ones((len(own), 1))
    return Given(own, shares, design=np.hstack([intercept, features]) if model == MODEL else None)


def folds_of(row_keys: np.ndarray, clusters: np.ndarray | None = None) -> np.ndarray:
    """Fold (N,) of each row, in [0, `N_FOLDS`): by the rank of its key, or by its cluster, which stays whole."""
    if clusters is not None:
        row_keys = np.unique(clusters, return_inverse=True)[1].ravel()
        return np.asarray(row_keys % N_FOLDS)
    return np.asarray(np.argsort(np.argsort(row_keys)) % N_FOLDS)


def codes(concept: Concept) -> tuple[np.ndarray, list[str]]:
    """A concept's values as (N,) numbers of strata from 0, and the strata's names."""
    values = concept.present.astype(np.int64) if concept.kind == "segment" else concept.values
    distinct, code = np.unique(values, return_inverse=True)
    if concept.kind == "number" or (concept.kind == "count" and len(distinct) > MAX_VALUES):
        edges = np.quantile(values, np.arange(1, N_BINS) / N_BINS)
        code = np.unique(np.searchsorted(edges, values, side="right"), return_inverse=True)[1]
        return code.ravel(), [f"{concept.name} in part {k + 1}" for k in range(int(code.max()) + 1)]
    return code.ravel(), [f"{concept.name}={plain(value)}" for value in distinct]


def design(concepts: Sequence[Concept]) -> np.ndarray:
    """Predictors (N, P): numbers and counts standardised, all else one column a value but the first."""
    columns = []
    for concept in concepts:
        if concept.kind in ("number", "count"):
            values = concept.values.astype(np.float64)
            columns.append((values - values.mean())[:, None] / values.std())
        else:
            code, names = codes(concept)
            columns.append(np.eye(len(names))[code][:, 1:])
    return np.hstack(columns)


def still_rows(given: Given) -> np.ndarray:
    """Bool (N,): rows that keep their value, since all rows of their stratum have it; none where a model is used."""
    if given.cells is None:
        return np.zeros(len(given.own), dtype=bool)
    return np.asarray(given.probabilities.max(axis=1) == 1.0)


def _estimator(model: Any) -> Any:
    if model == MODEL:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=_C, max_iter=1000)
    if model == BOOSTING:
        from sklearn.ensemble import GradientBoostingClassifier

        return GradientBoostingClassifier(n_estimators=50, random_state=0)
    return model


def _refuse_single(concepts: Sequence[Concept]) -> None:
    if len(concepts) < 2:
        raise UserError("`given` needs at least two concepts; there is one only. Name another, or drop `given`.")


def _refuse_still(concept: Concept, others: Sequence[Concept]) -> None:
    """Raise a UserError where no row has another value of the concept in its stratum."""
    carried = concept.kind == "segment" or (concept.kind == "count" and len(np.unique(concept.values)) > MAX_VALUES)
    own = concept.present.astype(np.int64) if carried else codes(concept)[0]
    if concept.kind == "number" or own.min() == own.max():
        return  # carried from any row: not permuted conditionally
    given = given_strata(own, int(own.max()) + 1, others)
    if not still_rows(given).all():
        return
    cells = np.asarray(given.cells)
    largest = int(np.bincount(cells).argmax())
    row = int(np.flatnonzero(cells == largest)[0])
    shown = [labels[numbers[row]] for numbers, labels in (codes(other) for other in others)]
    where = ", ".join(shown[:4]) + ("" if len(shown) <= 4 else ", …")
    raise UserError(
        f"No row can change {concept.name!r} within the strata of `given`: even the largest ({where}; "
        f"{int((cells == largest).sum())} rows) has one value of it. Give fewer concepts, or 'model'."
    )
