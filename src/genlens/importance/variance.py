"""Where the error of an importance comes from: the rows, the generator's noise, the permutations.

The influence of row i on the importance at noise draw r is phi_ir = a_i + e_ir: a part that is the row's own and one
that is new with every draw. The importance of N rows and R draws then has the variance var(a) / N + var(e) / (N R), and
a one-way analysis of variance gives both parts without bias. Permutations add nothing to an exact expectation; P
sampled ones, as published, add their variance / P.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genlens.errors import UserError
from genlens.importance.exact import has_closed_form
from genlens.importance.inference import cluster_sums, importance_influence
from genlens.importance.sampled import sample_scores
from genlens.importance.states import StateScores
from genlens.metrics import Scoring

N_PERMUTATIONS = 200
"""Permutations sampled to learn how much one of them differs from the next: the variance is known to 10%."""


@dataclass(frozen=True, eq=False)
class VarianceSplit:
    """Parts of the variance of D importances as they are, with N rows and R draws.

    Attributes:
        rows: (D,) the rows' part, var(a) / N; an unbiased estimate, so it may come out below 0.
        noise: (D,) the generator's, var(e) / (N R).
    """

    rows: np.ndarray
    noise: np.ndarray

    def error(self, more_rows: float = 1.0, more_draws: float = 1.0) -> np.ndarray:
        """Standard errors (D,) to expect of `more_rows` times the rows and `more_draws` times the draws."""
        return np.asarray(np.sqrt(np.maximum(self.rows + self.noise / more_draws, 0) / more_rows))

    @property
    def noise_share(self) -> np.ndarray:
        """(D,) the generator's share of the variance, in [0, 1]; NaN where there is no variance."""
        total = np.maximum(self.rows, 0) + self.noise
        return np.asarray(np.divide(self.noise, total, out=np.full(len(total), np.nan), where=total > 0))


def variance_split(
    y: np.ndarray,
    reference: np.ndarray,
    states: Sequence[StateScores],
    scoring: Scoring,
    clusters: np.ndarray | None = None,
) -> VarianceSplit:
    """Split the variance of each importance into rows and noise.

    Args:
        y: (N,) labels.
        reference: (N, R) or (N, R, C) reference scores.
        states: scores of each concept's states.
        scoring: of kind "auroc" or "additive".
        clusters: (N,) groups of dependent rows, or None; they then take the place of the rows.

    Raises:
        UserError: there is one draw only, or the score has no closed form.
    """
    n_draws = reference.shape[1]
    if n_draws < 2:
        raise UserError(
            f"`n_draws` must be at least 2 to tell the rows' part of the variance from the noise's; got {n_draws}."
        )
    if not has_closed_form(scoring):
        raise UserError(f"`scoring`={scoring.name!r} has no closed form, which the split needs. Use e.g. 'roc_auc'.")
    parts = [_split(_influences(y, reference, state, scoring), clusters) for state in states]
    rows, noise = np.array(parts).T
    return VarianceSplit(rows, noise)


def permutation_deviation(
    y: np.ndarray, states: Sequence[StateScores], scoring: Scoring, seed: int, n_permutations: int = N_PERMUTATIONS
) -> np.ndarray:
    """(D,) standard deviation of the importance from one sampled permutation to the next.

    Args:
        y: (N,) labels.
        states: scores of each concept's states.
        scoring: any score.
        seed: of the permutations, >= 0.
        n_permutations: how many are sampled, >= 2.
    """
    return np.array([sample_scores(y, state, scoring, n_permutations, seed).std(ddof=1) for state in states])


def _influences(y: np.ndarray, reference: np.ndarray, state: StateScores, scoring: Scoring) -> np.ndarray:
    """(N, R) influence of each row on the importance at each draw."""
    columns = []
    for draw in range(reference.shape[1]):
        scores = state.scores[:, :, draw : draw + 1]
        one = StateScores(state.concept, scores, state.stratum, state.counts, state.own, state.values)
        columns.append(importance_influence(y, reference[:, draw : draw + 1], one, scoring))
    return np.stack(columns, axis=1)


def _split(influences: np.ndarray, clusters: np.ndarray | None) -> tuple[float, float]:
    """Variance of the mean over rows and draws, from influences (N, R) whose columns have mean 0: rows, noise."""
    n_rows = len(influences)
    sums = np.stack([cluster_sums(column, clusters) for column in influences.T], axis=1)  # (G, R)
    n_units, n_draws = sums.shape
    means = sums.mean(axis=1)
    within = ((sums - means[:, None]) ** 2).sum() / ((n_units - 1) * (n_draws - 1))
    between = n_draws * (means**2).sum() / (n_units - 1)
    scale = n_units / n_rows**2  # of the variance of a unit's sum in the mean over rows
    return float((between - within) / n_draws * scale), float(within / n_draws * scale)
