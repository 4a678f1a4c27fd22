"""From scores to a result where only some rows' flips were rendered: the counterpart of `genlens.importance.compute`.

Importances, reliances and their intervals are those of the difference estimator. p-values come from swapping states
within the rendered rows alone: exact under exchangeability, as always, where an interval would not be (the influence on
an AUROC drop vanishes for a concept that does nothing). Permutations are sampled from the true scores where there are
any and the surrogate's elsewhere, and shifted to the estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from genlens.importance.compute import importance_fields, real_draws, reliance_fields, score_interval
from genlens.importance.difference import (
    PartialStates,
    difference_importance,
    difference_influence,
    difference_reliance,
    refuse_without_closed_form,
)
from genlens.importance.exact import expected_importance
from genlens.importance.inference import interval
from genlens.importance.result import ImportanceResult
from genlens.importance.sampled import sample_scores
from genlens.importance.swaps import benjamini_hochberg, swap_p_value
from genlens.metrics import Scoring


def importance_from_partial_scores(
    y: np.ndarray,
    reference: np.ndarray,
    partials: Sequence[PartialStates],
    scoring: Scoring,
    n_repeats: int = 500,
    seed: int = 0,
    *,
    real: np.ndarray | None = None,
    clusters: np.ndarray | None = None,
    confidence: float = 0.95,
    levels: Sequence[float] | None = None,
    n_looks: int = 1,
    n_swaps: int = 999,
    **fields: Any,
) -> ImportanceResult:
    """Turn the scores of a run's images into importances, where some rows have their flips rendered.

    Args:
        y: (N,) labels.
        reference: (N, R) or (N, R, C) scores of the reference images of all rows.
        partials: the states' scores, one entry a concept; the rendered rows may differ between concepts.
        scoring: of kind "auroc" or "additive".
        n_repeats: sampled permutations P of each concept.
        seed: of permutations and swaps, >= 0.
        real: (N,) or (N, C) scores of the real images, or None.
        clusters: (N,) groups of dependent rows, or None.
        confidence: level of the intervals.
        levels: (D,) nominal levels that make intervals hold at `confidence` although rendering stopped when the data
            said so (`genlens.importance.sequential.repeated_level`); None: `confidence`.
        n_looks: times that the data were looked at; p-values are multiplied by it (Bonferroni), hence valid at
            whichever look rendering stopped.
        n_swaps: relabellings for each p-value.
        fields: further fields of the result.

    Raises:
        UserError: the score has no closed form, or the rendered rows have one class only.
    """
    refuse_without_closed_form(scoring)
    levels = [confidence] * len(partials) if levels is None else levels
    y = scoring.codes(np.asarray(y), reference[:, 0])
    own = score_interval(y, reference, scoring, clusters=clusters, confidence=confidence, seed=seed)
    drops = [
        interval(
            difference_importance(y, reference, partial, scoring),
            difference_influence(y, reference, partial, scoring),
            level,
            clusters,
        )
        for partial, level in zip(partials, levels, strict=True)
    ]
    repeats = [
        own.value - sample_scores(y, partial.filled, scoring, n_repeats, seed)
        + (drop.value - expected_importance(y, reference, partial.filled, scoring))
        for partial, drop in zip(partials, drops, strict=True)
    ]  # fmt: skip
    p_values = np.array([_p_value(y, reference, partial, scoring, n_swaps, seed) for partial in partials])
    p_values = np.minimum(1.0, p_values * n_looks)
    reliances = [
        difference_reliance(partial, level, clusters) for partial, level in zip(partials, levels, strict=True)
    ]
    if real is not None:
        draws = real_draws(real, reference)
        truth = score_interval(y, draws, scoring, clusters=clusters, confidence=confidence, seed=seed)
        fields |= {"real_score": truth.value, "real_ci": (truth.low, truth.high)}
    return ImportanceResult(
        concepts=tuple(partial.concept for partial in partials),
        std=np.stack(repeats).std(axis=1),
        p_value=p_values,
        q_value=benjamini_hochberg(p_values),
        repeats=np.stack(repeats),
        reference_score=own.value,
        reference_ci=(own.low, own.high),
        confidence=confidence,
        interval="influence",
        scoring=scoring.name,
        n_rows=len(y),
        **importance_fields(drops),
        **reliance_fields(reliances),
        **fields,
    )


def _p_value(
    y: np.ndarray, reference: np.ndarray, partial: PartialStates, scoring: Scoring, n_swaps: int, seed: int
) -> float:
    rng = np.random.default_rng([seed, *partial.concept.encode()])
    rows = np.sort(partial.rows)
    return swap_p_value(y[rows], reference[rows], partial.rendered(), scoring, n_swaps, rng)
