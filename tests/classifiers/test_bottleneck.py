"""The concept bottleneck: y_hat = w . c_hat, and its true reliance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from genlens.classifiers import Classifier, ConceptBottleneck
from genlens.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)


class Corners:
    """Log-odds that are read off the first pixel."""

    concept_names = ("red", "green", "blue")
    fingerprint = "corners"

    def predict(self, images: Any) -> Any:
        return np.array([image[0, 0] / 64 - 2 for image in images], dtype=np.float32)

    def probabilities(self, images: Any) -> Any:
        return 1 / (1 + np.exp(-self.predict(images)))


WEIGHTS = [0.5, -1.0, 2.0]


@pytest.mark.parametrize("on", ["probabilities", "logits"])
def test_the_score_is_the_weighted_sum_of_the_concepts(on: Any) -> None:
    target = ConceptBottleneck(Corners(), WEIGHTS, bias=0.25, on=on)
    concepts = Corners().predict(IMAGES) if on == "logits" else Corners().probabilities(IMAGES)
    assert isinstance(target, Classifier)
    assert target.outputs == "scores"
    assert target.concept_names == ("red", "green", "blue")
    assert np.array_equal(target.concepts(IMAGES), concepts)
    assert target.predict(IMAGES).shape == (8, 1)
    assert target.predict(IMAGES).dtype == np.float32
    assert np.allclose(target.predict(IMAGES)[:, 0], concepts @ np.array(WEIGHTS) + 0.25, atol=1e-5)
    assert np.allclose(target.from_concepts(concepts), target.predict(IMAGES)[:, 0], atol=1e-5)


def test_probabilities_are_the_default() -> None:
    assert ConceptBottleneck(Corners(), WEIGHTS).on == "probabilities"


def test_true_reliance_is_the_weight_times_the_spread_of_its_concept() -> None:
    concepts = np.array([[0, 0, 1], [1, 0, 1], [0, 0, 1], [1, 2, 1]], dtype=float)
    found = ConceptBottleneck(Corners(), WEIGHTS).standardised_weights(concepts)
    assert np.allclose(found, [0.5 * 0.5, -1 * np.sqrt(0.75), 0])


def test_the_fingerprint_follows_net_weights_bias_and_what_they_act_on() -> None:
    other_net = Corners()
    other_net.fingerprint = "other"
    variants = [
        ConceptBottleneck(Corners(), WEIGHTS),
        ConceptBottleneck(Corners(), [0.5, -1.0, 2.1]),
        ConceptBottleneck(Corners(), WEIGHTS, bias=1.0),
        ConceptBottleneck(Corners(), WEIGHTS, on="logits"),
        ConceptBottleneck(other_net, WEIGHTS),
    ]
    assert len({variant.fingerprint for variant in variants}) == 5
    assert ConceptBottleneck(Corners(), tuple(WEIGHTS)).fingerprint == variants[0].fingerprint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"weights": [1, 2]},
            r"`weights` must have one number for each of the 3 concepts \(red, green, blue\); got shape",
        ),
        ({"weights": [1, 2, np.nan]}, "`weights` and `bias` must be finite"),
        ({"weights": WEIGHTS, "bias": np.inf}, "`weights` and `bias` must be finite"),
        ({"weights": WEIGHTS, "on": "labels"}, "`on` must be one of probabilities, logits; got 'labels'"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ConceptBottleneck(Corners(), **options)
