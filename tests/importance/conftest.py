"""Small worlds of scores: concepts, a model, and the scores of every state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from genlens.importance.states import StateScores


@dataclass(frozen=True)
class World:
    """Labels, concepts (N, D), reference scores (N, R) and states of a linear model with a perfect generator."""

    y: np.ndarray
    concepts: np.ndarray
    reference: np.ndarray
    states: list[StateScores]


def binary_states(name: str, own: np.ndarray, off: np.ndarray, on: np.ndarray) -> StateScores:
    """States of a binary concept from the scores (N,) or (N, R) without and with it."""
    scores = np.stack([np.asarray(off, dtype=float), np.asarray(on, dtype=float)], axis=1)
    scores = scores[:, :, None] if scores.ndim == 2 else scores
    own = np.asarray(own, dtype=np.int64)
    return StateScores(name, scores, np.array([0, 1]), np.bincount(own, minlength=2), own)


def linear_world(
    n_rows: int = 200,
    weights: tuple[float, ...] = (1.0, 0.4, 0.0),
    seed: int = 0,
    prevalence: float = 0.5,
    noise: float = 0.3,
    state_noise: float = 0.0,
    n_draws: int = 1,
) -> World:
    """score = concepts @ weights + noise; y is a noisy threshold of it; other states carry extra `state_noise`."""
    rng = np.random.default_rng(seed)
    w = np.array(weights)
    concepts = (rng.random((n_rows, len(w))) < prevalence).astype(np.int64)
    reference = (concepts @ w)[:, None] + rng.normal(0, noise, (n_rows, n_draws))
    y = (reference.mean(axis=1) + rng.normal(0, 0.3, n_rows) > prevalence * w.sum()).astype(np.int64)
    states = []
    for j, weight in enumerate(w):
        own = concepts[:, [j]]
        other = reference + weight * (1 - 2 * own) + rng.normal(0, 1, reference.shape) * state_noise
        states.append(
            binary_states(
                f"c{j}", own[:, 0], np.where(own == 0, reference, other), np.where(own == 1, reference, other)
            )
        )
    return World(y, concepts, reference, states)


@pytest.fixture
def make_world() -> Callable[..., World]:
    """Build a linear world."""
    return linear_world


@pytest.fixture
def make_binary() -> Callable[..., StateScores]:
    """Build the states of a binary concept."""
    return binary_states
