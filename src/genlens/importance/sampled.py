"""Scores under sampled permutations, by index work on the states' scores; the scheme is scikit-learn's.

`sklearn.inspection.permutation_importance` draws one integer from `random_state`, seeds every column's generator with
it and shuffles cumulatively over the repeats. The same is done here, so where the states' scores are the outputs of a
model on tabular data this gives scikit-learn's numbers to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np

from genlens.importance.auroc import roc_auc_rows
from genlens.importance.states import StateScores
from genlens.metrics import Scoring, positives

_CHUNK = 100_000  # entries of a chunk of repeats x rows


def permutation_sources(n_rows: int, n_repeats: int, seed: int, chunk: int) -> Iterator[np.ndarray]:
    """The row whose value each row gets, in scikit-learn's order of random numbers.

    Args:
        n_rows: N.
        n_repeats: P.
        seed: scikit-learn's `random_state`, taken modulo 2**32.
        chunk: most repeats yielded at once.

    Yields:
        (K, N) int64, K <= chunk.
    """
    shared = np.random.RandomState(seed % 2**32).randint(np.iinfo(np.int32).max + 1)
    rng = np.random.RandomState(shared)
    shuffled, source = np.arange(n_rows), np.arange(n_rows)
    for start in range(0, n_repeats, chunk):
        sources = np.empty((min(chunk, n_repeats - start), n_rows), dtype=np.int64)
        for row in sources:
            rng.shuffle(shuffled)
            source = source[shuffled]
            row[:] = source
        yield sources


def sample_scores(y: np.ndarray, states: StateScores, scoring: Scoring, n_repeats: int, seed: int) -> np.ndarray:
    """Score under each of P random permutations of the concept, averaged over noise draws.

    A row takes the state of the stratum of the row it swaps with; among several donors one is picked at random for each
    row and repeat.

    Args:
        y: (N,) labels.
        states: scores of the concept's states.
        scoring: any score.
        n_repeats: P.
        seed: >= 0; the permutations are the same for every concept.

    Returns:
        (P,) permuted scores.
    """
    chunk = max(1, _CHUNK // states.n_rows)
    pick = SlotPicker(states, seed)
    score = _RankScorer(y, states) if scoring.kind == "auroc" else None
    parts = []
    for sources in permutation_sources(states.n_rows, n_repeats, seed, chunk):
        slots = pick(sources)  # (K, N)
        if score is not None:
            parts.append(score(slots))
        else:
            parts.append(np.array([slot_score(y, states.scores, row, scoring) for row in slots]))
    return np.concatenate(parts)


class SlotPicker:
    """Turns source rows into state slots; picks among a stratum's donors with a generator of its own.

    Args:
        states: scores of the concept's states.
        seed: with the concept's name it decides the picks.
    """

    def __init__(self, states: StateScores, seed: int) -> None:
        """Sort the slots by stratum."""
        self._own = states.own
        self._n_slots = np.bincount(states.stratum)  # (B,)
        self._order = np.argsort(states.stratum, kind="stable")  # slots, stratum by stratum
        self._first = np.cumsum(self._n_slots) - self._n_slots  # (B,) position of a stratum's first slot
        name = blake2b(states.concept.encode(), digest_size=8).digest()
        self._rng = np.random.default_rng([seed, int.from_bytes(name, "big")])

    def __call__(self, sources: np.ndarray) -> np.ndarray:
        """(K, N) source rows -> (K, N) slots."""
        stratum = self._own[sources]
        position = self._first[stratum]
        if self._n_slots.max() > 1:
            position = position + (self._rng.random(sources.shape) * self._n_slots[stratum]).astype(np.int64)
        return np.asarray(self._order[position])


def slot_score(y: np.ndarray, scores: np.ndarray, slots: np.ndarray, scoring: Scoring) -> float:
    """Score of the rows in these slots, averaged over draws.

    Args:
        y: (N,) labels.
        scores: (N, S, R) or (N, S, R, C).
        slots: (N,) slot of each row.
        scoring: any score.
    """
    chosen = scores[np.arange(len(slots)), slots]  # (N, R[, C])
    return mean_score(y, chosen, scoring)


def mean_score(y: np.ndarray, scores: np.ndarray, scoring: Scoring) -> float:
    """Score of predictions (N, R) or (N, R, C), averaged over the R draws."""
    return float(np.mean([scoring(y, scores[:, draw]) for draw in range(scores.shape[1])]))


class _RankScorer:
    """AUROC of slots by ranks that are sorted out once."""

    def __init__(self, y: np.ndarray, states: StateScores) -> None:
        self._positive = positives(y)
        draws = np.moveaxis(states.scores, 2, 0)  # (R, N, S)
        self._ranks = [np.unique(draw, return_inverse=True)[1].ravel().astype(np.int32) for draw in draws]
        self._rows = np.arange(states.n_rows) * draws.shape[2]

    def __call__(self, slots: np.ndarray) -> np.ndarray:
        values = [roc_auc_rows(self._positive, ranks[self._rows + slots]) for ranks in self._ranks]
        return np.asarray(np.mean(values, axis=0))
