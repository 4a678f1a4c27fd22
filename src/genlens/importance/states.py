"""Scores of every row in every state of one concept: all that the statistics need to know about images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from genlens.errors import UserError


class StatesLike(Protocol):
    """What `StateScores.from_states` reads of a plan's states of one concept (`genlens.plan.ConceptStates`)."""

    @property
    def concept(self) -> str:
        """Name of the concept."""

    @property
    def index(self) -> np.ndarray:
        """(N, S, R) image number of row i in state slot s, draw r."""

    @property
    def stratum(self) -> np.ndarray:
        """(S,) stratum of each slot."""

    @property
    def counts(self) -> np.ndarray:
        """(B,) rows whose own value lies in each stratum."""

    @property
    def own(self) -> np.ndarray:
        """(N,) stratum of each row's own value."""

    @property
    def states(self) -> np.ndarray:
        """(N, S) value of each slot."""


@dataclass(frozen=True, eq=False)
class StateScores:
    """Scores of one concept's state slots.

    A permutation gives row i the value of another row, hence a stratum b with probability counts[b] / N; a
    stratum with several slots (donors) spreads that weight evenly over them.

    Args:
        concept: name of the concept.
        scores: (N, S, R) float64, or (N, S, R, C) for classifiers or concept classifiers with C outputs.
        stratum: (S,) stratum of each slot, in [0, B).
        counts: (B,) rows whose own value lies in each stratum; their sum is N.
        own: (N,) stratum of each row's own value.
        values: (N, S) the slots' values where they are numbers and there are other than two strata; else None.

    Raises:
        UserError: the shapes don't fit together, a stratum has no slot, or a score isn't finite.
    """

    concept: str
    scores: np.ndarray
    stratum: np.ndarray
    counts: np.ndarray
    own: np.ndarray
    values: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check that the arrays fit together."""
        n_rows, n_slots = self.scores.shape[:2]
        fault = None
        if self.scores.ndim not in (3, 4):
            fault = f"scores must be (N, S, R) or (N, S, R, C); got shape {self.scores.shape}"
        elif self.stratum.shape != (n_slots,) or self.own.shape != (n_rows,):
            fault = f"stratum must be ({n_slots},) and own ({n_rows},); got {self.stratum.shape} and {self.own.shape}"
        elif set(self.stratum.tolist()) != set(range(len(self.counts))):
            fault = f"each of the {len(self.counts)} strata needs a slot; the slots' strata are {self.stratum.tolist()}"
        elif np.bincount(self.own, minlength=len(self.counts)).tolist() != self.counts.tolist():
            fault = "counts must be the rows in each stratum of own"
        elif not np.isfinite(self.scores).all():
            fault = "scores must be finite"
        if fault:
            raise UserError(f"States of concept {self.concept!r}: {fault}.")

    @classmethod
    def from_states(cls, states: StatesLike, image_scores: np.ndarray) -> StateScores:
        """Look up the scores of a plan's images.

        Args:
            states: a plan's states of one concept.
            image_scores: (M,) score of each image, or (M, C) outputs.

        Returns:
            Scores of shape (N, S, R) or (N, S, R, C).
        """
        counts = np.asarray(states.counts, dtype=np.int64)
        return cls(
            concept=states.concept,
            scores=np.asarray(image_scores, dtype=np.float64)[states.index],
            stratum=np.asarray(states.stratum, dtype=np.int64),
            counts=counts,
            own=np.asarray(states.own, dtype=np.int64),
            values=None if len(counts) == 2 else _numeric(states.states),
        )

    @property
    def n_rows(self) -> int:
        """N."""
        return int(self.scores.shape[0])

    @property
    def n_draws(self) -> int:
        """R, the noise seeds of each state."""
        return int(self.scores.shape[2])

    @property
    def weights(self) -> np.ndarray:
        """(S,) probability that a permutation gives a row this slot: counts / N, even within a stratum."""
        return self.slot_weights(self.counts / self.n_rows)

    def slot_weights(self, stratum_weights: np.ndarray) -> np.ndarray:
        """Spread weights of strata evenly over their slots: (..., B) -> (..., S)."""
        slots = np.bincount(self.stratum, minlength=len(self.counts))
        return np.asarray((stratum_weights / slots)[..., self.stratum])

    def column(self, output: int) -> StateScores:
        """Scores of one of the C outputs, (N, S, R)."""
        return StateScores(
            self.concept, self.scores[..., output], self.stratum, self.counts, self.own, self.values
        )  # (N, S, R)


def _numeric(states: np.ndarray) -> np.ndarray | None:
    """(N, S) values as numbers, or None when they aren't all numbers."""
    flat = np.asarray(states, dtype=object).ravel()
    if not all(isinstance(value, (int, float, np.integer, np.floating)) for value in flat):
        return None
    return np.array([float(value) for value in flat]).reshape(np.shape(states))
