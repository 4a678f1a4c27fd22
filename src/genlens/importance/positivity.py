"""Positivity: is the generator asked for combinations of concepts that never occur in the data?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genlens.importance.given import Given

RARE = 0.05
"""A state below this probability, given the row's other concepts, (nearly) never occurs."""


@dataclass(frozen=True)
class Positivity:
    """How probable the states of one concept are that a permutation asks for.

    Args:
        smallest: least probability P(state | the row's other concepts) of all rows and states.
        share: probability that a permutation gives a row a state below `RARE`, mean over rows, in [0, 1].
        cells: share of all N B pairs of row and state that are below `RARE`, in [0, 1].
        rows: (row, stratum) of the least probable states, at most one a row, least probable first.
    """

    smallest: float
    share: float
    cells: float
    rows: tuple[tuple[int, int], ...]


def positivity(given: Given, n_named: int = 3) -> Positivity:
    """Look for states that are asked for and (nearly) never occur.

    Args:
        given: probabilities of a concept's values given the row's other concepts, from a model.
        n_named: rows to name.
    """
    chances = given.probabilities  # (N, B)
    marginal = np.bincount(given.own, minlength=chances.shape[1]) / len(chances)
    rare = chances < RARE
    order = np.argsort(chances.min(axis=1), kind="stable")[:n_named]
    worst = [(int(row), int(chances[row].argmin())) for row in order if rare[row].any()]
    return Positivity(float(chances.min()), float((rare @ marginal).mean()), float(rare.mean()), tuple(worst))
