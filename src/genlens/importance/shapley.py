"""Shapley values of binary concepts over the lattice of all their combinations.

The value v(S) of a set of concepts is the expected score where the concepts outside S are permuted together (each row
takes their joint pattern from another row) and those in S stay; so v(all) is the reference score, and the Shapley
values share v(all) - v(none) out among the concepts (Shapley 1953; with a marginal expectation as in SAGE, Covert,
Lundberg and Lee 2020). Exact over all permutations; nothing is sampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np

from genlens.importance.conditional import permuted_score, refuse_open_form
from genlens.importance.given import within_cells
from genlens.importance.inference import Interval, interval
from genlens.importance.states import StateScores
from genlens.metrics import Scoring


@dataclass(frozen=True, eq=False)
class Shapley:
    """Shapley values of D concepts.

    Args:
        values: D values with intervals over rows; their sum is `total`.
        total: score with all concepts in place - score with all permuted together.
        sets: (2^D,) v(S); bit j of the index says whether concept j is in S.
        interactions: (D, D) Shapley interaction index of each pair (Grabisch and Roubens 1999), NaN on the diagonal:
            above 0 where the pair is worth more together than one by one.
    """

    values: tuple[Interval, ...]
    total: Interval
    sets: np.ndarray
    interactions: np.ndarray


def shapley(
    y: np.ndarray,
    lattice: StateScores,
    scoring: Scoring,
    confidence: float = 0.95,
    clusters: np.ndarray | None = None,
) -> Shapley:
    """Shapley values and pair interactions.

    Args:
        y: (N,) labels.
        lattice: scores of all S = 2^D combinations; slot k has the concepts whose bits are set in k.
        scoring: of kind "auroc" or "additive".
        confidence: level.
        clusters: (N,) groups of dependent rows, or None.

    Raises:
        UserError: the score has no closed form.
    """
    refuse_open_form(scoring)
    found = [_set_value(y, lattice, kept, scoring) for kept in range(lattice.scores.shape[1])]
    sets = np.array([value for value, _ in found])
    influences = np.stack([influence for _, influence in found])  # (2^D, N)
    parts = zip(shapley_values(sets), shapley_values(influences), strict=True)
    return Shapley(
        tuple(interval(float(value), influence, confidence, clusters) for value, influence in parts),
        interval(float(sets[-1] - sets[0]), influences[-1] - influences[0], confidence, clusters),
        sets,
        shapley_interactions(sets),
    )


def _set_value(y: np.ndarray, lattice: StateScores, kept: int, scoring: Scoring) -> tuple[float, np.ndarray]:
    """v(S) for the set with the bits `kept`, and the rows' influence on it, (N,)."""
    moved = lattice.scores.shape[1] - 1 - kept
    patterns, own = np.unique(lattice.own & moved, return_inverse=True)
    slots = (lattice.own & kept)[:, None] | patterns  # (N, B)
    scores = lattice.scores[np.arange(len(slots))[:, None], slots]  # (N, B, R[, C])
    states = StateScores("lattice", scores, np.arange(len(patterns)), np.bincount(own), own)
    return permuted_score(y, states, within_cells(own, len(patterns), np.zeros_like(own)), scoring)


def shapley_values(sets: np.ndarray) -> np.ndarray:
    """Shapley values (D, ...) of a game (2^D, ...); bit j of the index says whether player j takes part."""
    n_players = int(np.log2(len(sets)))
    members, sizes = np.arange(len(sets)), _sizes(len(sets))
    result = np.zeros((n_players, *sets.shape[1:]))
    for j in range(n_players):
        without = members[members >> j & 1 == 0]
        for k in without:
            share = factorial(sizes[k]) * factorial(n_players - sizes[k] - 1) / factorial(n_players)
            result[j] += share * (sets[k | 1 << j] - sets[k])
    return result


def shapley_interactions(sets: np.ndarray) -> np.ndarray:
    """Shapley interaction index (D, D) of each pair of players of a game (2^D,), NaN on the diagonal."""
    n_players = int(np.log2(len(sets)))
    sizes = _sizes(len(sets))
    result = np.full((n_players, n_players), np.nan)
    for j in range(n_players):
        for i in range(j):
            pair = 1 << i | 1 << j
            total = 0.0
            for k in range(len(sets)):
                if not k & pair:
                    share = factorial(sizes[k]) * factorial(n_players - sizes[k] - 2) / factorial(n_players - 1)
                    total += share * float(sets[k | pair] - sets[k | 1 << i] - sets[k | 1 << j] + sets[k])
            result[i, j] = result[j, i] = total
    return result


def _sizes(n_sets: int) -> list[int]:
    return [k.bit_count() for k in range(n_sets)]
