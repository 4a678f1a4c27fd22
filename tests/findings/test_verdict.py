"""Verdicts from shares and parts."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.findings.verdict import Part, by_object, by_part, by_presence, mean_part, reasons
from genlens.segmenters import Share


def share(estimate: float, low: float, high: float) -> Share:
    return Share(40, round(40 * estimate), estimate, low, high)


def test_an_interval_across_the_threshold_is_undecided() -> None:
    assert by_presence(share(0.9, 0.7, 1), 0.5) == "core"
    assert by_presence(share(0.1, 0, 0.3), 0.5) == "spurious"
    assert by_presence(share(0.6, 0.45, 0.8), 0.5) == "undecided"
    assert by_part(Part(40, 0.9, 0.5, 1), 0.5) == "core"
    assert by_part(Part(40, 0.2, 0.1, 0.49), 0.5) == "spurious"
    assert by_part(Part(40, 0.2, 0.1, 0.5), 0.5) == "undecided"


def test_mean_part() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(200)
    found = mean_part(np.append(values, np.nan))
    assert found.n == 200 and found.mean == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 200**0.5, rel=0.15)


def test_few_equal_pictures_do_not_claim_certainty() -> None:
    few, many = mean_part(np.zeros(4)), mean_part(np.zeros(60))
    assert few.low == 0 and few.high >= 0.3
    assert many.high < 0.05
    nothing = mean_part(np.full(3, np.nan))
    assert nothing.n == 0 and np.isnan(nothing.mean) and (nothing.low, nothing.high) == (0, 1)


def test_coverage_of_the_mean_part() -> None:
    rng, held = np.random.default_rng(1), 0
    for _ in range(200):
        values = rng.beta(0.5, 0.5, 24)
        found = mean_part(values, n_resamples=400)
        held += found.low <= 0.5 <= found.high
    assert held >= 180


@pytest.mark.parametrize(
    ("seen", "part", "words"),
    [
        (share(0.95, 0.8, 1), Part(40, 0.05, 0.0, 0.1), "along for the ride: it carries 5%"),
        (share(0.95, 0.8, 1), Part(40, 0.5, 0.4, 0.6), "answers to both the object and something else"),
        (share(0.02, 0, 0.1), Part(40, 0.9, 0.8, 1), "Look at the pictures"),
        (share(0.95, 0.8, 1), Part(40, 0.9, 0.8, 1), "it carries 90% of the activation"),
        (share(0.95, 0.8, 1), Part(0, float("nan"), 0, 1), "optimisation failed"),
    ],
)
def test_reasons(seen: Share, part: Part, words: str) -> None:
    assert words in reasons(seen, part, Part(40, 0.1, 0, 0.2), 0.97, 0.2, 0.5)


def test_the_reason_says_when_the_name_decides() -> None:
    told = reasons(share(0, 0, 0.1), Part(40, 0.0, 0.0, 0.1), Part(40, 0.9, 0.8, 1), 0.97, 0.2, 0.5)
    assert "under the class's name the object alone reaches 90%" in told


@pytest.mark.parametrize(
    ("part", "reach", "verdict"),
    [
        ((0.0, 0.1), (0.0, 0.1), "spurious"), ((0.0, 0.1), (0.8, 1.0), "core"), ((0.8, 1.0), (0.0, 0.1), "core"),
        ((0.0, 0.1), (0.6, 0.7), "undecided"), ((0.4, 0.6), (0.0, 0.1), "undecided"), ((0.4, 0.6), (0.7, 0.9), "core"),
        ((0.0, 0.1), (0.4, 0.6), "spurious"),
    ],
)  # fmt: skip
def test_an_object_that_carries_the_feature_anywhere_is_core(
    part: tuple[float, float], reach: tuple[float, float], verdict: str
) -> None:
    one, other = (Part(40, sum(ends) / 2, *ends) for ends in (part, reach))
    assert by_object(one, other, 0.5) == verdict


def test_a_higher_threshold_holds_for_both() -> None:
    assert by_object(Part(40, 0.1, 0, 0.2), Part(40, 0.75, 0.7, 0.79), 0.8) == "spurious"
