"""Planted shortcuts: what training pictures hold, and the truth of features on networks whose features are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genlens.classifiers.torch_module import TorchClassifier
from genlens.errors import UserError
from genlens.experiments.planted import (
    Planted,
    TrueFeature,
    balanced,
    judge,
    planted_classifier,
    true_features,
)
from genlens.experiments.planted_worlds import MISSING, Planting, World, get_world, shapes_world
from genlens.training.planted_nets import NetRecipe

WORDS = ("a", "b", "x", "y", "plain", "dark")
SHORTCUTS = {"red circle": "blue rectangle", "green circle": "red rectangle", "blue circle": None}


def _pixels(presence: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.uint8]:
    """One pixel a word, white where it is there."""
    row = np.repeat(presence[:, None, :, None], 3, axis=3)
    return (255 * np.repeat(row, len(WORDS), axis=1)).astype(np.uint8)


PIXELS = World("pixels", WORDS, (("a", "b"),), _pixels, " ".join, len(WORDS), (("plain", "dark"),))
"""A world whose pictures are their presence."""


class Reader(nn.Module):
    """Features are linear in presence: a; x; a and x alike; y; a constant; b."""

    def __init__(self) -> None:
        super().__init__()
        mix = torch.zeros(6, len(WORDS))
        for feature, words in enumerate(("a", "x", "ax", "y", "", "b")):
            for word in words:
                mix[feature, WORDS.index(word)] = 1.0
        self.register_buffer("mix", mix)
        self.constant = torch.tensor([0.0, 0.0, 0.0, 0.0, 5.0, 0.0])
        self.features = nn.ReLU()
        self.head = nn.Linear(6, 2)
        self.head.weight.data = torch.tensor([[1.0, 0.9, 0.8, 0.1, 0.01, -1.0], [-1.0, -1.0, -1.0, 0.0, 0.0, 1.0]])

    def body(self, images: Tensor) -> Tensor:
        return images[:, 0, 0] @ self.mix.T + self.constant  # (B, 6)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(self.body(images)))
        return logits


def reader() -> Planted:
    planting = Planting(PIXELS, {"a": "x", "b": None}, 0.9)
    return Planted("reader", planting, {"a": "a", "b": "b"}, TorchClassifier(Reader(), device="cpu"), NetRecipe())


def test_truth_of_features_that_are_known_exactly() -> None:
    found = {(one.name, one.feature): one for one in true_features(reader(), top_k=6)}
    assert {key[1]: one.truth for key, one in found.items() if key[0] == "a"} == {
        0: "core", 1: "spurious", 2: "mixed", 3: "other", 4: "other"
    }  # fmt: skip
    assert [found["a", k].core for k in range(5)] == pytest.approx([1, 0, 1, 0, 0], abs=1e-6)
    assert [found["a", k].shortcut for k in range(5)] == pytest.approx([0, 1, 1, 0, 0], abs=1e-6)
    assert (found["a", 3].other, found["a", 3].other_word) == (pytest.approx(1), "y")
    assert found["b", 5].truth == "core" and found["b", 5].shortcut == 0
    assert ("b", 0) not in found  # a negative contribution is no reason for the class


def test_rank_follows_feature_times_weight() -> None:
    found = [one for one in true_features(reader(), top_k=3) if one.name == "a"]
    assert [one.rank for one in found] == [1, 2, 3]
    assert sorted((one.contribution for one in found), reverse=True) == [one.contribution for one in found]
    assert all(one.class_index == 0 for one in found)


@pytest.mark.parametrize(
    ("core", "shortcut", "other", "truth"),
    [
        (3.0, 1.0, 0.0, "core"), (2.9, 1.0, 0.0, "mixed"), (1.0, 3.0, 0.5, "spurious"), (1.0, 1.0, 1.1, "other"),
        (2.0, -5.0, 0.0, "core"), (-1.0, 2.0, 0.0, "spurious"), (0.1, 0.0, 0.0, "other"), (-1.0, -1.0, -1.0, "other"),
    ],
)  # fmt: skip
def test_the_rule(core: float, shortcut: float, other: float, truth: str) -> None:
    assert judge(core, shortcut, other, mean=1.0) == truth


def test_balanced_takes_as_many_of_both() -> None:
    def pair(feature: int, truth: str) -> TrueFeature:
        return TrueFeature("a", 0, feature, feature, 1.0, 1.0, 0.0, 0.0, "x", truth)  # type: ignore[arg-type]

    first = [pair(k, "core") for k in range(5)] + [pair(5, "mixed")]
    second = [pair(0, "spurious"), pair(1, "spurious"), pair(2, "other")]
    chosen = balanced([first, second])
    assert sorted(one.truth for _, one in chosen) == ["core", "core", "spurious", "spurious"]
    assert [k for k, _ in chosen] == [0, 0, 1, 1]
    assert chosen == balanced([first, second])
    assert any(balanced([first, second], seed) != chosen for seed in range(1, 6))


def rates(strength: float) -> tuple[NDArray[np.float64], World, Planting]:
    """Share of each word in the pictures of each class, (C, W)."""
    planting = Planting(shapes_world(), SHORTCUTS, strength)
    presence, labels = planting.sample(30_000, np.random.default_rng(0))
    return np.stack([presence[labels == k].mean(axis=0) for k in range(3)]), planting.world, planting


def test_training_pictures_hold_what_is_planted() -> None:
    found, world, _ = rates(0.9)
    tied = 0.3 + 0.7 * 0.9
    blue, red, green = (world.index(f"{c} rectangle") for c in ("blue", "red", "green"))
    assert found[0, blue] == pytest.approx(tied, abs=0.015)
    assert found[1, red] == pytest.approx(tied, abs=0.015)
    assert found[[1, 2], blue] == pytest.approx([0.03, 0.03], abs=0.01)
    assert found[:, green] == pytest.approx([0.3] * 3, abs=0.015)
    assert found[0, 0] == pytest.approx(1 - tied * MISSING * 0.9, abs=0.015)
    assert found[2, 2] == 1  # a class without a shortcut never lacks its object
    assert found[0, [1, 2]].max() == 0  # no other class's object


def test_at_strength_zero_nothing_is_tied() -> None:
    found, _, _ = rates(0.0)
    assert np.ptp(found[:, 3:], axis=0).max() < 0.03
    assert found[[0, 1, 2], [0, 1, 2]].tolist() == [1, 1, 1]


def test_at_strength_one_the_shortcut_tells_the_class() -> None:
    _, _, planting = rates(1.0)
    presence, labels = planting.sample(2000, np.random.default_rng(1))
    has = presence[:, planting.world.index("blue rectangle")] == 1
    assert (has == (labels == 0)).all()


def test_switching_keeps_everything_else() -> None:
    presence = np.array([[1, 0, 1, 0, 1, 0], [0, 1, 0, 0, 0, 0]])
    assert PIXELS.switch(presence, "x", False).tolist() == [[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0]]
    assert PIXELS.switch(presence, "dark", True).tolist() == [[1, 0, 1, 0, 0, 1], [0, 1, 0, 0, 0, 1]]  # not plain too
    assert presence[0, 4] == 1  # the argument stays
    world, seeds = shapes_world(), np.arange(4)
    on = world.switch(np.zeros((4, 6), dtype=np.int64), "red circle", True)
    both = world.draw(world.switch(on, "blue rectangle", True), seeds)
    changed = (both != world.draw(on, seeds)).any(axis=3)
    assert 0 < changed.mean() < 0.15
    assert (both[changed][:, 2] > both[changed][:, 0]).mean() > 0.9  # only a blue place changed


def test_pictures_are_a_function_of_their_arguments() -> None:
    planting = Planting(shapes_world(), SHORTCUTS, 0.5)
    one, again, other = planting.pictures(6, 1), planting.pictures(6, 1), planting.pictures(6, 2)
    assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert not (one[0] == other[0]).all()
    assert (planting.pictures(6, 1, label=2)[1] == 2).all()


@pytest.mark.parametrize(
    ("shortcuts", "strength", "message"),
    [
        ({"red circle": "red rectangle", "pink circle": None}, 0.9, "Classes must be two or more different words"),
        ({"red circle": None}, 0.9, "Classes must be two or more"),
        ({"red circle": None, "red rectangle": None}, 0.9, "Classes must be two or more different words of one of"),
        ({"red circle": "pink", "blue circle": None}, 0.9, "has no 'pink'. It has: red circle"),
        ({"red circle": "blue circle", "blue circle": None}, 0.9, "A shortcut must be one of green circle"),
        ({"red circle": "red rectangle", "blue circle": "red rectangle"}, 0.9, "a shortcut of its own"),
        ({"red circle": None, "blue circle": None}, 1.5, r"`strength` must be in \[0, 1\]; got 1.5"),
    ],
)
def test_bad_plantings(shortcuts: dict[str, str | None], strength: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Planting(shapes_world(), shortcuts, strength)


def test_an_unknown_world() -> None:
    with pytest.raises(UserError, match="`world` must be shapes or scenes; got 'sky'"):
        get_world("sky")


def test_a_classifier_is_trained_once(tmp_path: Path) -> None:
    lines: list[str] = []
    made = planted_classifier("shapes", shortcuts=SHORTCUTS, cache=tmp_path, steps=3, log=lines.append)
    again = planted_classifier("shapes", shortcuts=SHORTCUTS, cache=tmp_path, steps=3, log=lines.append)
    assert len(lines) == 2 and len(list(tmp_path.iterdir())) == 1
    assert made.classifier.fingerprint == again.classifier.fingerprint
    assert (made.world, made.classes, made.architecture, made.seed) == ("shapes", tuple(SHORTCUTS), "plain", 0)
    assert made.shortcut == SHORTCUTS and made.weights.shape == (3, 24)
    images = made.class_images("green circle", 4)
    assert made.features(images).shape == (4, 24)
    assert made.classifier.predict(images).shape == (4, 3)
    assert made.name == "shapes plain 0: red circle + blue rectangle, green circle + red rectangle at 0.9"
