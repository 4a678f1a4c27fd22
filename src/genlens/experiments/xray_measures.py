"""What the X-ray experiment measures: AUROCs with bootstrap intervals, the bottleneck's permutation, both checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genlens.checks import CheckResult, effective_generation, independent_permutation
from genlens.datasets.xray import CONCEPTS
from genlens.experiments.evaluation import Estimate
from genlens.experiments.xray_lab import Condition, Floats, Target, XrayLab
from genlens.importance.bootstrap import percentile_interval, resample_weights
from genlens.importance.exact import expected_score
from genlens.importance.sampled import sample_scores
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring
from genlens.oracles import bottleneck_permutation

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Outcome:
    """One target model under one condition.

    Attributes:
        real: AUROC on the real images.
        generated: AUROC on the reference images.
        permuted: concept -> AUROC expected when it is permuted.
        sampled: concept -> its mean over P sampled permutations.
        bottleneck: concept -> AUROC expected when the bottleneck's own prediction is permuted on the real images.
        checks: effective generation and independent permutation, by the independent checker.
    """

    real: Estimate
    generated: Estimate
    permuted: dict[str, Estimate]
    sampled: dict[str, float]
    bottleneck: dict[str, float]
    checks: tuple[CheckResult, CheckResult]


def measure(lab: XrayLab, target: Target, condition: Condition) -> Outcome:
    """Score a target model's real, generated and permuted images."""
    (own_real, seen_real), (own, seen) = lab.real(target), lab.generated(target, condition)
    table, plan = lab.plan(target, condition.masked)
    y, names = np.asarray(table.labels), table.names
    chosen, scoring = lab.settings, get_scoring("roc_auc")
    score_real, scores = own_real @ target.weights, own @ target.weights
    columns = [CONCEPTS.index(name) for name in table.detected_names]
    seen_real, seen = seen_real[:, columns], seen[:, columns]
    reference = scores[plan.reference]  # (N, R)
    states = [StateScores.from_states(found, scores) for found in plan.states]
    rng = np.random.default_rng(chosen.seed)
    weights = next(resample_weights(len(y), chosen.resamples, rng, None, chosen.resamples))
    drawn = [np.repeat(np.arange(len(y)), row.astype(np.int64)) for row in weights]
    concept_states = [StateScores.from_states(found, seen) for found in plan.states]
    presence = table.detected_presence()
    return Outcome(
        real=_auroc(y, score_real[:, None], drawn),
        generated=_auroc(y, reference, drawn),
        permuted={name: _permuted(y, state, drawn) for name, state in zip(names, states, strict=True)},
        sampled={
            name: float(sample_scores(y, state, scoring, chosen.n_repeats, chosen.seed).mean())
            for name, state in zip(names, states, strict=True)
        },
        bottleneck=_bottleneck(y, own_real, target),
        checks=(
            effective_generation(
                y, score_real, reference, presence, seen_real, seen[plan.reference], table.detected_names
            ),
            independent_permutation(
                presence, seen[plan.reference], concept_states, table.detected_names, h_real=seen_real
            ),
        ),
    )


def _bottleneck(y: NDArray[np.int64], c_hat: Floats, target: Target) -> dict[str, float]:
    """AUROC when one of the three permutable predictions is permuted between rows (the paper's oracle)."""
    found = bottleneck_permutation(y, c_hat, target.weights)
    drops = np.ravel(found.importance)
    reference = float(np.ravel(found.reference)[0])
    return {name: reference - float(drops[j]) for j, name in enumerate(target.table.names)}


def _auroc(y: NDArray[np.int64], scores: Floats, drawn: list[NDArray[np.int64]]) -> Estimate:
    """Mean AUROC of scores (N, R) over the draws, with an interval over rows."""
    scoring = get_scoring("roc_auc")
    return _estimate(lambda rows: float(np.mean([scoring(y[rows], draw) for draw in scores[rows].T])), drawn, len(y))


def _permuted(y: NDArray[np.int64], states: StateScores, drawn: list[NDArray[np.int64]]) -> Estimate:
    """Expected AUROC over all permutations, with an interval over rows."""
    scoring = get_scoring("roc_auc")

    def value(rows: NDArray[np.int64]) -> float:
        own = states.own[rows]
        counts = np.bincount(own, minlength=len(states.counts))
        part = StateScores(states.concept, states.scores[rows], states.stratum, counts, own)
        return expected_score(y[rows], part, scoring)

    return _estimate(value, drawn, len(y))


def _estimate(value: Callable[[NDArray[np.int64]], float], drawn: list[NDArray[np.int64]], n: int) -> Estimate:
    """A figure of all rows, with the percentile interval over resamples of them."""
    low, high = percentile_interval(np.array([value(rows) for rows in drawn]), CONFIDENCE)
    return Estimate(value(np.arange(n)), low, high)
