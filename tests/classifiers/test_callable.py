"""Plain functions as classifiers, and what identifies them."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from genlens.classifiers import CallableClassifier
from genlens.classifiers.fingerprint import hash_function
from genlens.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 6, 3), dtype=np.uint8)


def brightness(images: Any) -> Any:
    return np.array([image.mean() for image in images])


def test_images_of_one_size_arrive_as_an_array_and_others_as_a_list() -> None:
    seen = []

    def look(images: Any) -> Any:
        seen.append(images if isinstance(images, list) else images.shape)
        return np.zeros(len(images))

    classifier = CallableClassifier(look, fingerprint="look", batch_size=2)
    classifier.predict(list(IMAGES[:3]))
    classifier.predict([IMAGES[0], IMAGES[0][:4]])
    assert seen[:2] == [(2, 6, 6, 3), (1, 6, 6, 3)]
    assert [image.shape for image in seen[2]] == [(6, 6, 3), (4, 6, 3)]
    CallableClassifier(look, fingerprint="look", size=(3, 2)).predict([IMAGES[0], IMAGES[0][:4]])
    assert seen[3] == (2, 3, 2, 3)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_the_batch_size_changes_nothing(batch_size: int) -> None:
    found = CallableClassifier(brightness, batch_size=batch_size).predict(IMAGES)
    assert np.allclose(found[:, 0], IMAGES.mean((1, 2, 3)))


@pytest.mark.parametrize("convert", [list, torch.tensor, np.asarray])
def test_lists_and_tensors_are_accepted(convert: Any) -> None:
    def scores(images: Any) -> Any:
        return convert([float(image[0, 0, 0]) for image in images])

    found = CallableClassifier(scores, fingerprint="x").predict(IMAGES)
    assert np.array_equal(found[:, 0], IMAGES[:, 0, 0, 0])


def test_a_tensor_with_gradients_is_accepted() -> None:
    found = CallableClassifier(lambda images: torch.ones(len(images), requires_grad=True)).predict(IMAGES)
    assert found.shape == (5, 1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images: 1 / 0, r"raised ZeroDivisionError: division by zero on a batch of 5 images"),
        (lambda images: np.zeros(2), r"must return an array \(5,\) or \(5, classes\) for 5 images; got 2 rows"),
        (lambda images: None, r"returned NaN|must return"),
        (lambda images: np.full(5, np.nan), "returned NaN for 5 of 5 images"),
    ],
)
def test_a_function_that_goes_wrong_says_how(function: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        CallableClassifier(function).predict(IMAGES)


def test_messages_use_the_given_name() -> None:
    with pytest.raises(UserError, match=r"The classifier 'mine.py:f' must return"):
        CallableClassifier(lambda images: np.zeros(1), name="mine.py:f").predict(IMAGES)


def test_ctrl_c_is_not_swallowed() -> None:
    def stop(images: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CallableClassifier(stop).predict(IMAGES)


def test_the_fingerprint_follows_code_settings_and_what_is_given() -> None:
    def other(images: Any) -> Any:
        return np.array([image.max() for image in images])

    base = CallableClassifier(brightness).fingerprint
    assert CallableClassifier(brightness, batch_size=1).fingerprint == base
    others = [
        CallableClassifier(other),
        CallableClassifier(brightness, size=4),
        CallableClassifier(brightness, outputs="probabilities"),
        CallableClassifier(brightness, fingerprint="v1"),
        CallableClassifier(brightness, fingerprint="v2"),
    ]
    assert len({base, *(other.fingerprint for other in others)}) == 6


def test_a_changed_constant_or_inner_function_changes_the_hash() -> None:
    def version(code: str) -> str:
        space: dict[str, Any] = {}
        exec(code, space)
        return hash_function(space["f"])

    codes = [
        "def f(x): return x + 1",
        "def f(x): return x + 2",
        "def f(x): return [y + 1 for y in x]",
        "def f(x): return list(map(lambda y: y + 1, x))",
        "def f(x): return list(map(lambda y: y + 2, x))",
        "def f(x, k=1): return x + k",
        "def f(x, k=2): return x + k",
        "def f(x): return x.max()",
        "def f(x): return x.min()",
    ]
    assert len({version(code) for code in codes}) == len(codes)
    assert version("\n\n" + codes[0]) == version(codes[0])


def test_the_hash_is_the_same_in_every_process() -> None:
    code = (
        "from genlens.classifiers.fingerprint import hash_function\n"
        "def f(x): return x in {'a', 'b', 'c', 'd', 'e'} or (lambda: 3)()\n"
        "print(hash_function(f))"
    )
    seen = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment).stdout
        for environment in ({"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": str(seed)} for seed in (1, 2))
    }
    assert len(seen) == 1


class Scorer:
    def __call__(self, images: Any) -> Any:
        return brightness(images)

    def method(self, images: Any) -> Any:
        return brightness(images)


@pytest.mark.parametrize("function", [Scorer(), Scorer().method, partial(brightness), np.mean])
def test_what_its_code_does_not_identify_must_be_named(function: Any) -> None:
    with pytest.raises(UserError, match=r"is no plain function, so its code alone .* Pass `fingerprint='…'`"):
        CallableClassifier(function)


def test_a_callable_object_with_a_fingerprint_works() -> None:
    assert CallableClassifier(Scorer(), fingerprint="bright").predict(IMAGES).shape == (5, 1)


def test_something_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(UserError, match="`function` must be callable; got int"):
        CallableClassifier(3)  # type: ignore[arg-type]
