"""Score reliance for each kind of concept."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.importance.reliance import reliance
from genlens.importance.states import StateScores


def test_binary_reliance_is_the_weight(make_world):
    world = make_world(weights=(1.0, -0.4, 0.0))
    found = [reliance(state) for state in world.states]
    assert [item.signed.value for item in found] == pytest.approx([1.0, -0.4, 0.0])
    assert [item.absolute.value for item in found] == pytest.approx([1.0, 0.4, 0.0])
    assert found[0].absolute.high - found[0].absolute.low == pytest.approx(0, abs=1e-9)
    assert found[1].effects == pytest.approx(np.full(200, -0.4))


def test_signed_changes_cancel_and_absolute_ones_do_not(make_binary):
    change = np.array([1.0, -1.0, 1.0, -1.0])
    found = reliance(make_binary("c", [0, 1, 0, 1], np.zeros(4), change))
    assert found.signed.value == 0 and found.absolute.value == 1
    assert found.signed.low < 0 < found.signed.high


def test_draws_are_averaged_before_the_absolute_value(make_binary):
    found = reliance(make_binary("c", [0, 1], np.zeros((2, 2)), np.array([[1.0, -1.0], [2.0, 0.0]])))
    assert found.absolute.value == 0.5


def test_donors_of_a_segment_are_averaged():
    scores = np.array([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0]])[:, :, None]
    states = StateScores("c", scores, np.array([0, 1, 1]), np.array([1, 1]), np.array([0, 1]))
    found = reliance(states)
    assert found.effects.tolist() == [2.0, 0.0]
    assert found.absolute.value == pytest.approx((2 + 1) / 2)


def test_category_reliance_is_over_pairs_of_different_values():
    scores = np.tile(np.array([0.0, 1.0, 4.0]), (4, 1))[:, :, None]
    states = StateScores("c", scores, np.arange(3), np.array([2, 1, 1]), np.array([0, 0, 1, 2]))
    found = reliance(states)
    pairs = {(0, 1): 2 / 16, (0, 2): 2 / 16, (1, 2): 1 / 16}
    expected = (1 * pairs[0, 1] + 4 * pairs[0, 2] + 3 * pairs[1, 2]) / sum(pairs.values())
    assert found.absolute.value == pytest.approx(expected)
    assert np.isnan(found.signed.value) and np.isnan(found.effects).all()


@pytest.mark.parametrize("slope", [2.0, -0.7])
def test_number_reliance_is_the_slope_per_standard_deviation(slope):
    rng = np.random.default_rng(0)
    values = rng.normal(10, 3, (500, 2))
    scores = (rng.normal(size=(500, 1)) + slope * values)[:, :, None]
    states = StateScores("c", scores, np.zeros(2, int), np.array([500]), np.zeros(500, int), values)
    found = reliance(states)
    assert found.signed.value == pytest.approx(slope * values.std(), rel=1e-9)
    assert found.absolute.value == pytest.approx(abs(slope) * values.std(), rel=1e-9)
    assert found.effects.mean() == pytest.approx(found.signed.value)


def test_count_reliance_uses_the_marginal():
    own = np.array([0] * 5 + [1] * 3 + [2] * 2)
    values = np.tile(np.arange(3.0), (10, 1))
    states = StateScores("c", (values * 1.5)[:, :, None], np.arange(3), np.bincount(own), own, values)
    assert reliance(states).signed.value == pytest.approx(1.5 * own.std())


def test_equal_donor_values_leave_reliance_unknown():
    states = StateScores(
        "c", np.zeros((3, 1, 1)), np.zeros(1, int), np.array([3]), np.zeros(3, int), np.array([[1.0], [2.0], [3.0]])
    )
    assert np.isnan(reliance(states).absolute.value)


def test_several_outputs_are_averaged_without_sign():
    own = np.array([0, 1, 0, 1])
    scores = np.zeros((4, 2, 1, 2))
    scores[:, 1, 0] = [1.0, -3.0]
    found = reliance(StateScores("c", scores, np.arange(2), np.bincount(own), own))
    assert found.absolute.value == 2.0 and np.isnan(found.signed.value)
