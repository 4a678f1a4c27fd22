"""Concepts that are hard to permute: what the stubborn drawer draws, and what each case must show."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from genlens.classifiers.bundled import load_shapes_checker, load_shapes_concepts
from genlens.datasets.shapes import CONCEPTS, draw, sample_presence, sample_slots, segment_caption
from genlens.experiments import shapes_hard
from genlens.experiments.shapes_hard import CASES, Hardness, StubbornDrawer, measure_case, measures

N, CIRCLE, RECTANGLE = 30, 0, 3
PRESENCE, SLOTS = sample_presence(N, 4), sample_slots(N, 4).params


def drawn(hardness: Hardness, asked: np.ndarray) -> np.ndarray:
    """Pictures of all rows with presence `asked` (N, 6)."""
    drawer = StubbornDrawer(hardness, PRESENCE.astype(bool), SLOTS, range(N), 0)
    return drawer.generate([segment_caption(row, slots) for row, slots in zip(asked, SLOTS, strict=True)], range(N))


def flipped(concept: int) -> np.ndarray:
    return np.where(np.arange(len(CONCEPTS)) == concept, 1 - PRESENCE, PRESENCE)


@pytest.mark.parametrize("case", [case for _, case in CASES if not case.bound])
def test_unflipped_images_are_perfect(case: Hardness) -> None:
    assert (drawn(case, PRESENCE) == draw(PRESENCE, SLOTS)).all()


def test_flips_of_other_concepts_show() -> None:
    assert (drawn(Hardness(stuck=1, pulls=1, pulled=1), flipped(5)) == draw(flipped(5), SLOTS)).all()


def test_a_stuck_flip_does_not_show() -> None:
    assert (drawn(Hardness(stuck=1), flipped(CIRCLE)) == draw(PRESENCE, SLOTS)).all()


@pytest.mark.parametrize(("hardness", "moved", "along"), [
    (Hardness(pulls=1), CIRCLE, RECTANGLE), (Hardness(pulled=1), RECTANGLE, CIRCLE),
])  # fmt: skip
def test_a_flip_pulls_the_partner_into_the_same_state(hardness: Hardness, moved: int, along: int) -> None:
    expected = flipped(moved)
    expected[:, along] = expected[:, moved]
    assert (drawn(hardness, flipped(moved)) == draw(expected, SLOTS)).all()
    assert (drawn(hardness, flipped(along)) == draw(flipped(along), SLOTS)).all()


def test_a_bound_partner_is_drawn_with_the_circle_whatever_the_caption_says() -> None:
    expected = PRESENCE.copy()
    expected[:, RECTANGLE] = expected[:, CIRCLE]
    assert (drawn(Hardness(bound=True), flipped(RECTANGLE)) == draw(expected, SLOTS)).all()


def test_measures_finds_what_an_estimate_is_made_of() -> None:
    truth = np.random.default_rng(0).random((20, 6))
    estimate = truth.copy()
    estimate[:, CIRCLE] = 0.7 * truth[:, CIRCLE] + 0.3 * truth[:, RECTANGLE]
    assert measures(estimate, truth) == pytest.approx([0.7, 0.3])


@pytest.fixture(scope="module")
def lab() -> Any:
    settings = SimpleNamespace(models=10, rows=100, seed=0)
    return SimpleNamespace(settings=settings, net=load_shapes_concepts(), checker=load_shapes_checker())


def test_what_is_free_is_found_and_what_is_stuck_is_withheld(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes_hard, "N_ADJUSTED_MODELS", 2)
    free, stuck = measure_case(lab, Hardness()), measure_case(lab, Hardness(stuck=1))
    assert free["weights"] == pytest.approx([1, 0], abs=0.02)
    assert free["estimate"] == pytest.approx(free["oracle"], abs=0.01)
    assert str(free["verdict"]) != "failed" and not free["withheld"].any()
    assert stuck["weights"] == pytest.approx([0, 0], abs=0.02)
    assert str(stuck["verdict"]) == "failed" and stuck["withheld"][CIRCLE]
    assert np.isnan(stuck["adjusted"][:, CIRCLE]).all()


def test_a_bound_partner_counts_with_the_circle(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes_hard, "N_ADJUSTED_MODELS", 2)
    found = measure_case(lab, Hardness(bound=True))
    assert found["weights"] == pytest.approx([1, 1], abs=0.05)
    assert str(found["effective"]) == "failed" and found["withheld"][[CIRCLE, RECTANGLE]].all()
