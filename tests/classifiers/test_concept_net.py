"""Concept nets: architectures, and saving without pickle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from genlens.classifiers import ConceptNet, ImagePreprocess
from genlens.classifiers.concept_net import ARCHITECTURES, sigmoid
from genlens.errors import UserError

NAMES = ("dot", "stripe", "blob")
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def tiny(architecture: str = "plain", seed: int = 0) -> ConceptNet:
    torch.manual_seed(seed)
    module = ARCHITECTURES[architecture](len(NAMES), 2)
    preprocess = ImagePreprocess((32, 32), (0.5,) * 3, (0.25,) * 3)
    return ConceptNet(module, NAMES, preprocess, architecture, 2, device="cpu")


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_each_architecture_gives_one_log_odds_a_concept_and_survives_saving(architecture: str, tmp_path: Path) -> None:
    net = tiny(architecture)
    net.save(tmp_path / "net", note="made by a test")
    loaded = ConceptNet.load(tmp_path / "net", batch_size=2)
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads((tmp_path / "net" / "config.json").read_text())["note"] == "made by a test"
    assert net.outputs == loaded.outputs == "scores"
    assert loaded.concept_names == NAMES
    assert loaded.fingerprint == net.fingerprint
    assert loaded.predict(IMAGES).shape == (5, 3)
    assert np.allclose(loaded.predict(IMAGES), net.predict(IMAGES), atol=1e-5)


def test_probabilities_are_the_logistic_function_of_the_outputs() -> None:
    net = tiny()
    assert np.allclose(net.probabilities(IMAGES), 1 / (1 + np.exp(-net.predict(IMAGES))), atol=1e-6)
    assert sigmoid(np.array([-1e4, 0, 1e4], np.float32)).tolist() == [0, 0.5, 1]


def test_an_images_outputs_do_not_depend_on_its_batch() -> None:
    net = tiny("residual")
    together = net.predict(IMAGES)
    assert np.allclose(together[2:3], net.predict(IMAGES[2:3]), atol=1e-5)


def test_images_of_another_size_are_resized() -> None:
    assert tiny().predict([np.zeros((50, 40, 3), np.uint8)]).shape == (1, 3)


def test_other_weights_have_another_fingerprint() -> None:
    assert tiny(seed=0).fingerprint != tiny(seed=1).fingerprint


def test_missing_and_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a concept net: it has no config.json and no model.safetensors"):
        ConceptNet.load(tmp_path)
    tiny().save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for broken in ({**config, "architecture": "huge"}, {**config, "width": 3}, {"concepts": ["dot"]}):
        (tmp_path / "config.json").write_text(json.dumps(broken))
        with pytest.raises(UserError, match="is a damaged concept net: ") as error:
            ConceptNet.load(tmp_path)
        assert "\n" not in str(error.value)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(UserError, match="is a damaged concept net: SafetensorError"):
        ConceptNet.load(tmp_path)
