"""Verdicts of bias on labels that are made up, where what must be said is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from genlens.classifiers.callable import CallableClassifier
from genlens.classifiers.protocol import Images
from genlens.errors import UserError
from genlens.findings.bias import CONTROL, NAMED, NEUTRAL, OPTIMISED, Attribute, PictureSet, analyse_bias
from genlens.findings.bias_attributes import segmenter_attribute
from genlens.segmenters import CallableSegmenter


def channels(images: Images) -> NDArray[np.float32]:
    """The pixel itself says the value: channel minus 127."""
    return np.stack(list(images))[:, 0, 0].astype(np.float32) - 127


COLOUR = Attribute("colour", ("red", "green", "blue"), CallableClassifier(channels, outputs="scores"))


def pictures(
    values: NDArray[np.int64], scores: NDArray[np.float64], restarts: NDArray[np.int64] | None = None
) -> PictureSet:
    """One pixel a picture, of the given colours; -1 is black."""
    images = np.zeros((len(values), 1, 1, 3), dtype=np.uint8)
    images[np.flatnonzero(values >= 0), 0, 0, values[values >= 0]] = 255
    return PictureSet(images, scores, restarts)


def neutral(rng: np.random.Generator, effect: float, n: int = 400) -> PictureSet:
    values = rng.integers(0, 3, n)
    return pictures(values, rng.normal(size=n) + effect * (values == 0))


def restarts_of(rng: np.random.Generator, red: float, n: int = 8, m: int = 16) -> PictureSet:
    """Restarts that are all red with a chance, else all of another colour."""
    lucky = np.where(rng.random(n) < red, 0, rng.integers(1, 3, n))
    return pictures(np.repeat(lucky, m), rng.normal(3, 1, n * m), np.repeat(np.arange(n), m))


def test_a_bias_that_both_ways_of_looking_see() -> None:
    rng = np.random.default_rng(0)
    sets = {OPTIMISED: restarts_of(rng, 1.0), CONTROL: restarts_of(rng, 0.0), NEUTRAL: neutral(rng, 1.0)}
    sets[NAMED] = neutral(rng, 0.0, 90)
    (found,) = analyse_bias([COLOUR], sets)
    assert (found.verdict, found.favoured, found.n_restarts) == ("biased", "red", 8)
    red = found.values[0]
    assert red.shares[OPTIMISED] == 1 and red.difference == pytest.approx(1 - red.shares[NEUTRAL])
    assert 0.2 < red.low < red.difference < red.high <= 1
    assert red.h > 0.8 and found.v > 0.5
    assert found.p_value == max(found.p_neutral, found.p_control, found.p_direct)
    assert found.p_class_name > 0.01


def test_what_only_the_optimiser_sees_is_undecided() -> None:
    rng = np.random.default_rng(1)
    sets = {OPTIMISED: restarts_of(rng, 1.0), CONTROL: restarts_of(rng, 0.0), NEUTRAL: neutral(rng, 0.0)}
    (found,) = analyse_bias([COLOUR], sets)
    assert found.verdict == "undecided" and "may exaggerate" in found.reason


def test_what_only_the_neutral_pictures_show_is_undecided() -> None:
    rng = np.random.default_rng(2)
    lucky = pictures(np.repeat([0, 1, 2, 0, 1, 2, 0, 0], 16), rng.normal(size=128), np.repeat(np.arange(8), 16))
    (found,) = analyse_bias([COLOUR], {OPTIMISED: lucky, CONTROL: lucky, NEUTRAL: neutral(rng, 1.5)})
    assert found.verdict == "undecided" and "the maximising pictures don't show it" in found.reason


def test_no_false_alarm_from_the_restarts_luck() -> None:
    rng, said = np.random.default_rng(3), []
    for _ in range(60):
        sets = {OPTIMISED: restarts_of(rng, 1 / 3), CONTROL: restarts_of(rng, 1 / 3), NEUTRAL: neutral(rng, 0.0, 200)}
        said.append(analyse_bias([COLOUR], sets)[0].verdict)
    assert said.count("biased") == 0 and said.count("not shown") > 50


def test_too_few_restarts_and_none_at_all() -> None:
    rng = np.random.default_rng(4)
    (few,) = analyse_bias([COLOUR], {OPTIMISED: restarts_of(rng, 1.0, n=4), NEUTRAL: neutral(rng, 2.0)})
    assert few.verdict == "undecided" and few.reason.startswith("4 restarts reached")
    none = pictures(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0, dtype=np.int64))
    (nothing,) = analyse_bias([COLOUR], {OPTIMISED: none, NEUTRAL: neutral(rng, 2.0)})
    assert nothing.verdict == "undecided" and nothing.n_restarts == 0


def test_neutral_pictures_without_a_clear_value_decide_nothing() -> None:
    rng = np.random.default_rng(9)
    blank = pictures(np.full(50, -1), rng.normal(size=50))
    (found,) = analyse_bias([COLOUR], {OPTIMISED: restarts_of(rng, 1.0), NEUTRAL: blank})
    assert found.verdict == "undecided" and "clear value" in found.reason
    assert analyse_bias([COLOUR], {NEUTRAL: blank})[0].verdict == "undecided"


def test_without_an_optimiser() -> None:
    rng = np.random.default_rng(5)
    (found,) = analyse_bias([COLOUR], {NEUTRAL: neutral(rng, 1.0)})
    assert (found.verdict, found.favoured) == ("biased", "red")
    assert np.isnan(found.p_neutral) and np.isnan(found.values[0].difference)
    (silent,) = analyse_bias([COLOUR], {NEUTRAL: neutral(rng, 0.0)})
    assert silent.verdict == "not shown"


def test_correction_over_attributes() -> None:
    rng = np.random.default_rng(6)
    noise = [CallableClassifier(_noise(k), outputs="scores", fingerprint=f"noise {k}") for k in range(4)]
    shuffled = [Attribute(f"null {k}", COLOUR.values, one) for k, one in enumerate(noise)]
    sets = {OPTIMISED: restarts_of(rng, 1.0), NEUTRAL: neutral(rng, 1.0)}
    found = analyse_bias([COLOUR, *shuffled], sets)
    assert found[0].adjusted == pytest.approx(min(5 * found[0].p_value, 1))
    assert all(one.verdict == "not shown" for one in found[1:])


def _noise(seed: int):  # type: ignore[no-untyped-def]
    def classify(images: Images) -> NDArray[np.float32]:
        rng = np.random.default_rng((seed, len(images)))
        return rng.normal(2, 1, (len(images), 3)).astype(np.float32)

    return classify


def test_labels_of_all_kinds_of_outputs() -> None:
    images = pictures(np.array([2, 0, -1]), np.zeros(3)).images
    assert COLOUR.label(images).tolist() == [2, 0, -1]
    logits = Attribute("colour", COLOUR.values, CallableClassifier(channels, outputs="logits"))
    assert logits.label(images).tolist() == [2, 0, 0]
    one = Attribute("reddish", ("no", "yes"), CallableClassifier(lambda x: channels(x)[:, :1], outputs="scores"))
    assert one.label(images).tolist() == [0, 1, 0]
    chances = CallableClassifier(lambda x: (channels(x)[:, :1] + 127) / 255, outputs="probabilities")
    shares = Attribute("reddish", ("no", "yes"), chances)
    assert shares.label(images).tolist() == [0, 1, 0]


def test_a_segmenter_labels_by_what_fills_most_pixels() -> None:
    def by_channel(images: NDArray[np.uint8], text: str) -> NDArray[np.float32]:
        return (images[..., ("red", "green", "blue").index(text)] > 127).astype(np.float32)

    images = np.zeros((3, 10, 10, 3), dtype=np.uint8)
    images[0, :2, :, 0], images[0, 5:, :, 2], images[1, 0, 0, 1] = 255, 255, 255
    segmenter = CallableSegmenter(by_channel, fingerprint="channels")
    attribute = segmenter_attribute("colour", COLOUR.values, segmenter, least=0.02)
    assert attribute.label(images).tolist() == [2, -1, -1]
    finer = segmenter_attribute("colour", COLOUR.values, segmenter, least=0.005)
    assert finer.label(images).tolist() == [2, 1, -1]
    assert finer.classifier.fingerprint != attribute.classifier.fingerprint
    with pytest.raises(UserError, match=r"`least` must be a share in \(0, 1\]; got 0"):
        segmenter_attribute("colour", COLOUR.values, segmenter, least=0)


def test_bad_input_is_one_line() -> None:
    rng = np.random.default_rng(8)
    with pytest.raises(UserError, match="needs two different values or more; got \\['red'\\]"):
        Attribute("colour", ("red",), COLOUR.classifier)
    with pytest.raises(UserError, match="has 2 values, its classifier 3 columns"):
        analyse_bias([Attribute("colour", ("red", "blue"), COLOUR.classifier)], {NEUTRAL: neutral(rng, 0)})
    with pytest.raises(UserError, match="different names"):
        analyse_bias([COLOUR, COLOUR], {NEUTRAL: neutral(rng, 0)})
    with pytest.raises(UserError, match="different names"):
        analyse_bias([], {NEUTRAL: neutral(rng, 0)})
    with pytest.raises(UserError, match="give a neutral prompt"):
        analyse_bias([COLOUR], {OPTIMISED: restarts_of(rng, 1)})
