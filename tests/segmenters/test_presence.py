"""Presence: from masks to yes and no."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.errors import UserError
from genlens.segmenters import Presence


def test_presence_is_enough_pixels_above_the_threshold() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((50, 10, 10)) ** 4
    for threshold, min_share in ((0.5, 0.01), (0.3, 0.05), (0.9, 1.0), (0.5, 0.2)):
        rule = Presence(threshold, min_share)
        counted = (masks >= threshold).mean(axis=(1, 2)) >= min_share
        assert (rule.present(masks) == counted).all()


def test_score_is_the_kth_probability() -> None:
    mask = np.linspace(0, 1, 100).reshape(1, 10, 10)
    assert Presence(0.5, 0.03).scores(mask)[0] == pytest.approx(mask.ravel()[-3])
    assert Presence(0.5, 0.001).scores(mask)[0] == 1


@pytest.mark.parametrize(
    ("name", "value"), [("threshold", 0.0), ("threshold", 1.0), ("min_share", 0.0), ("min_share", 1.1)]
)
def test_values_out_of_range(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"`{name}` must be"):
        Presence(**{name: value})
