"""Scores of the images of caption flips, as the adjusted importance needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from genlens.errors import UserError
from genlens.importance.exact import has_closed_form
from genlens.importance.states import StateScores
from genlens.metrics import Scoring


@dataclass(frozen=True, eq=False)
class FlipScores:
    """Scores in both states of D concepts, noise draws and donors averaged.

    Args:
        present: (N, D) bool, the concepts of the real rows.
        real_concepts: (N, D) concept classifier on the real images, in [0, 1].
        target: (N, D, 2) target score with concept j absent and present in the caption.
        concepts: (N, D, 2, D) concept classifier, in [0, 1], on the same images.
    """

    present: np.ndarray
    real_concepts: np.ndarray
    target: np.ndarray
    concepts: np.ndarray

    def take(self, rows: np.ndarray) -> FlipScores:
        """These rows, repeated as often as they are named."""
        return FlipScores(self.present[rows], self.real_concepts[rows], self.target[rows], self.concepts[rows])


def flip_scores(
    real_concepts: np.ndarray, states: Sequence[StateScores], concept_states: Sequence[StateScores]
) -> FlipScores:
    """Average the scores over noise draws and, within absent and present, over donors.

    Args:
        real_concepts: (N, D) concept classifier on the real images; scores outside [0, 1] are taken for log-odds.
        states: the target's scores, (N, S, R), one entry a concept.
        concept_states: the concept classifier's, (N, S, R, D).
    """
    target = np.stack([_sides(state.scores, state) for state in states], axis=1)
    every = [real_concepts, *(state.scores for state in concept_states)]
    if any(scores.min() < 0 or scores.max() > 1 for scores in every):
        every = [expit(scores) for scores in every]
    real_concepts, *seen = every
    concepts = np.stack([_sides(*pair) for pair in zip(seen, concept_states, strict=True)], axis=1)
    return FlipScores(np.stack([state.own == 1 for state in states], axis=1), real_concepts, target, concepts)


def _sides(scores: np.ndarray, states: StateScores) -> np.ndarray:
    """Scores (N, S, R, ...) of slots and draws -> (N, 2, ...) of absent and present."""
    means = scores.mean(axis=2)
    return np.stack([means[:, states.stratum == side].mean(axis=1) for side in (0, 1)], axis=1)


def check_flips(
    y: np.ndarray,
    real: np.ndarray,
    real_concepts: np.ndarray,
    states: Sequence[StateScores],
    concept_states: Sequence[StateScores],
    scoring: Scoring,
) -> None:
    """Raise a UserError unless the arguments of `adjusted_importance` fit together."""
    shape = (len(y), len(states))
    if not has_closed_form(scoring):
        raise UserError(f"`scoring`={scoring.name!r} has no closed form, which adjusting needs. Use e.g. 'roc_auc'.")
    if len(np.unique(y)) < 2:
        raise UserError(f"All {len(y)} labels are the same; a score needs at least two values.")
    if len(real) != len(y) or not np.isfinite(real).all():
        raise UserError(f"`real` must have a finite score for each of {len(y)} rows; got {len(real)}.")
    if np.shape(real_concepts) != shape or not np.isfinite(real_concepts).all():
        raise UserError(f"`real_concepts` must be finite and of shape {shape}; got {np.shape(real_concepts)}.")
    if [state.concept for state in concept_states] != [state.concept for state in states]:
        raise UserError("`concept_states` must have the concepts of `states`, in their order.")
    for state, seen in zip(states, concept_states, strict=True):
        if len(state.counts) != 2:
            raise UserError(
                f"Concept {state.concept!r} has {len(state.counts)} strata; adjusting needs concepts that are "
                "present or absent. Leave it out."
            )
        if state.scores.ndim != 3:
            raise UserError(f"Concept {state.concept!r}: adjusting needs one target score an image; choose a class.")
        if state.scores.shape[0] != len(y) or seen.scores.shape != (*state.scores.shape[:3], len(states)):
            raise UserError(
                f"Concept {state.concept!r}: scores must be (N, S, R) for {len(y)} rows and the concept classifier's "
                f"(N, S, R, {len(states)}); got {state.scores.shape} and {seen.scores.shape}."
            )
