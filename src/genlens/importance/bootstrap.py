"""Bootstrap over rows (or clusters of rows) of importances: whole rows, with all their states, are drawn again.

A resample has its own reference score and its own marginals n_b, so both enter the interval. Scores with a closed form
are resampled by weights; other scores by taking rows, a few permutations each, and shrinking away what those
permutations add to the spread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from genlens.importance.auroc import ItemPairs
from genlens.importance.exact import expected_importance, row_scores
from genlens.importance.sampled import SlotPicker, mean_score, slot_score
from genlens.importance.states import StateScores
from genlens.metrics import Scoring, positives

_CHUNK = 300_000  # entries of a chunk of resamples x rows x states


def resample_weights(
    n_rows: int, n_resamples: int, rng: np.random.Generator, clusters: np.ndarray | None, chunk: int
) -> Iterator[np.ndarray]:
    """How often each row is drawn.

    Args:
        n_rows: N.
        n_resamples: K.
        rng: source of randomness.
        clusters: (N,) groups drawn as a whole, or None.
        chunk: most resamples yielded at once.

    Yields:
        (k, N) float64 counts, k <= chunk.
    """
    group = np.arange(n_rows) if clusters is None else np.unique(clusters, return_inverse=True)[1].ravel()
    n_groups = int(group.max()) + 1
    for start in range(0, n_resamples, chunk):
        size = min(chunk, n_resamples - start)
        drawn = rng.integers(0, n_groups, (size, n_groups)) + np.arange(size)[:, None] * n_groups
        counts = np.bincount(drawn.ravel(), minlength=size * n_groups).reshape(size, n_groups)
        yield counts[:, group].astype(np.float64)


def bootstrap_importances(
    y: np.ndarray,
    reference: np.ndarray,
    states: Sequence[StateScores],
    scoring: Scoring,
    n_resamples: int,
    seed: int,
    clusters: np.ndarray | None = None,
) -> np.ndarray:
    """Importance of every concept on every resample; the resamples are the same for all concepts.

    Args:
        y: (N,) labels.
        reference: (N, R) or (N, R, C) reference scores.
        states: one entry a concept.
        scoring: of kind "auroc" or "additive".
        n_resamples: K.
        seed: of the resamples.
        clusters: (N,) groups drawn as a whole, or None.

    Returns:
        (D, K); NaN where a resample has one class only. The term of order 1 / N by which the exact expectation differs
        from independent draws of states is that of the rows themselves.
    """
    resample = _ResampledAuroc if scoring.kind == "auroc" else _ResampledMean
    entries = len(y) * max(state.scores.shape[1] for state in states)
    chunk = max(1, _CHUNK // entries)
    whole = [_as_states(reference), *states]
    scorers = [resample(y, state, scoring) for state in whole]
    scale = np.ones(len(y)) if scoring.scale is None else scoring.scale(y)
    parts = []
    for weights in resample_weights(len(y), n_resamples, np.random.default_rng(seed), clusters, chunk):
        own, *permuted = (scorer(weights) for scorer in scorers)
        rescaled = weights @ (scale / scale.mean()) / weights.sum(axis=1)  # the score's own divisor on the resample
        parts.append(np.stack([own - score for score in permuted]) / rescaled)
    own, *permuted = (scorer(np.ones((1, len(y)))) for scorer in scorers)
    exact = [[expected_importance(y, reference, state, scoring)] for state in states]
    return np.asarray(np.concatenate(parts, axis=1) + exact - np.stack([own - score for score in permuted]))


def _as_states(reference: np.ndarray) -> StateScores:
    """Reference scores as a concept of one state."""
    n_rows = len(reference)
    zeros = np.zeros(n_rows, dtype=np.int64)
    return StateScores("reference", reference[:, None], zeros[:1], np.array([n_rows]), zeros)


class _Resampled:
    """Permuted score on resamples given by weights."""

    def __init__(self, y: np.ndarray, states: StateScores, scoring: Scoring) -> None:
        self._states = states
        self._strata = np.eye(len(states.counts))[states.own]  # (N, B)

    def _slot_weights(self, weights: np.ndarray) -> np.ndarray:
        """(K, N) weights of rows -> (K, S) probabilities of slots."""
        return self._states.slot_weights(weights @ self._strata / weights.sum(axis=1, keepdims=True))


class _ResampledAuroc(_Resampled):
    def __init__(self, y: np.ndarray, states: StateScores, scoring: Scoring) -> None:
        super().__init__(y, states, scoring)
        draws = range(states.n_draws)
        self._pairs = [ItemPairs.of(positives(y), states.scores[:, :, draw]) for draw in draws]

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        slots = self._slot_weights(weights)
        n_slots = slots.shape[1]

        def of_items(items: np.ndarray) -> np.ndarray:
            return np.asarray(weights[:, items // n_slots] * slots[:, items % n_slots])

        draws = [pairs.auroc(of_items(pairs.positive_items), of_items(pairs.negative_items)) for pairs in self._pairs]
        return np.asarray(np.mean(draws, axis=0))


class _ResampledMean(_Resampled):
    def __init__(self, y: np.ndarray, states: StateScores, scoring: Scoring) -> None:
        super().__init__(y, states, scoring)
        self._parts = row_scores(y, states.scores, scoring).mean(axis=2)  # (N, S)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        means = weights @ self._parts / weights.sum(axis=1, keepdims=True)  # (K, S)
        return np.asarray(np.einsum("ks,ks->k", means, self._slot_weights(weights)))


def bootstrap_scores(
    y: np.ndarray, scores: np.ndarray, scoring: Scoring, n_resamples: int, seed: int, clusters: np.ndarray | None = None
) -> np.ndarray:
    """Score of predictions (N, R) or (N, R, C) on K resamples of the rows, (K,); NaN where it is undefined."""
    rng, numbers = np.random.default_rng(seed), np.arange(len(y))
    result = np.empty(n_resamples)
    for k, weights in enumerate(resample_weights(len(y), n_resamples, rng, clusters, 1)):
        rows = np.repeat(numbers, weights[0].astype(np.int64))
        result[k] = mean_score(y[rows], scores[rows], scoring)
    return result


def bootstrap_sampled(
    y: np.ndarray,
    reference: np.ndarray,
    states: Sequence[StateScores],
    scoring: Scoring,
    n_resamples: int,
    n_permutations: int,
    seed: int,
    clusters: np.ndarray | None = None,
) -> np.ndarray:
    """Importances on resamples for scores without a closed form, with the permutations' own spread taken out.

    Args:
        y: (N,) labels.
        reference: (N, R) or (N, R, C) reference scores.
        states: one entry a concept.
        scoring: any score.
        n_resamples: K.
        n_permutations: M >= 2 permutations of each concept on each resample.
        seed: of resamples and permutations.
        clusters: (N,) groups drawn as a whole, or None.

    Returns:
        (D, K): means over the M permutations, drawn together about their mean so that their variance is that of the
        rows alone: the permutations' variance / M is subtracted. NaN where the score is undefined.
    """
    rng = np.random.default_rng(seed)
    pickers = [SlotPicker(state, seed) for state in states]
    drops = np.empty((len(states), n_resamples, n_permutations))
    for k, weights in enumerate(resample_weights(len(y), n_resamples, rng, clusters, 1)):
        rows = np.repeat(np.arange(len(y)), weights[0].astype(np.int64))
        own = mean_score(y[rows], reference[rows], scoring)
        sources = np.stack([rng.permutation(rows) for _ in range(n_permutations)])  # (M, N)
        for j, (state, picker) in enumerate(zip(states, pickers, strict=True)):
            scores = state.scores[rows]
            drops[j, k] = [own - slot_score(y[rows], scores, slots, scoring) for slots in picker(sources)]
    means = drops.mean(axis=2)
    centre = np.nanmean(means, axis=1, keepdims=True)
    total = np.nanvar(means, axis=1, keepdims=True)
    within = np.nanmean(drops.var(axis=2, ddof=1), axis=1, keepdims=True) / n_permutations
    kept = np.divide(total - within, total, out=np.zeros_like(total), where=total > within)
    return np.asarray(centre + (means - centre) * np.sqrt(kept))


def percentile_interval(resamples: np.ndarray, confidence: float) -> tuple[float, float]:
    """Quantiles of the resamples; undefined ones are left out."""
    low, high = np.nanquantile(resamples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bca_interval(value: float, resamples: np.ndarray, influence: np.ndarray, confidence: float) -> tuple[float, float]:
    """Bias-corrected and accelerated interval (Efron 1987), the acceleration from the influences.

    Args:
        value: the estimate.
        resamples: (K,) estimates on resamples; undefined ones are left out.
        influence: (N,) influence of each row (or its sums over clusters).
        confidence: level in (0, 1).
    """
    resamples = resamples[np.isfinite(resamples)]
    spread = float((influence**2).sum())
    if spread == 0 or np.ptp(resamples) == 0:
        return value, value
    below = ((resamples < value).mean() + (resamples <= value).mean()) / 2
    bias = stats.norm.ppf(np.clip(below, 0.5 / len(resamples), 1 - 0.5 / len(resamples)))
    acceleration = float((influence**3).sum()) / (6 * spread**1.5)
    tails = bias + stats.norm.ppf([(1 - confidence) / 2, (1 + confidence) / 2])
    low, high = np.quantile(resamples, stats.norm.cdf(bias + tails / (1 - acceleration * tails)))
    return float(low), float(high)
