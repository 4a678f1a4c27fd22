"""From scores to a result: importances, their distribution, intervals, p-values and score reliance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from genlens.errors import UserError, check_integer
from genlens.importance.bootstrap import (
    bca_interval,
    bootstrap_importances,
    bootstrap_sampled,
    bootstrap_scores,
    percentile_interval,
)
from genlens.importance.exact import expected_importance, has_closed_form
from genlens.importance.inference import (
    Interval,
    check_confidence,
    cluster_sums,
    importance_influence,
    interval,
    score_influence,
)
from genlens.importance.reliance import Reliance, reliance
from genlens.importance.result import ImportanceResult
from genlens.importance.sampled import mean_score, sample_scores
from genlens.importance.states import StateScores
from genlens.importance.swaps import benjamini_hochberg, swap_p_value
from genlens.metrics import Scoring, get_scoring

IntervalMethod = Literal["influence", "percentile", "bca"]

_SAMPLED_RESAMPLES = 200
_SAMPLED_PERMUTATIONS = 4


def importance_from_scores(
    y: np.ndarray,
    reference: np.ndarray,
    states: Sequence[StateScores],
    scoring: str | Scoring | Callable[..., float] = "roc_auc",
    n_repeats: int = 500,
    seed: int = 0,
    *,
    real: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
    confidence: float = 0.95,
    interval_method: IntervalMethod = "influence",
    n_resamples: int = 1000,
    n_swaps: int = 999,
    **fields: Any,
) -> ImportanceResult:
    """Turn the scores of a run's images into importances.

    The importance is exact (its expectation over all permutations) for the AUROC and additive scores, else the mean of
    the P sampled ones.

    Args:
        y: (N,) labels.
        reference: (N, R) scores of the reference images, or (N, R, C) outputs for multi-class scores; (N,) is R = 1.
        states: the states' scores, one entry a concept.
        scoring: see `genlens.metrics.get_scoring`.
        n_repeats: sampled permutations P of each concept.
        seed: >= 0; permutations follow scikit-learn's `random_state`.
        real: (N,) or (N, C) scores of the real images, or None.
        clusters: (N,) groups of dependent rows (patients), or None.
        confidence: level of the intervals.
        interval_method: "influence", or "percentile" or "bca" for a bootstrap over rows. Scores without a closed form
            always take the percentiles.
        n_resamples: bootstrap samples (at most 200 where permutations must be sampled on each).
        n_swaps: relabellings for each p-value.
        fields: further fields of the result (n_images, n_naive, settings, target_class, ...).

    Raises:
        UserError: shapes that don't fit, one class only, a score that doesn't fit, or a number out of range.
    """
    scoring = get_scoring(scoring)
    y = np.asarray(y)
    clusters = None if clusters is None else np.asarray(clusters)
    reference = np.asarray(reference, dtype=np.float64)
    reference = reference[:, None] if reference.ndim == 1 else reference
    _check(y, reference, states, clusters)
    for name, value in (("n_repeats", n_repeats), ("n_resamples", n_resamples), ("n_swaps", n_swaps)):
        check_integer(name, value, 1)
    check_integer("seed", seed, 0)
    check_confidence(confidence)
    if interval_method not in ("influence", "percentile", "bca"):
        raise UserError(f"`interval_method` must be 'influence', 'percentile' or 'bca'; got {interval_method!r}.")

    y = scoring.codes(y, reference[:, 0])
    own = score_interval(y, reference, scoring, clusters=clusters, confidence=confidence, seed=seed)
    repeats = own.value - np.stack([sample_scores(y, state, scoring, n_repeats, seed) for state in states])
    method = interval_method if has_closed_form(scoring) else "percentile"
    drops = _intervals(y, reference, states, scoring, repeats, method, n_resamples, seed, clusters, confidence)
    p_values = [
        swap_p_value(y, reference, state, scoring, n_swaps, np.random.default_rng([seed, *state.concept.encode()]))
        for state in states
    ]
    reliances = [reliance(state, confidence, clusters) for state in states]
    if real is not None:
        truth = score_interval(
            y, real_draws(real, reference), scoring, clusters=clusters, confidence=confidence, seed=seed
        )
        fields |= {"real_score": truth.value, "real_ci": (truth.low, truth.high)}
    return ImportanceResult(
        concepts=tuple(state.concept for state in states),
        std=repeats.std(axis=1),
        p_value=np.array(p_values),
        q_value=benjamini_hochberg(np.array(p_values)),
        repeats=repeats,
        reference_score=own.value,
        reference_ci=(own.low, own.high),
        confidence=confidence,
        interval=method,
        scoring=scoring.name,
        n_rows=len(y),
        **importance_fields(drops),
        **reliance_fields(reliances),
        **fields,
    )


def score_interval(
    y: np.ndarray,
    scores: np.ndarray,
    scoring: Scoring,
    *,
    clusters: np.ndarray | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A score of predictions with its interval over rows: influences, or a bootstrap where there are none.

    Args:
        y: (N,) labels.
        scores: (N, R) or (N, R, C); draws are averaged.
        scoring: any score.
        clusters: (N,) groups of dependent rows, or None.
        confidence: level.
        seed: of the bootstrap.
    """
    value = mean_score(y, scores, scoring)
    if has_closed_form(scoring):
        return interval(value, score_influence(y, scores, scoring), confidence, clusters)
    resamples = bootstrap_scores(y, scores, scoring, _SAMPLED_RESAMPLES, seed, clusters)
    low, high = percentile_interval(resamples, confidence)
    return Interval(value, low, high, float(np.nanstd(resamples, ddof=1)))


