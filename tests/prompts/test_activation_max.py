"""Activation maximisation: it climbs, a picture is its own seed's, and the parametrisations are what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from genlens.errors import UserError
from genlens.prompts.activation_max import (
    FOURIER,
    PIXELS,
    PixelSettings,
    blurred,
    fourier_picture,
    maximise_pixels,
    total_variation,
)

SIZE = (16, 20)


def redness(images: Tensor) -> Tensor:
    return images[:, 0].mean(dim=(1, 2)) - images[:, 1:].mean(dim=(1, 2, 3))


def stripes(images: Tensor) -> Tensor:
    """Contrast between even and odd columns: the highest frequency."""
    return (images[..., 0::2].mean(dim=(1, 2, 3)) - images[..., 1::2].mean(dim=(1, 2, 3))).abs()


@pytest.mark.parametrize("settings", [PIXELS, FOURIER], ids=["pixels", "fourier"])
def test_it_reaches_what_is_asked_for(settings: PixelSettings) -> None:
    images = maximise_pixels(redness, SIZE, [3, 4], settings)
    assert images.shape == (2, *SIZE, 3) and images.dtype == np.uint8
    before = maximise_pixels(redness, SIZE, [3], PixelSettings(settings.parametrisation, steps=1))
    red = [float(x[..., 0].mean()) - float(x[..., 1:].mean()) for x in (images, before)]
    assert red[0] > red[1] + 50


@pytest.mark.parametrize("settings", [PIXELS, FOURIER], ids=["pixels", "fourier"])
def test_a_picture_depends_on_its_own_seed_only(settings: PixelSettings) -> None:
    short = PixelSettings(settings.parametrisation, steps=8, total_variation=0.1)
    together = maximise_pixels(stripes, SIZE, [5, 6, 7], short)
    alone = maximise_pixels(stripes, SIZE, [6], short)
    assert np.abs(together[1].astype(int) - alone[0]).max() <= 1
    assert (together[0] != together[1]).any()
    assert (maximise_pixels(stripes, SIZE, [5, 6, 7], short, batch_size=2) == together).mean() > 0.999


def test_total_variation_makes_pictures_smoother() -> None:
    rough = maximise_pixels(stripes, SIZE, [0], PixelSettings("pixels", steps=30, jitter=0))
    smooth = maximise_pixels(stripes, SIZE, [0], PixelSettings("pixels", steps=30, jitter=0, total_variation=5))
    variation = [float(total_variation(torch.as_tensor(x).permute(0, 3, 1, 2) / 255)) for x in (rough, smooth)]
    assert variation[1] < variation[0] / 2


def test_jitter_defeats_what_hangs_on_single_columns() -> None:
    """A target that only aligned columns reach: jitter takes most of it away."""
    still, moving = (
        maximise_pixels(lambda x: x[..., 0::2].mean(dim=(1, 2, 3)) - x[..., 1::2].mean(dim=(1, 2, 3)), SIZE, [0],
                        PixelSettings("pixels", steps=40, jitter=jitter))
        for jitter in (0, 4)
    )  # fmt: skip
    contrast = [abs(float(x[:, :, 0::2].mean()) - float(x[:, :, 1::2].mean())) for x in (still, moving)]
    assert contrast[0] > 2 * contrast[1]


def test_blur_keeps_means_and_lowers_variation() -> None:
    noise = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    smooth = blurred(noise, 1.0)
    assert smooth.shape == noise.shape
    assert (total_variation(smooth) < total_variation(noise) / 2).all()
    assert torch.allclose(blurred(torch.full((1, 3, 8, 8), 0.3), 2.0), torch.tensor(0.3))


def test_total_variation_by_hand() -> None:
    picture = torch.tensor([[0.0, 1.0], [0.0, 1.0]]).expand(1, 3, 2, 2)
    assert total_variation(picture).item() == 1.0  # across 1, down 0


def test_an_empty_spectrum_is_grey_and_its_constant_a_colour() -> None:
    spectrum = torch.zeros(1, 3, 8, 5, 2)
    assert torch.equal(fourier_picture(spectrum), torch.full((1, 3, 8, 8), 0.5))
    spectrum[:, 0, 0, 0, 0] = 1  # the mean of the first decorrelated channel: lightness
    flat = fourier_picture(spectrum)
    assert torch.allclose(flat, flat[:, :, :1, :1].expand_as(flat), atol=1e-6) and (flat > 0.5).all()


def test_equal_coefficients_give_less_of_high_frequencies() -> None:
    """The picture of one coefficient of frequency f falls as 1 / f."""

    def amplitude(k: int) -> float:
        spectrum = torch.zeros(1, 3, 32, 17, 2)
        spectrum[:, 0, 0, k, 0] = 1e-3
        return float((fourier_picture(spectrum) - 0.5).abs().max())

    assert amplitude(2) / amplitude(8) == pytest.approx(4, rel=0.02)


def test_odd_widths() -> None:
    assert maximise_pixels(redness, (9, 11), [0], PixelSettings(steps=2, jitter=2)).shape == (1, 9, 11, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parametrisation": "jpeg"}, "must be one of pixels, fourier; got 'jpeg'"),
        ({"steps": 0}, "`steps` must be an integer >= 1"),
        ({"rate": 0.0}, "`rate` must be > 0"),
        ({"blur": 1.0}, "smooth by itself"),
        ({"jitter": -1}, "`jitter` must be an integer >= 0"),
    ],
)
def test_settings_out_of_range(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PixelSettings(**changes)


def test_too_small_a_picture_and_nan() -> None:
    with pytest.raises(UserError, match="`jitter` must be smaller than the picture's side 4"):
        maximise_pixels(redness, (4, 8), [0])
    with pytest.raises(UserError, match="NaN in step 1"):
        maximise_pixels(lambda x: x.sum(dim=(1, 2, 3)) * float("nan"), (16, 16), [0])
