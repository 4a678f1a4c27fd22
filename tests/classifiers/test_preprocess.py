"""Resizing, cropping and normalising without torchvision."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from genlens.classifiers.preprocess import ImagePreprocess, as_size, from_pretrained_cfg
from genlens.errors import UserError

RNG = np.random.default_rng(0)


def picture(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_pixels_are_scaled_and_normalised_channel_by_channel() -> None:
    image = picture(5, 7)
    found = ImagePreprocess(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))([image])
    expected = (image / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]
    assert found.shape == (1, 3, 5, 7)
    assert found.dtype == np.float32
    assert np.allclose(found[0].transpose(1, 2, 0), expected, atol=1e-6)


def test_squash_is_pils_resize_to_height_and_width() -> None:
    image = picture(20, 30)
    found = ImagePreprocess((8, 12), interpolation="bicubic").resized([image])
    expected = np.asarray(Image.fromarray(image).resize((12, 8), Image.Resampling.BICUBIC))
    assert np.array_equal(found[0], expected)


def test_an_image_of_the_right_size_is_not_touched() -> None:
    image = picture(8, 8)
    assert np.array_equal(ImagePreprocess((8, 8), resize="center").resized([image])[0], image)


@pytest.mark.parametrize(("height", "width"), [(40, 60), (60, 40), (37, 91)])
def test_center_scales_the_shorter_side_and_keeps_the_middle(height: int, width: int) -> None:
    """The steps of the usual evaluation: shorter side to size / crop_pct, then a centre crop."""
    image = picture(height, width)
    found = ImagePreprocess((14, 14), resize="center", crop_pct=0.875).resized([image])
    short = min(height, width)
    new = (16, 16 * width // short) if height == short else (16 * height // short, 16)
    scaled = np.asarray(Image.fromarray(image).resize((new[1], new[0]), Image.Resampling.BILINEAR))
    top, left = round((new[0] - 14) / 2), round((new[1] - 14) / 2)
    assert np.array_equal(found[0], scaled[top : top + 14, left : left + 14])


def test_images_of_different_sizes_need_a_size() -> None:
    images = [picture(4, 4), picture(4, 6)]
    with pytest.raises(UserError, match=r"have the sizes \(4, 4\) and \(4, 6\). Give the classifier a `size="):
        ImagePreprocess()(images)
    assert ImagePreprocess((4, 4))(images).shape == (2, 3, 4, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0, 4)}, r"`size` must be \(height, width\) in pixels, both >= 1"),
        ({"std": (1.0, 0.0, 1.0)}, "`mean` and `std` must have 3 numbers each"),
        ({"mean": (1.0,)}, "`mean` and `std` must have 3 numbers each"),
        ({"resize": "fill"}, "`resize` must be one of squash, center; got 'fill'"),
        ({"crop_pct": 0.0}, r"`crop_pct` must be in \(0, 1\]; got 0.0"),
        ({"interpolation": "cubic"}, "`interpolation` must be one of nearest, .*; got 'cubic'"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ImagePreprocess(**options)  # type: ignore[arg-type]


def test_a_spec_survives_json_and_differs_with_every_field() -> None:
    base = ImagePreprocess((4, 6), (0.1,) * 3, (0.2,) * 3, "center", 0.9, "box")
    as_json = {key: list(value) if isinstance(value, tuple) else value for key, value in base.spec().items()}
    assert ImagePreprocess.from_spec(as_json) == base
    assert set(base.spec()) == {"size", "mean", "std", "resize", "crop_pct", "interpolation"}


@pytest.mark.parametrize(("given", "expected"), [(None, None), (8, (8, 8)), ((8, 6), (8, 6)), ([8, 6], (8, 6))])
def test_sizes_may_be_one_number_or_two(given: object, expected: object) -> None:
    assert as_size(given) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [(1, 2, 3), True, "ab", 2.5])
def test_other_sizes_are_refused(bad: object) -> None:
    with pytest.raises(UserError, match=r"`size` must be a number of pixels or \(height, width\); got "):
        as_size(bad)  # type: ignore[arg-type]


def test_a_timm_config_is_followed_and_completed_with_timms_defaults() -> None:
    cfg = {"input_size": (3, 48, 40), "mean": (0.5,) * 3, "std": (0.25,) * 3, "crop_pct": 0.9, "crop_mode": "squash",
           "interpolation": "bilinear"}  # fmt: skip
    assert from_pretrained_cfg(cfg) == ImagePreprocess((48, 40), (0.5,) * 3, (0.25,) * 3, "squash", 0.9, "bilinear")
    assert from_pretrained_cfg({}) == ImagePreprocess(
        (224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "center", 0.875, "bicubic"
    )


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"crop_mode": "border"}, "crop mode 'border' is not supported"),
        ({"input_size": (1, 28, 28)}, "takes 1 channels; genlens renders RGB"),
    ],
)
def test_a_timm_config_that_cannot_be_followed_is_refused(cfg: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_pretrained_cfg(cfg)
