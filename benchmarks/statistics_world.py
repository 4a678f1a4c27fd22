"""A model and a generator whose scores are drawn at random, for the benchmarks of the statistics; no images.

The score of a caption is the sum of the weights of its concepts; the label is a noisy threshold of it. Every image's
score differs from what its caption asks for, partly by what all states of a row share (common noise), partly by its
own. A concept of weight 0 has exchangeable states, so its true importance is exactly 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from genlens.importance.states import StateScores

SHARED = 0.5
"""Share of a cluster in the variance of its rows."""
OWN_NOISE, ROW_NOISE, CONTENT, LABEL_NOISE = 0.15, 0.25, 0.3, 0.6
"""Standard deviations: of an image alone, of a row's draw in all states, of what rows show beside concepts, of y."""


@dataclass(frozen=True)
class Sample:
    """Labels (N,), reference scores (N, R), states of the D concepts, clusters (N,) or None."""

    y: np.ndarray
    reference: np.ndarray
    states: list[StateScores]
    clusters: np.ndarray | None


def draw(
    rng: np.random.Generator,
    n_rows: int,
    weights: np.ndarray,
    prevalence: np.ndarray,
    n_draws: int = 1,
    *,
    clustered: bool = False,
    correlation: float = 0.0,
    grid: float = 0.0,
) -> Sample:
    """A sample; drawn again until there are two labels and every concept is on and off somewhere.

    Args:
        rng: source of randomness.
        n_rows: N.
        weights: (D,) of the concepts in the score.
        prevalence: (D,) share of rows that have each.
        n_draws: noise draws R.
        clustered: whether rows come in clusters of one to four that share half the variance of everything.
        correlation: of all concepts with one another (of the normal variables whose signs they are).
        grid: scores are rounded to multiples of this, so that there are ties; 0: they aren't.
    """
    group = np.repeat(np.arange(n_rows), 1 + np.arange(n_rows) % 4)[:n_rows] if clustered else np.arange(n_rows)

    def normal(*shape: int) -> np.ndarray:
        own = rng.normal(size=(n_rows, *shape))
        if not clustered:
            return own
        return np.sqrt(1 - SHARED) * own + np.sqrt(SHARED) * rng.normal(size=(group[-1] + 1, *shape))[group]

    def rounded(scores: np.ndarray) -> np.ndarray:
        return np.round(scores / grid) * grid if grid else scores

    latent = normal(len(weights))
    if correlation:
        latent = np.sqrt(1 - correlation) * latent + np.sqrt(correlation) * normal(1)
    present = (latent < ndtri(prevalence)).astype(np.int64)  # (N, D)
    content = present @ weights + CONTENT * normal()
    y = (content + LABEL_NOISE * normal() > prevalence @ weights).astype(np.int64)
    if len(np.unique(y)) < 2 or np.ptp(present, axis=0).min() == 0:
        return draw(
            rng, n_rows, weights, prevalence, n_draws, clustered=clustered, correlation=correlation, grid=grid
        )
    in_row = content[:, None] + ROW_NOISE * rng.normal(size=(n_rows, n_draws))
    reference = rounded(in_row + OWN_NOISE * rng.normal(size=(n_rows, n_draws)))
    states = []
    for j, weight in enumerate(weights):
        own = present[:, j]
        change = weight * (1 - 2 * own)[:, None]
        other = rounded(in_row + change + OWN_NOISE * rng.normal(size=(n_rows, n_draws)))
        scores = np.where((own[:, None] == np.arange(2))[:, :, None], reference[:, None], other[:, None])  # (N, 2, R)
        states.append(StateScores(str(j), scores, np.arange(2), np.bincount(own, minlength=2), own))
    return Sample(y, reference, states, group if clustered else None)
