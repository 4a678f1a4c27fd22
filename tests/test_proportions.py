"""Intervals of proportions."""

from __future__ import annotations

import pytest
from scipy import stats

from genlens.errors import UserError
from genlens.proportions import wilson_interval


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 10), (50, 100), (99, 100), (4, 4), (1, 1)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_equals_scipy(successes: int, n: int, confidence: float) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(successes, n, confidence) == pytest.approx((expected.low, expected.high))


def test_nothing_observed_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((5, 4), "must lie in 0..4"), ((-1, 4), "must lie in 0..4"), ((1, 4, 1.0), "`confidence` must lie between")],
)
def test_values_out_of_range(arguments: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        wilson_interval(*arguments)
