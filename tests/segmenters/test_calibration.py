"""Corrected shares: closed forms, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.errors import UserError
from genlens.segmenters import Calibration, CallableSegmenter, calibrate, corrected_share


def test_rogan_and_gladen() -> None:
    # sensitivity .9, false-present .1: a true share of .5 is counted as .5, one of .25 as .3
    errors = Calibration(100, 90, 100, 10)
    assert (errors.false_absent, errors.false_present, errors.skill) == pytest.approx((0.1, 0.1, 0.8))
    assert corrected_share(50, 100, errors).estimate == pytest.approx(0.5)
    assert corrected_share(30, 100, errors).estimate == pytest.approx(0.25)
    assert corrected_share(5, 100, errors).estimate == 0  # fewer than the false alarms alone
    assert corrected_share(97, 100, errors).estimate == 1


def test_a_perfect_segmenter_changes_nothing() -> None:
    found = corrected_share(13, 40, Calibration(10_000, 10_000, 10_000, 0))
    assert found.estimate == found.raw == 13 / 40
    assert found.low < 13 / 40 < found.high


def test_uncertain_errors_widen_the_interval() -> None:
    sure, unsure = (corrected_share(30, 60, Calibration(n, int(0.9 * n), n, n // 10)) for n in (10_000, 30))
    assert unsure.high - unsure.low > 1.1 * (sure.high - sure.low)


@pytest.mark.parametrize("truth", [0.02, 0.3, 0.5, 0.95])
@pytest.mark.parametrize(("sensitivity", "false_present", "n"), [(0.95, 0.03, 40), (0.8, 0.2, 100), (1.0, 0.0, 24)])
def test_coverage(truth: float, sensitivity: float, false_present: float, n: int) -> None:
    rng = np.random.default_rng(1)
    held, repeats = 0, 400
    for _ in range(repeats):
        errors = Calibration(60, rng.binomial(60, sensitivity), 60, rng.binomial(60, false_present))
        counted = rng.binomial(n, truth * sensitivity + (1 - truth) * false_present)
        found = corrected_share(int(counted), n, errors)
        held += found.low <= truth <= found.high
    assert held / repeats >= 0.92  # nominal .95, simulation error .011


def test_an_interval_without_the_correction_does_not_cover() -> None:
    rng = np.random.default_rng(2)
    ideal, held = Calibration(100_000, 100_000, 100_000, 0), 0
    for _ in range(200):
        found = corrected_share(int(rng.binomial(100, 0.05 * 0.8 + 0.95 * 0.2)), 100, ideal)
        held += found.low <= 0.05 <= found.high
    assert held < 40


def test_calibrate_counts() -> None:
    def bright(images: np.ndarray, text: str) -> np.ndarray:
        return (images[..., 0] > 100).astype(np.float32)

    light, dark = (np.full((n, 8, 8, 3), value, np.uint8) for n, value in ((6, 200), (4, 0)))
    light[0] = 0
    dark[0, :2] = 255
    assert calibrate(CallableSegmenter(bright), "light", light, dark) == Calibration(6, 5, 4, 1)


def test_refusals() -> None:
    with pytest.raises(UserError, match="too alike to correct a share"):
        corrected_share(5, 10, Calibration(20, 10, 20, 9))
    with pytest.raises(UserError, match="`seen` must be at most `n_with`"):
        Calibration(5, 6, 5, 0)
    with pytest.raises(UserError, match="`counted` must be at most `n`"):
        corrected_share(11, 10, Calibration(5, 5, 5, 0))
    with pytest.raises(UserError, match="`confidence` must be between"):
        corrected_share(1, 10, Calibration(5, 5, 5, 0), confidence=1.0)
