"""DEPICT on target models of photographs: exact, sampled as published, and adjusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genlens.checks import effective_generation
from genlens.experiments.photos_targets import Target
from genlens.experiments.shapes_models import ConceptOutputs
from genlens.importance.adjusted import AdjustedResult, adjusted_importance
from genlens.importance.exact import expected_importance
from genlens.importance.result import CheckResult
from genlens.importance.sampled import sample_scores
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring
from genlens.plan import ConceptStates, Plan

Floats = NDArray[np.float64]


def states_of(states: ConceptStates, scores: Floats, rows: NDArray[np.int64]) -> StateScores:
    """Scores (K,) or (K, C) of a plan's images in one concept's states, of some rows only."""
    own = np.asarray(states.own)[rows]
    counts = np.bincount(own, minlength=len(states.counts))
    return StateScores(states.concept, scores[states.index[rows]], np.asarray(states.stratum), counts, own)


def depict(targets: Sequence[Target], logits: Floats, plan: Plan, n_repeats: int, seed: int) -> dict[str, Floats]:
    """Importance of every concept for every model, unadjusted.

    Args:
        targets: M models.
        logits: (K, D) of the plan's K images.
        plan: of the test rows.
        n_repeats: permutations P of the published estimator.
        seed: of them.

    Returns:
        exact, sampled and std (M, D), generated_auroc (M,), repeats (M, D, P).
    """
    scoring = get_scoring("roc_auc")
    shape = (len(targets), len(plan.states))
    exact, auroc, drops = np.empty(shape), np.empty(shape[0]), np.empty((*shape, n_repeats))
    for m, target in enumerate(targets):
        scores = target.scores(logits)  # (K,)
        reference = scores[plan.reference[target.rows]]  # (n, R)
        auroc[m] = np.mean([scoring(target.labels, draw) for draw in reference.T])
        for j, states in enumerate(plan.states):
            found = states_of(states, scores, target.rows)
            exact[m, j] = expected_importance(target.labels, reference, found, scoring)
            drops[m, j] = auroc[m] - sample_scores(target.labels, found, scoring, n_repeats, seed)
    return {"exact": exact, "sampled": drops.mean(2), "std": drops.std(2), "generated_auroc": auroc, "repeats": drops}


def adjust(
    target: Target, own: ConceptOutputs, seen: ConceptOutputs, plan: Plan, seed: int, interactions: bool
) -> AdjustedResult:
    """Adjusted importance of one model.

    Args:
        target: the model.
        own: log-odds of its own concept net.
        seen: what the independent concept classifier says.
        plan: of the test rows.
        seed: of the bootstrap.
        interactions: let effects differ by row; False: one effect for all rows.
    """
    scores, rows = target.scores(own.images), target.rows
    return adjusted_importance(
        target.labels,
        target.scores(own.real)[rows],
        seen.real[rows],
        [states_of(states, scores, rows) for states in plan.states],
        [states_of(states, seen.images, rows) for states in plan.states],
        seed=seed,
        interactions=interactions,
    )


def check_effective(
    target: Target,
    own: ConceptOutputs,
    seen: ConceptOutputs,
    plan: Plan,
    names: Sequence[str],
    presence: NDArray[np.bool_],
) -> CheckResult:
    """The check of effective generation for one model, on its rows."""
    rows = target.rows
    return effective_generation(
        target.labels,
        target.scores(own.real)[rows],
        target.scores(own.images)[plan.reference[rows]],
        presence[rows],
        seen.real[rows],
        seen.images[plan.reference[rows]],
        names,
    )
