"""Functions as segmenters, and files that hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genlens.errors import UserError
from genlens.segmenters import CallableSegmenter, Segmenter, load_segmenter

IMAGES = np.arange(3 * 4 * 4 * 3, dtype=np.uint8).reshape(3, 4, 4, 3)


def redness(images: np.ndarray, text: str) -> np.ndarray:
    return images[..., 0] / 255


def test_batches_do_not_matter() -> None:
    whole, single = (CallableSegmenter(redness, batch_size=n) for n in (64, 1))
    assert isinstance(whole, Segmenter)
    assert np.array_equal(whole.segment(IMAGES, "red"), single.segment(IMAGES, "red"))
    assert whole.segment(IMAGES, "red").dtype == np.float32
    assert whole.fingerprint == single.fingerprint


def test_bool_masks_are_probabilities() -> None:
    found = CallableSegmenter(lambda images, text: images[..., 0] > 9).segment(IMAGES, "red")
    assert set(np.unique(found)) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images, text: images[..., 0] * 1.0, r"must return probabilities in \[0, 1\]; got 3 to 255"),
        (lambda images, text: np.full(images.shape[:3], np.nan), r"must return probabilities in \[0, 1\]"),
        (lambda images, text: np.zeros(len(images)), r"must return masks \(3, 4, 4\), one an image; got shape \(3,\)"),
        (lambda images, text: "red", "must return numbers; got str"),
        (lambda images, text: 1 / 0, "raised ZeroDivisionError: division by zero for 'red'"),
    ],
)
def test_what_a_function_may_not_do(function: object, message: str) -> None:
    images = IMAGES.copy()
    images[0, 0, 0, 0] = 255
    with pytest.raises(UserError, match=message):
        CallableSegmenter(function, fingerprint="x").segment(images, "red")  # type: ignore[arg-type]


def test_images_and_texts_are_checked() -> None:
    marker = CallableSegmenter(redness)
    with pytest.raises(UserError, match="`images` must be uint8"):
        marker.segment(IMAGES.astype(float), "red")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="`text` must name what to look for; got ' '"):
        marker.segment(IMAGES, " ")
    with pytest.raises(UserError, match="`function` must be callable"):
        CallableSegmenter("red")  # type: ignore[arg-type]


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from genlens.segmenters import CallableSegmenter\n"
        "def marks(images, text):\n    return images[..., 0] / 255\n"
        "def made():\n    return CallableSegmenter(marks, fingerprint='1')\n"
        "number = 3\n"
    )
    for name in ("marks", "made"):
        found = load_segmenter(f"{path}:{name}")
        assert np.allclose(found.segment(IMAGES, "red"), IMAGES[..., 0] / 255)
    with pytest.raises(UserError, match="must be a function of images and a text"):
        load_segmenter(f"{path}:number")
    with pytest.raises(UserError, match="must be a function of images and a text"):
        load_segmenter(f"{path}:missing")
    with pytest.raises(UserError, match="There is no file"):
        load_segmenter(f"{tmp_path}/none.py:marks")
    with pytest.raises(UserError, match="`segmenter` must be"):
        load_segmenter("")
