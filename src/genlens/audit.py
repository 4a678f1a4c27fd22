"""What a run knows once its images are scored: the ground on which checks and analyses stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.concepts import ConceptTable
from genlens.importance.given import GivenBy
from genlens.importance.states import StateScores
from genlens.leakage import MentionRule
from genlens.metrics import Scoring
from genlens.plan import Plan
from genlens.plans.groups import Groups


@dataclass(frozen=True, eq=False)
class Audit:
    """The scores of a run's images, N rows with D concepts, M images.

    Attributes:
        table: the rows.
        plan: the images.
        y: (N,) labels that the target's score is held against.
        scoring: the score.
        outputs: (M,) target score of each image, or (M, C) where all classes are scored together.
        real: the same for the N real images, or None.
        concepts: (M, D + W) concept classifier's outputs, for the concepts and the watched ones, or None.
        real_concepts: (N, D + W) the same for the real images, or None.
        confidence: level of the intervals.
        seed: the run's seed.
        threshold: a target score above it is a decision for the target class.
        log_odds: whether the target score is on the scale of log-odds.
        n_repeats: permutations P that were sampled for each concept.
        groups: name -> members, of concepts permuted together.
        given: on what the conditional importance is conditioned (`genlens.importance.given.check_given`), or None.
        mention_rules: the user's rules of what mentions a permuted concept (`genlens.leakage`).
    """

    table: ConceptTable
    plan: Plan
    y: NDArray[Any]
    scoring: Scoring
    outputs: NDArray[np.float64]
    real: NDArray[np.float64] | None
    concepts: NDArray[np.float64] | None
    real_concepts: NDArray[np.float64] | None
    confidence: float
    seed: int
    threshold: float = 0.0
    log_odds: bool = False
    n_repeats: int = 500
    groups: Groups = field(default_factory=dict)
    given: GivenBy | None = None
    mention_rules: tuple[MentionRule, ...] = ()

    @property
    def reference(self) -> NDArray[np.float64]:
        """(N, R) or (N, R, C): target scores of the reference images."""
        return self.outputs[self.plan.reference]

    @property
    def states(self) -> list[StateScores]:
        """Target scores of every concept's states, in the table's order."""
        return [StateScores.from_states(states, self.outputs) for states in self.plan.states]

    def extra(self, name: str) -> list[StateScores]:
        """Target scores of the further states that an analysis asked for; empty if it did not."""
        return [StateScores.from_states(states, self.outputs) for states in self.plan.extras.get(name, ())]

    @property
    def reference_concepts(self) -> NDArray[np.float64] | None:
        """(N, R, D + W): the concept classifier's outputs of the reference images, or None."""
        return None if self.concepts is None else self.concepts[self.plan.reference]

    @property
    def concept_states(self) -> list[StateScores] | None:
        """The concept classifier's outputs of every concept's states, (N, S, R, D + W) each, or None."""
        if self.concepts is None:
            return None
        return [StateScores.from_states(states, self.concepts) for states in self.plan.states]