def _check(y: np.ndarray, reference: np.ndarray, states: Sequence[StateScores], clusters: np.ndarray | None) -> None:
    if not states:
        raise UserError("`states` is empty; name at least one concept.")
    if reference.shape[0] != len(y) or not np.isfinite(reference).all():
        raise UserError(f"Reference scores must be finite, one for each of {len(y)} rows; got shape {reference.shape}.")
    for state in states:
        shape = state.scores.shape[:1] + state.scores.shape[2:]
        if shape != reference.shape:
            raise UserError(
                f"Scores of concept {state.concept!r} are for rows, draws and outputs {shape}; "
                f"the reference scores for {reference.shape}."
            )
    if clusters is not None and len(clusters) != len(y):
        raise UserError(f"`clusters` must have one entry a row ({len(y)}); got {len(clusters)}.")
    if len(np.unique(y)) < 2:
        raise UserError(f"All {len(y)} labels are the same; a score needs at least two values.")


def real_draws(real: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Real images have one draw: (N,) -> (N, 1), and (N, C) -> (N, 1, C) where there are outputs."""
    real = np.asarray(real, dtype=np.float64)
    return real.reshape(len(real), 1, -1) if reference.ndim == 3 else real.reshape(len(real), 1)


def _intervals(
    y: np.ndarray,
    reference: np.ndarray,
    states: Sequence[StateScores],
    scoring: Scoring,
    repeats: np.ndarray,
    method: str,
    n_resamples: int,
    seed: int,
    clusters: np.ndarray | None,
    confidence: float,
) -> list[Interval]:
    """Importance of each concept with its interval."""
    if not has_closed_form(scoring):
        size = min(n_resamples, _SAMPLED_RESAMPLES)
        resamples = bootstrap_sampled(y, reference, states, scoring, size, _SAMPLED_PERMUTATIONS, seed, clusters)
        resamples += repeats.mean(axis=1, keepdims=True) - np.nanmean(resamples, axis=1, keepdims=True)
        return [_from_resamples(*pair, confidence) for pair in zip(repeats.mean(axis=1), resamples, strict=True)]
    values = [expected_importance(y, reference, state, scoring) for state in states]
    if method == "influence":
        influences = (importance_influence(y, reference, state, scoring) for state in states)
        return [interval(value, row, confidence, clusters) for value, row in zip(values, influences, strict=True)]
    resamples = bootstrap_importances(y, reference, states, scoring, n_resamples, seed, clusters)
    if method == "percentile":
        return [_from_resamples(*pair, confidence) for pair in zip(values, resamples, strict=True)]
    result = []
    for value, row, state in zip(values, resamples, states, strict=True):
        sums = cluster_sums(importance_influence(y, reference, state, scoring), clusters)
        low, high = bca_interval(value, row, sums, confidence)
        result.append(Interval(value, low, high, float(np.nanstd(row, ddof=1))))
    return result


def _from_resamples(value: float, resamples: np.ndarray, confidence: float) -> Interval:
    low, high = percentile_interval(resamples, confidence)
    return Interval(float(value), low, high, float(np.nanstd(resamples, ddof=1)))


def importance_fields(drops: Sequence[Interval]) -> dict[str, Any]:
    """Fields of a result from the concepts' importances."""
    return {
        "importance": np.array([drop.value for drop in drops]),
        "se": np.array([drop.se for drop in drops]),
        "ci_low": np.array([drop.low for drop in drops]),
        "ci_high": np.array([drop.high for drop in drops]),
    }


def reliance_fields(reliances: Sequence[Reliance]) -> dict[str, Any]:
    """Fields of a result from the concepts' reliances."""
    return {
        "reliance": np.array([item.absolute.value for item in reliances]),
        "reliance_ci": np.array([(item.absolute.low, item.absolute.high) for item in reliances]),
        "reliance_signed": np.array([item.signed.value for item in reliances]),
        "reliance_signed_ci": np.array([(item.signed.low, item.signed.high) for item in reliances]),
        "effects": np.stack([item.effects for item in reliances]),
    }
