"""Scores of states: look-up, weights, refusals."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from genlens.errors import UserError
from genlens.importance.states import StateScores


def plan_states(values, **changes):
    fields = {
        "concept": "c",
        "index": np.array([[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], [0, 1]]]),
        "stratum": np.array([0, 1, 1]),
        "counts": np.array([1, 1]),
        "own": np.array([0, 1]),
        "states": np.array(values, dtype=object),
    }
    return SimpleNamespace(**(fields | changes))


def test_scores_are_looked_up_by_image_number():
    states = plan_states([["", "x", "y"], ["", "y", "x"]])
    found = StateScores.from_states(states, np.arange(10) / 10)
    assert found.scores.shape == (2, 3, 2) and found.values is None
    assert found.scores[1, 2].tolist() == [0.0, 0.1]
    outputs = StateScores.from_states(states, np.arange(20).reshape(10, 2))
    assert outputs.scores.shape == (2, 3, 2, 2)
    assert np.array_equal(outputs.column(1).scores, outputs.scores[..., 1])


def test_values_are_kept_where_they_are_numbers_of_other_than_two_strata():
    one = {"stratum": np.zeros(3, int), "counts": np.array([2]), "own": np.zeros(2, int)}
    found = StateScores.from_states(plan_states([[1.5, 2, 3], [4, 5, 6]], **one), np.arange(10))
    assert found.values.tolist() == [[1.5, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert StateScores.from_states(plan_states([["a", "b", "c"]] * 2, **one), np.arange(10)).values is None
    assert StateScores.from_states(plan_states([[0, 1, 2], [0, 2, 1]]), np.arange(10)).values is None


def test_weights_keep_the_marginal_and_spread_over_donors():
    states = StateScores("c", np.zeros((4, 3, 1)), np.array([1, 0, 1]), np.array([1, 3]), np.array([1, 1, 0, 1]))
    assert states.weights.tolist() == [0.375, 0.25, 0.375]
    assert states.slot_weights(np.array([[0.5, 0.5], [1.0, 0.0]])).tolist() == [[0.25, 0.5, 0.25], [0.0, 1.0, 0.0]]


GOOD = {"scores": np.zeros((2, 2, 1)), "stratum": np.array([0, 1]), "counts": np.array([1, 1]), "own": np.array([0, 1])}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": np.zeros((2, 2))}, r"scores must be \(N, S, R\)"),
        ({"stratum": np.array([0])}, r"stratum must be \(2,\)"),
        ({"stratum": np.array([0, 0])}, "each of the 2 strata needs a slot"),
        ({"own": np.array([1, 1])}, "counts must be the rows in each stratum"),
        ({"scores": np.full((2, 2, 1), np.nan)}, "scores must be finite"),
    ],
)
def test_states_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(UserError, match=f"States of concept 'c': {message}"):
        StateScores("c", **(GOOD | changes))
