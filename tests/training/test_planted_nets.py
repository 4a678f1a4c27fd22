"""Small classifiers: shapes of their layers, saving and loading, learning at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from genlens.errors import UserError
from genlens.training.planted_nets import (
    BODIES,
    NetRecipe,
    PlantedNet,
    as_net_classifier,
    load_net,
    penultimate,
    save_net,
    train_net,
)


@pytest.mark.parametrize("architecture", sorted(BODIES))
def test_every_architecture_has_features_and_a_head(architecture: str) -> None:
    torch.manual_seed(0)
    net = PlantedNet(architecture, 3, n_features=16, size=32).eval()
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    classifier = as_net_classifier(net, ("a", "b", "c"), 32)
    features = penultimate(classifier, images, batch=2)
    assert features.shape == (5, 16) and features.min() >= 0
    head = net.head.weight.detach().numpy(), net.head.bias.detach().numpy()
    assert classifier.predict(images) == pytest.approx(features @ head[0].T + head[1], abs=1e-4)
    assert classifier.outputs == "logits"


def halves(step: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]:
    """Class 1 is brighter on the left, class 0 on the right."""
    rng = np.random.default_rng(step)
    labels = rng.integers(0, 2, 32)
    images = rng.integers(60, 120, (32, 16, 16, 3))
    images[labels == 1, :, :8] += 100
    images[labels == 0, :, 8:] += 100
    return images.astype(np.uint8), labels, labels[:, None].astype(np.float32)


def test_it_learns_and_the_same_seed_learns_the_same() -> None:
    recipe = NetRecipe("plain", n_features=8, steps=25, word_weight=1.0)
    lines: list[str] = []
    net = train_net(halves, 2, recipe, n_words=1, size=16, log=lines.append)
    images, labels, _ = halves(999)
    assert (as_net_classifier(net, ("right", "left"), 16).predict(images).argmax(axis=1) == labels).mean() > 0.9
    assert lines[0].startswith("step 1 of 25: loss ") and lines[-1].startswith("step 25 of 25")
    again = train_net(halves, 2, recipe, n_words=1, size=16)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))


def test_saved_and_read_again(tmp_path: Path) -> None:
    recipe = NetRecipe("residual", n_features=8)
    assert load_net(tmp_path, 3, recipe) is None
    net = PlantedNet("residual", 3, 8).eval()
    save_net(net, tmp_path, recipe.spec())
    found = load_net(tmp_path, 3, recipe)
    assert found is not None
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), found.state_dict().values(), strict=True))
    with pytest.raises(UserError, match=r"is a damaged classifier: .*Delete it"):
        load_net(tmp_path, 4, recipe)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="is a damaged classifier"):
        load_net(tmp_path, 3, recipe)


def test_bad_recipes() -> None:
    with pytest.raises(UserError, match="must be one of plain, residual, transformer, alexnet; got 'vgg'"):
        NetRecipe("vgg")
    with pytest.raises(UserError, match="`steps` must be an integer >= 1"):
        NetRecipe(steps=0)
