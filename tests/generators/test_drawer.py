"""The drawer: perfect, unless it is told to misbehave, and then only in the one way it was told."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from genlens.datasets.shapes import (
    CONCEPTS,
    draw_caption,
    presence_caption,
    sample_presence,
    sample_slots,
    segment_caption,
)
from genlens.errors import UserError
from genlens.generators.drawer import DrawerGenerator

N = 200
PRESENCE = sample_presence(N, 0)
SLOTS = sample_slots(N, 0).params
SEEDS = list(range(N))


def captions(presence: np.ndarray, positions: bool) -> list[str]:
    if positions:
        return [segment_caption(row, slots) for row, slots in zip(presence, SLOTS, strict=True)]
    return [presence_caption(row) for row in presence]


def flipped(concept: int) -> np.ndarray:
    other = PRESENCE.copy()
    other[:, concept] ^= 1
    return other


@pytest.mark.parametrize("positions", [True, False])
def test_draws_what_the_caption_says(positions: bool) -> None:
    images = DrawerGenerator().generate(captions(PRESENCE, positions), SEEDS)
    expected = [draw_caption(text, seed) for text, seed in zip(captions(PRESENCE, positions), SEEDS, strict=True)]
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, np.stack(expected))


def test_size_and_odd_captions() -> None:
    images = DrawerGenerator(size=32).generate(["", "a cat on a mat", "red circle"], [1, 2, 2**62])
    assert images.shape == (3, 32, 32, 3)
    np.testing.assert_array_equal(images[0], images[1])
    assert images[2].std() > images[0].std()
    DrawerGenerator().check_captions(["x" * 10_000])


def test_image_does_not_depend_on_its_batch() -> None:
    drawer = DrawerGenerator(blur=1.5)
    texts = captions(PRESENCE, False)
    together = drawer.generate(texts[:5], SEEDS[:5])
    apart = np.concatenate([drawer.generate([texts[i]], [SEEDS[i]]) for i in range(5)])
    np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize("positions", [True, False])
def test_ignored_flips_leave_the_reference_image(positions: bool) -> None:
    reference = captions(PRESENCE, positions)
    drawer = DrawerGenerator(ignore_flips=0.3, references=dict(zip(SEEDS, reference, strict=True)))
    perfect = DrawerGenerator().generate(reference, SEEDS)
    np.testing.assert_array_equal(drawer.generate(reference, SEEDS), perfect)
    asked = captions(flipped(2), positions)
    images, wanted = drawer.generate(asked, SEEDS), DrawerGenerator().generate(asked, SEEDS)
    ignored = (images == perfect).all(axis=(1, 2, 3))
    obeyed = (images == wanted).all(axis=(1, 2, 3))
    assert (ignored ^ obeyed).all()
    assert 0.2 < ignored.mean() < 0.4
    other = drawer.generate(captions(flipped(3), positions), SEEDS)
    assert ((other == perfect).all(axis=(1, 2, 3)) != ignored).any()  # each concept has its own luck


@pytest.mark.parametrize("positions", [True, False])
def test_leak_moves_one_other_concept_only(positions: bool) -> None:
    reference = captions(PRESENCE, positions)
    leak = (CONCEPTS[0], CONCEPTS[4], 0.5)
    drawer = DrawerGenerator(leak=leak, references=dict(zip(SEEDS, reference, strict=True)))
    np.testing.assert_array_equal(drawer.generate(reference, SEEDS), DrawerGenerator().generate(reference, SEEDS))
    asked = captions(flipped(1), positions)
    np.testing.assert_array_equal(drawer.generate(asked, SEEDS), DrawerGenerator().generate(asked, SEEDS))
    asked = captions(flipped(0), positions)
    images, wanted = drawer.generate(asked, SEEDS), DrawerGenerator().generate(asked, SEEDS)
    leaked = flipped(0)
    leaked[:, 4] = leaked[:, 0]
    texts = captions(leaked, positions)
    unplaced = (leaked[:, 4] > PRESENCE[:, 4]) & positions  # no caption says where, so the seed does
    texts = [
        re.sub(rf"{CONCEPTS[4]} \([^)]*\) \d+ \d+", CONCEPTS[4], text) if free else text
        for text, free in zip(texts, unplaced, strict=True)
    ]
    spoilt = DrawerGenerator().generate(texts, SEEDS)
    as_wanted, as_spoilt = ((images == one).all(axis=(1, 2, 3)) for one in (wanted, spoilt))
    assert (as_wanted | as_spoilt).all()
    moves = leaked[:, 4] != PRESENCE[:, 4]
    assert 0.35 < as_spoilt[moves].mean() < 0.65


def test_blur_is_on_every_image() -> None:
    sharp = DrawerGenerator().generate(["red circle (32, 32) 9"], [0])[0].astype(float)
    blurred = DrawerGenerator(blur=4.0).generate(["red circle (32, 32) 9"], [0])[0].astype(float)
    assert np.abs(np.diff(blurred, axis=0)).max() < 0.5 * np.abs(np.diff(sharp, axis=0)).max()
    assert abs(blurred.mean() - sharp.mean()) < 1


@pytest.mark.parametrize("text", ["red circle, blue rectangle", "red circle (12, 40) 9, blue rectangle (40, 20) 12 14"])
def test_fresh_noise_breaks_the_seed_but_not_the_shapes(text: str) -> None:
    drawer = DrawerGenerator(fresh_noise=True)
    images = [drawer.generate([text], [5])[0] for _ in range(6)]
    assert sum(bool((one != other).any()) for one, other in pairwise(images)) >= 3
    for image in images:
        red = ((image[..., 0] > 180) & (image[..., 1] < 120)).mean()
        blue = ((image[..., 2] > 180) & (image[..., 0] < 120)).mean()
        assert red > 0.02 and blue > 0.015


def test_fingerprint_covers_every_switch() -> None:
    references = {0: "red circle"}
    drawers = [
        DrawerGenerator(), DrawerGenerator(32), DrawerGenerator(blur=1.0), DrawerGenerator(fresh_noise=True),
        DrawerGenerator(ignore_flips=0.5, references=references),
        DrawerGenerator(ignore_flips=0.5, references={0: "blue circle"}),
        DrawerGenerator(leak=(CONCEPTS[0], CONCEPTS[1], 0.5), references=references),
        DrawerGenerator(leak=(CONCEPTS[1], CONCEPTS[0], 0.5), references=references),
    ]  # fmt: skip
    assert len({drawer.fingerprint for drawer in drawers}) == len(drawers)
    assert DrawerGenerator(references=references).fingerprint == DrawerGenerator().fingerprint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ignore_flips": 1.5}, r"^`ignore_flips` must be a share in \[0, 1\]; got 1\.5\.$"),
        ({"blur": -1}, r"^`blur` must be a number of pixels >= 0; got -1\.$"),
        ({"size": 4}, r"^`size` must be an integer >= 8; got 4\.$"),
        ({"leak": ("red circle", "sofa", 0.5)}, r"^`leak` names 'sofa', which is no shape\. Shapes: red circle, "),
        ({"leak": ("red circle", "blue circle", 2)}, r"^`leak` must be a share in \[0, 1\]; got 2\.$"),
        ({"leak": ("red circle",)}, r"^`leak` must be \(from_concept, into_concept, share\); got "),
        ({"ignore_flips": 0.5}, r"^`references` must map seeds to reference captions when "),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DrawerGenerator(**arguments)


def test_seed_without_reference() -> None:
    drawer = DrawerGenerator(ignore_flips=0.5, references={1: ""})
    with pytest.raises(UserError, match=r"^`references` must have a caption for every seed; seed 2 has none\.$"):
        drawer.generate(["red circle"], [2])
