"""Several target models on the same images: their importances side by side, and what differs between two of them.

The models see the same rows in the same states, so the difference of two importances is estimated row by row: its
influence is the difference of their influences (`genlens.importance.inference`), and what the rows have in common
cancels. Every pair of models is compared on every concept; q-values are Benjamini-Hochberg over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from genlens.errors import UserError
from genlens.importance.exact import expected_importance, has_closed_form
from genlens.importance.inference import (
    check_confidence,
    cluster_sums,
    importance_influence,
    interval,
    score_influence,
)
from genlens.importance.reliance import reliance
from genlens.importance.sampled import mean_score
from genlens.importance.states import StateScores, StatesLike
from genlens.importance.swaps import benjamini_hochberg
from genlens.metrics import Scoring

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Comparison:
    """Importances of D concepts for K target models on the same N rows.

    Args:
        models: K names.
        concepts: D names.
        importance: (K, D) reference score - expected permuted score.
        ci_low: (K, D) lower end of the interval over rows.
        ci_high: (K, D) upper end.
        reliance: (K, D) mean absolute change of the score between states, in standard deviations of the model's own
            reference scores, so that models with scores of other scales can stand side by side.
        reference_score: (K,) score on the reference images.
        reference_ci: (K, 2) its interval.
        covariance: (D, K, K) covariance of the models' importances of each concept, over rows (or clusters).
        n_units: rows, or clusters of rows.
        confidence: level of the intervals.
        scoring: name of the score.
    """

    models: tuple[str, ...]
    concepts: tuple[str, ...]
    importance: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    reliance: np.ndarray
    reference_score: np.ndarray
    reference_ci: np.ndarray
    covariance: np.ndarray
    n_units: int
    confidence: float
    scoring: str

    @property
    def rank(self) -> np.ndarray:
        """(K, D): 1 = most important for the model; ties go by the order of the concepts."""
        rank = np.empty(self.importance.shape, dtype=np.int64)
        order = np.argsort(-self.importance, axis=1, kind="stable")
        np.put_along_axis(rank, order, np.arange(1, len(self.concepts) + 1)[None], axis=1)
        return rank

    def frame(self) -> pd.DataFrame:
        """One row a model and concept, models in their order, most important concept first."""
        import pandas as pd

        n_models, n_concepts = self.importance.shape
        columns = {
            name: getattr(self, name).ravel() for name in ("importance", "ci_low", "ci_high", "reliance", "rank")
        }
        frame = pd.DataFrame(
            {"model": np.repeat(self.models, n_concepts), "concept": np.tile(self.concepts, n_models), **columns}
        )
        position = np.repeat(np.arange(n_models), n_concepts)
        return frame.iloc[np.lexsort([self.rank.ravel(), position])].reset_index(drop=True)

    def differences(self) -> pd.DataFrame:
        """One row a pair of models and concept: the model that relies on it more, the other, the difference.

        Returns:
            Columns concept, more, less, difference (>= 0), ci_low, ci_high, p_value (two-sided), q_value; smallest q
            first, then largest difference.
        """
        import pandas as pd

        first, second = np.triu_indices(len(self.models), k=1)
        values = (self.importance[first] - self.importance[second]).T.ravel()  # (D * pairs,)
        variance = np.diagonal(self.covariance, axis1=1, axis2=2)  # (D, K)
        spread = variance[:, first] + variance[:, second] - 2 * self.covariance[:, first, second]
        errors = np.sqrt(np.maximum(spread, 0)).ravel()
        size, degrees = np.abs(values), max(self.n_units - 1, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            p_values = np.where(errors > 0, 2 * stats.t.sf(size / errors, degrees), np.where(size > 0, 0.0, 1.0))
        half = float(stats.t.ppf((1 + self.confidence) / 2, degrees)) * errors
        names, n_concepts = np.array(self.models, dtype=object), len(self.concepts)
        pairs = [np.tile(names[side], n_concepts) for side in (first, second)]
        swap = values < 0
        frame = pd.DataFrame(
            {
                "concept": np.repeat(self.concepts, len(first)),
                "more": np.where(swap, pairs[1], pairs[0]),
                "less": np.where(swap, pairs[0], pairs[1]),
                "difference": size,
                "ci_low": size - half,
                "ci_high": size + half,
                "p_value": p_values,
                "q_value": benjamini_hochberg(p_values),
            }
        )
        return frame.sort_values(["q_value", "difference"], ascending=[True, False], kind="stable", ignore_index=True)


def compare_scores(
    y: np.ndarray,
    outputs: Mapping[str, np.ndarray],
    reference: np.ndarray,
    states: Sequence[StatesLike],
    scoring: Scoring,
    *,
    clusters: np.ndarray | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Compare target models by the scores they gave to the images of one plan.

    Args:
        y: (N,) labels.
        outputs: model -> (M,) target score of each image; at least two models.
        reference: (N, R) numbers of the reference images.
        states: a plan's states, one entry a concept.
        scoring: with a closed form: the AUROC or an additive score.
        clusters: (N,) groups of dependent rows, or None.
        confidence: level of the intervals.

    Raises:
        UserError: fewer than two models, a score without a closed form, or scores that don't fit the labels.
    """
    check_confidence(confidence)
    if len(outputs) < 2:
        raise UserError(f"A comparison needs at least two target models; got {len(outputs)}.")
    if not has_closed_form(scoring):
        raise UserError(
            f"`scoring` must be the AUROC or a mean over rows to be compared between models; got {scoring.name!r}."
        )
    n_models, n_concepts = len(outputs), len(states)
    importance, low, high, spread = np.empty((4, n_models, n_concepts))
    sums: list[list[np.ndarray]] = [[] for _ in states]
    scores, ends = np.empty(n_models), np.empty((n_models, 2))
    for k, found in enumerate(outputs.values()):
        codes = scoring.codes(y, found[reference][:, 0])
        whole = interval(
            mean_score(codes, found[reference], scoring),
            score_influence(codes, found[reference], scoring),
            confidence,
            clusters,
        )
        scores[k], ends[k] = whole.value, (whole.low, whole.high)
        deviation = float(found[reference].std())
        for j, item in enumerate(states):
            state = StateScores.from_states(item, found)
            influence = importance_influence(codes, found[reference], state, scoring)
            drop = interval(
                expected_importance(codes, found[reference], state, scoring), influence, confidence, clusters
            )
            importance[k, j], low[k, j], high[k, j] = drop.value, drop.low, drop.high
            spread[k, j] = reliance(state, confidence).absolute.value / deviation if deviation > 0 else np.nan
            sums[j].append(cluster_sums(influence, clusters))
    n_units = len(sums[0][0])
    covariance = np.stack([np.array(rows) @ np.array(rows).T for rows in sums])  # (D, K, K)
    covariance *= n_units / max(n_units - 1, 1) / len(y) ** 2
    concepts = tuple(item.concept for item in states)
    return Comparison(
        tuple(outputs), concepts, importance, low, high, spread, scores, ends, covariance, n_units, confidence,
        scoring.name,
    )  # fmt: skip
