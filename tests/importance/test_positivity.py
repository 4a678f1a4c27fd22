"""Positivity where the probabilities are known."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.columns import Concept
from genlens.importance.given import Given, folds_of, given_model
from genlens.importance.positivity import positivity


def test_shares_and_rows_are_counted():
    own = np.array([0, 0, 1, 1])
    on = np.array([0.01, 0.5, 0.99, 0.6])
    found = positivity(Given(own, np.stack([1 - on, on], axis=1)))
    assert found.smallest == pytest.approx(0.01)
    assert found.cells == 2 / 8
    assert found.share == pytest.approx((0.5 + 0.5) / 4)  # each of two rows gets its rare state half of the time
    assert found.rows == ((0, 1), (2, 0))


def test_a_rare_concept_is_rarely_asked_for():
    on = np.full(100, 0.02)
    own = np.zeros(100, dtype=np.int64)
    own[:2] = 1
    found = positivity(Given(own, np.stack([1 - on, on], axis=1)))
    assert (found.share, found.cells) == (pytest.approx(0.02), 0.5)


def test_concepts_that_always_occur_together_are_found_and_independent_ones_are_not():
    rng = np.random.default_rng(0)
    cup = rng.integers(0, 2, 600)
    same = given_model(cup, 2, [Concept("tv", "binary", cup)], folds_of(np.arange(600)))
    other = given_model(cup, 2, [Concept("bed", "binary", rng.integers(0, 2, 600))], folds_of(np.arange(600)))
    assert positivity(same).share == pytest.approx(0.5, abs=0.01)
    assert positivity(same).smallest < 0.01
    few = given_model(cup[:60], 2, [Concept("tv", "binary", cup[:60])], folds_of(np.arange(60)))
    assert positivity(few).share == pytest.approx(0.5, abs=0.05)
    assert (positivity(other).share, positivity(other).rows) == (0, ())
