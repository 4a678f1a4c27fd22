"""A ridge surrogate for the scores of states that were not rendered, cross-fitted: no row predicts itself.

It only has to be good enough to save images; `genlens.importance.difference` corrects whatever it gets wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_FOLDS = 5
"""The surrogate of a rendered row is fitted on the rendered rows of the other folds."""
_PENALTIES = 10.0 ** np.arange(-3, 4)
"""Ridge penalties a row; generalised cross-validation takes one of them."""


def predict_states(
    features: np.ndarray,
    reference: np.ndarray,
    rows: np.ndarray,
    true: np.ndarray,
    known: np.ndarray,
    values: np.ndarray | None = None,
) -> np.ndarray:
    """Predict the scores of every row in every state of a concept from those of some rows.

    What is predicted is the change from the reference score, by a ridge regression on the row's features and its
    reference score. Where a concept has two states and one of them is the reference image, both directions of the
    switch are one regression, else each state has its own. Known scores are taken as they are.

    Args:
        features: (N, F) what is known of every row without rendering: its concepts, its real score.
        reference: (N, R) or (N, R, C) scores of the reference images.
        rows: (n,) the rendered rows, in random order (their folds go by position).
        true: (n, S, R) or (n, S, R, C) their scores in each state.
        known: (N, S) bool, whether the image of that state is the row's reference image.
        values: (N, S) values of the states where they are numbers, or None.

    Returns:
        (N, S, R) or (N, S, R, C). Rows are dealt to folds, the rendered ones and the others alike, and a row's
        prediction comes from the rendered rows of the other folds.
    """
    outputs = (*reference.shape[:2], -1)
    given = reference.reshape(outputs)  # (N, R, C)
    changes = true.reshape(*true.shape[:3], -1) - given[rows][:, None]  # (n, S, R, C)
    base = np.concatenate([np.broadcast_to(features[:, None], (*given.shape[:2], features.shape[1])), given], axis=2)
    result = np.repeat(given[:, None], true.shape[1], axis=1)  # (N, S, R, C)
    if known.shape[1] == 2 and (known.sum(axis=1) == 1).all():
        sign = np.where(known[:, 0], 1.0, -1.0)  # of the change from slot 0 to slot 1
        other = known[:, 0].astype(np.int64)  # (N,) the slot that isn't known
        switched = changes[np.arange(len(rows)), other[rows]] * sign[rows, None, None]  # (n, R, C)
        predicted = _cross_fitted(base, rows, switched, np.ones(len(rows), dtype=bool))
        result[np.arange(len(result)), other] += predicted * sign[:, None, None]
    else:
        for slot in range(true.shape[1]):
            more = [] if values is None else [np.repeat(values[:, [slot], None], given.shape[1], axis=1)]
            design = np.concatenate([base, *more], axis=2)
            predicted = _cross_fitted(design, rows, changes[:, slot], ~known[rows, slot])
            result[:, slot] += np.where(known[:, slot, None, None], 0.0, predicted)
    return np.asarray(result.reshape(len(result), *true.shape[1:]))


def _cross_fitted(design: np.ndarray, rows: np.ndarray, target: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Predictions (N, R, C) from designs (N, R, F) and targets (n, R, C) of the rows, of which some are not used."""
    n_folds = min(N_FOLDS, len(rows))
    others = np.setdiff1d(np.arange(len(design)), rows)
    fold = np.empty(len(design), dtype=np.int64)
    fold[rows] = np.arange(len(rows)) % n_folds
    fold[others] = np.random.default_rng(len(rows)).permutation(len(others)) % n_folds
    result = np.empty((len(design), *target.shape[1:]))
    for k in range(n_folds):
        fitted = used & (fold[rows] != k)
        x, z = design[rows[fitted]], target[fitted]
        line = _ridge(x.reshape(-1, x.shape[2]), z.reshape(-1, z.shape[2]))
        result[fold == k] = line(design[fold == k])
    return result


@dataclass(frozen=True, eq=False)
class _Line:
    """Predictions intercept + (x - centre) @ slopes."""

    centre: np.ndarray
    slopes: np.ndarray
    intercept: np.ndarray

    def __call__(self, design: np.ndarray) -> np.ndarray:
        return np.asarray((design - self.centre) @ self.slopes + self.intercept)


def _ridge(x: np.ndarray, z: np.ndarray) -> _Line:
    """Ridge regression of (n, C) targets on (n, F) designs; the penalty by generalised cross-validation."""
    n = len(x)
    if n == 0:
        return _Line(np.zeros(x.shape[1]), np.zeros((x.shape[1], z.shape[1])), np.zeros(z.shape[1]))
    centre, intercept = x.mean(axis=0), z.mean(axis=0)
    spread = x.std(axis=0)
    scale = np.where(spread > 1e-12, spread, np.inf)
    x, z = (x - centre) / scale, z - intercept
    lengths, axes = np.linalg.eigh(x.T @ x)
    lengths = np.clip(lengths, 0, None)
    moments = axes.T @ (x.T @ z)  # (F, C)
    shrunk = 1 / (lengths + n * _PENALTIES[:, None])  # (A, F)
    power = (moments**2).sum(axis=1)
    left = (z**2).sum() - (2 * shrunk - lengths * shrunk**2) @ power  # (A,) squared residuals
    freedom = n - 1 - (lengths * shrunk).sum(axis=1)
    best = int(np.argmin(np.where(freedom > 0.5, left / np.maximum(freedom, 0.5) ** 2, np.inf)))
    slopes = axes @ (shrunk[best][:, None] * moments) / scale[:, None]
    return _Line(centre, np.asarray(slopes), intercept)
