"""Numbers as concepts: pixels are read exactly, donors nest, and the estimate meets the oracle."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from genlens.captions import reference_captions
from genlens.experiments import shapes_continuous as continuous
from genlens.generators.drawer import DrawerGenerator
from genlens.plan import make_plan


def test_captions_give_the_numbers_and_nothing_overlaps() -> None:
    table = continuous.number_table(200, 0)
    first = reference_captions(table)[:2]
    assert all(text.startswith("red circle (") and ", 14) " in text and not text.endswith(",") for text in first)
    values = continuous.true_values(table)
    for column, (low, high) in zip(values.T, continuous.RANGES, strict=False):
        assert column.min() == low and column.max() == high


def test_pixels_tell_the_values() -> None:
    table = continuous.number_table(100, 1)
    images = DrawerGenerator().generate(reference_captions(table), range(100))
    values = continuous.true_values(table)
    assert continuous.read_pixels(images) == pytest.approx(values, abs=0.06)


def test_a_picture_without_shapes_reads_as_the_middle_and_zeros() -> None:
    images = DrawerGenerator().generate([""], [0])
    assert continuous.read_pixels(images)[0] == pytest.approx([32, 0, 0, 0], abs=1e-6)


def test_fewer_donors_are_the_first_of_more() -> None:
    table = continuous.number_table(20, 2)
    four, two = (make_plan(table, 0, n_donors=n) for n in (4, 2))
    for states, fewer in zip(continuous.with_donors(four, 2).states, two.states, strict=True):
        assert (states.states == fewer.states).all() and states.index.shape == fewer.index.shape
    assert continuous.with_donors(four, 4).states[0].index.shape == (20, 4, 1)


def test_numbers_agree_with_the_oracle_and_more_donors_err_less() -> None:
    lab: Any = SimpleNamespace(settings=SimpleNamespace(models=8, rows=120, seed=0))
    found = continuous.compare(lab, DrawerGenerator(), 2)
    assert found["r"].shape == (2, 3) and found["r"][:, -1].min() > 0.98
    error = found["error"].mean(axis=0)
    assert error[2] < error[0]
    assert np.isnan(found["reliance_r"][:, 0]).all() and found["reliance_r"][:, 1:].min() > 0.999
    assert found["signed_r"][:, 1:].min() > 0.99
    assert found["images"][0, 0] < found["images"][0, 2] <= 120 * (1 + 3 * 4 + 1)


def test_a_curved_model_has_a_drop_without_a_slope() -> None:
    lab: Any = SimpleNamespace(settings=SimpleNamespace(models=2, rows=120, seed=0))
    found = continuous.compare(lab, DrawerGenerator(), 1)
    assert found["curved_importance"] == pytest.approx(found["curved_oracle"], abs=0.1)
    assert found["curved_importance"][1:] == pytest.approx(0, abs=1e-9)
    assert abs(found["curved_signed"][0]) < 0.2 * found["curved_absolute"][0]
