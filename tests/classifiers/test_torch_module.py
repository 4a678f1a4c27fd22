"""Torch modules and timm models as classifiers."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genlens.classifiers import ImagePreprocess, TimmClassifier, TorchClassifier
from genlens.classifiers.torch_module import pick_device
from genlens.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 6, 6, 3), dtype=np.uint8)


class Means(nn.Module):
    """Logits that are known multiples of the channels' means."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.dropout = nn.Dropout(0.5)

    def forward(self, images: Tensor) -> Tensor:
        return self.dropout(images.mean((2, 3)) * self.scale)


def test_the_module_sees_normalised_pixels_in_evaluation_mode() -> None:
    found = TorchClassifier(Means(), mean=(0.5,) * 3, std=(0.25,) * 3).predict(IMAGES)
    expected = (IMAGES / 255).mean((1, 2)) / 0.25 - 2
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-5)


def test_the_batch_size_changes_nothing() -> None:
    one, all_ = (TorchClassifier(Means(), batch_size=size).predict(IMAGES) for size in (1, 64))
    assert np.allclose(one, all_, atol=1e-6)


def test_lists_of_different_sizes_are_resized() -> None:
    images = [IMAGES[0], np.zeros((9, 4, 3), np.uint8)]
    assert TorchClassifier(Means(), size=5).predict(images).shape == (2, 3)


def test_a_preprocessing_function_and_an_object_with_logits() -> None:
    class Wrapped(Means):
        def forward(self, images: Tensor) -> Any:
            return SimpleNamespace(logits=super().forward(images)[:, 0])

    classifier = TorchClassifier(Wrapped(), lambda images: torch.ones(len(images), 3, 2, 2) * 2)
    assert np.array_equal(classifier.predict(IMAGES), np.full((7, 1), 2, np.float32))


def test_the_fingerprint_follows_weights_preprocessing_and_outputs_alone() -> None:
    base = TorchClassifier(Means()).fingerprint
    assert TorchClassifier(Means(), batch_size=3).fingerprint == base
    others = [
        TorchClassifier(Means(1.5)),
        TorchClassifier(Means(), size=4),
        TorchClassifier(Means(), mean=(0.5,) * 3),
        TorchClassifier(Means(), outputs="scores"),
        TorchClassifier(nn.Flatten()),
    ]
    assert len({base, *(other.fingerprint for other in others)}) == 6


def test_half_precision_weights_have_a_fingerprint() -> None:
    assert TorchClassifier(Means().bfloat16()).fingerprint != TorchClassifier(Means()).fingerprint


class Returns(nn.Module):
    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found

    def forward(self, images: Tensor) -> Any:
        return self.found(images) if callable(self.found) else self.found


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (torch.zeros(3, 2), r"The classifier Returns must return an array \(7,\) or .*; got 3 rows"),
        (lambda images: images, r"got shape \(7, 3, 6, 6\)"),
        (torch.full((7, 2), torch.nan), r"returned NaN for 7 of 7 images \(image 0, 1, 2, …\)"),
        ("dog", "must return a tensor or an object with `.logits`; got <class 'str'>"),
        (lambda images: {}["dog"], "raised KeyError: 'dog' on a batch of 7 images"),
        (lambda images: images @ torch.zeros(5), r"raised RuntimeError: .* the first of shape \(6, 6, 3\)"),
    ],
)
def test_a_module_that_goes_wrong_says_how_in_one_line(found: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        TorchClassifier(Returns(found)).predict(IMAGES)
    assert "\n" not in str(error.value)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(UserError, match=r"`module` must be a torch.nn.Module; got str"):
        TorchClassifier("net")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="either `preprocess` or `size`, `mean` and `std`, not both"):
        TorchClassifier(Means(), ImagePreprocess(), size=4)
    with pytest.raises(UserError, match="`batch_size` must be an integer >= 1; got 0"):
        TorchClassifier(Means(), batch_size=0)
    with pytest.raises(UserError, match="`outputs` must be one of"):
        TorchClassifier(Means(), outputs="odds")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"`device` must be one that torch can use here, e.g. 'cpu'; got 'gpu' "):
        TorchClassifier(Means(), device="gpu")


def test_a_preprocessing_closure_must_be_named() -> None:
    size = 4
    with pytest.raises(UserError, match=r"is no plain function, .* Pass `fingerprint='…'`"):
        TorchClassifier(Means(), lambda images: torch.zeros(len(images), 3, size, size))
    named = TorchClassifier(Means(), lambda images: torch.zeros(len(images), 3, size, size), fingerprint="zeros")
    assert named.predict(IMAGES).shape == (7, 3)


def test_the_device_is_the_cpu_where_there_is_no_other() -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert pick_device("auto").type == expected


def timm_like(**cfg: Any) -> nn.Module:
    model = Means()
    model.pretrained_cfg = {"input_size": (3, 4, 4), "mean": (0.5,) * 3, "std": (0.5,) * 3, **cfg}  # type: ignore[assignment]
    return model


def test_a_timm_model_brings_its_own_preprocessing() -> None:
    classifier = TimmClassifier(timm_like(crop_pct=1.0))
    same = TorchClassifier(Means(), ImagePreprocess((4, 4), (0.5,) * 3, (0.5,) * 3, "center", 1.0, "bicubic"))
    assert np.array_equal(classifier.predict(IMAGES), same.predict(IMAGES))
    assert classifier.fingerprint == same.fingerprint != TimmClassifier(timm_like(crop_pct=0.9)).fingerprint


def test_a_module_without_a_timm_config_is_refused() -> None:
    with pytest.raises(UserError, match=r"Means has no `.pretrained_cfg`"):
        TimmClassifier(Means())


def test_timm_by_name_asks_for_pretrained_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    fake: Any = ModuleType("timm")
    asked = []

    def create_model(name: str, pretrained: bool) -> nn.Module:
        asked.append((name, pretrained))
        if name != "tiny":
            raise RuntimeError("Unknown model (huge)")
        return timm_like()

    fake.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", fake)
    assert TimmClassifier.from_name("tiny").predict(IMAGES).shape == (7, 3)
    assert asked == [("tiny", True)]
    with pytest.raises(UserError, match=r"timm can't create 'huge': RuntimeError: Unknown model \(huge\)\."):
        TimmClassifier.from_name("huge")


def test_a_missing_timm_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"timm models need timm: .*\. Run: pip install 'genlens\[timm\]'"):
        TimmClassifier.from_name("resnet18")
