"""The X-ray drawer: obeys captions; its switches err as they say, and only so."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.datasets import xray
from genlens.generators.xray_drawer import XrayDrawer

PHANTOM = xray.sample(60, 9)
CAPTIONS, SEEDS = PHANTOM.captions(), list(range(60))


def flipped(name: str) -> list[str]:
    off, on = f"{name}: 0", f"{name}: 1"
    return [c.replace(off, "?").replace(on, off).replace("?", on) for c in CAPTIONS]


def test_what_is_said_is_drawn() -> None:
    bodies = XrayDrawer().bodies(CAPTIONS, SEEDS)
    np.testing.assert_array_equal(bodies.demographics, PHANTOM.bodies.demographics)
    np.testing.assert_array_equal(bodies.signs, PHANTOM.bodies.signs * PHANTOM.said)


def test_a_flip_moves_nothing_else() -> None:
    before, after = (XrayDrawer().bodies(captions, SEEDS) for captions in (CAPTIONS, flipped("Age")))
    assert (before.demographics[:, 0] != after.demographics[:, 0]).all()
    np.testing.assert_array_equal(before.demographics[:, 1:], after.demographics[:, 1:])
    for name in ("signs", "sides", "anatomy"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def test_images_hang_on_caption_and_seed_only() -> None:
    drawer = XrayDrawer()
    images = drawer.generate(CAPTIONS[:5], SEEDS[:5])
    assert images.shape == (5, 64, 64, 3)
    np.testing.assert_array_equal(images[3:4], drawer.generate(CAPTIONS[3:4], SEEDS[3:4]))
    assert (drawer.generate(CAPTIONS[:1], [99]) != images[:1]).any()


def test_heeding_the_text_undoes_flips_where_it_mentions_them() -> None:
    drawer = XrayDrawer(heeds_text=True)
    kept = drawer.bodies(flipped("Age"), SEEDS).demographics[:, 0] == PHANTOM.bodies.demographics[:, 0]
    mentioned = np.array(["year-old" in caption for caption in CAPTIONS])
    np.testing.assert_array_equal(kept, mentioned)
    np.testing.assert_array_equal(drawer.bodies(CAPTIONS, SEEDS).demographics, PHANTOM.bodies.demographics)


def test_filling_in_moves_unmentioned_findings_with_age_only_upwards() -> None:
    drawer = XrayDrawer(fills_in=True)
    captions = [f"Age: {{}}, BMI: 0, Sex: 0, Findings: {text}" for text in PHANTOM.findings]
    young, old = (drawer.bodies([c.format(v) for c in captions], SEEDS).signs for v in (0, 1))
    assert ((old - young) >= 0).all() and (old > young).any()
    np.testing.assert_array_equal(old[PHANTOM.said], young[PHANTOM.said])


def test_unmentioned_findings_come_at_their_rate() -> None:
    seeds = list(range(4000))
    signs = XrayDrawer(fills_in=True).bodies(["Age: 1, BMI: 0, Sex: 0, Findings: none"] * 4000, seeds).signs
    assert np.abs(signs.mean(axis=0) - xray.unsaid_rates(np.array([[1, 0, 0]]))[0]).max() < 0.03


@pytest.mark.parametrize("switch", ["heeds_text", "fills_in"])
def test_switches_are_in_the_fingerprint(switch: str) -> None:
    assert XrayDrawer(**{switch: True}).fingerprint != XrayDrawer().fingerprint
