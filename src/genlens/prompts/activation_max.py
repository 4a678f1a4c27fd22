"""Activation maximisation in pixel space, the rival that knows no generator: pictures that a classifier scores highest.

Two parametrisations: plain pixels with jitter, blur and total variation (Yosinski et al. 2015; Mahendran and Vedaldi
2015), and a Fourier spectrum with decorrelated colours (Olah, Mordvintsev and Schubert 2017, "Feature Visualization"),
whose scaling by frequency takes the place of blur.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from genlens.errors import UserError, check_integer

Parametrisation = Literal["pixels", "fourier"]
Objective = Callable[[Tensor], Tensor]
"""Pictures (B, 3, H, W) in [0, 1] -> scores (B,), differentiable."""

_COLOUR_ROOT = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
"""Square root of the colours' correlation in ImageNet, as published with Olah et al. 2017 (lucid, color.py)."""
_SPECTRUM_SCALE = 0.25
_START = 0.01


@dataclass(frozen=True)
class PixelSettings:
    """How pictures are optimised.

    Attributes:
        parametrisation: "pixels", or "fourier": spectrum and decorrelated colours.
        steps: of Adam.
        rate: its rate. Pixels and spectrum go through a sigmoid to [0, 1].
        jitter: most pixels a picture is shifted by before it is scored, new in every step.
        blur: standard deviation in pixels of a Gaussian that smooths the picture every `blur_every` steps; pixels only.
        blur_every: see `blur`.
        total_variation: weight of the mean absolute difference of neighbouring pixels.
    """

    parametrisation: Parametrisation = "fourier"
    steps: int = 128
    rate: float = 0.05
    jitter: int = 4
    blur: float = 0.0
    blur_every: int = 4
    total_variation: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.parametrisation not in get_args(Parametrisation):
            known = ", ".join(get_args(Parametrisation))
            raise UserError(f"`parametrisation` must be one of {known}; got {self.parametrisation!r}.")
        check_integer("steps", self.steps, 1)
        check_integer("jitter", self.jitter, 0)
        check_integer("blur_every", self.blur_every, 1)
        if self.rate <= 0 or min(self.blur, self.total_variation) < 0:
            raise UserError("`rate` must be > 0, `blur` and `total_variation` >= 0.")
        if self.blur and self.parametrisation == "fourier":
            raise UserError("`blur` smooths pixels; the Fourier parametrisation is smooth by itself. Leave it out.")


PIXELS = PixelSettings("pixels", rate=0.1, blur=0.5, total_variation=0.5)
FOURIER = PixelSettings("fourier")


def maximise_pixels(
    objective: Objective,
    size: tuple[int, int],
    seeds: Sequence[int],
    settings: PixelSettings = FOURIER,
    *,
    batch_size: int = 50,
) -> NDArray[np.uint8]:
    """Pictures that maximise an objective, one a seed, each by itself.

    Args:
        objective: of a picture; higher is better.
        size: (height, width) in pixels.
        seeds: of the starts; a picture depends on its own seed only.
        settings: see there.
        batch_size: pictures at a time.

    Returns:
        uint8 (B, H, W, 3).

    Raises:
        UserError: the jitter isn't smaller than the picture, or the objective gives NaN.
    """
    if settings.jitter >= min(size):
        raise UserError(f"`jitter` must be smaller than the picture's side {min(size)}; got {settings.jitter}.")
    parts = [
        _maximise(objective, size, seeds[start : start + batch_size], settings)
        for start in range(0, len(seeds), batch_size)
    ]
    return np.concatenate(parts)


def _maximise(
    objective: Objective, size: tuple[int, int], seeds: Sequence[int], settings: PixelSettings
) -> NDArray[np.uint8]:
    picture = fourier_picture if settings.parametrisation == "fourier" else torch.sigmoid
    shape = (3, size[0], size[1] // 2 + 1, 2) if settings.parametrisation == "fourier" else (3, *size)
    starts = [torch.randn(shape, generator=torch.Generator().manual_seed(int(seed))) for seed in seeds]
    free = (torch.stack(starts) * _START).requires_grad_()  # (B, …)
    adam = torch.optim.Adam([free], lr=settings.rate)
    shifts = torch.Generator().manual_seed(0)  # the same for every picture, so that its batch doesn't matter
    for step in range(settings.steps):
        images = picture(free) if settings.parametrisation == "pixels" else fourier_picture(free, size[1])
        scores = objective(_shifted(images, settings.jitter, shifts))
        if not bool(torch.isfinite(scores).all()):
            raise UserError(f"The objective gave NaN in step {step + 1} of activation maximisation. Lower `rate`.")
        loss = -scores.sum() + settings.total_variation * total_variation(images).sum()
        (free.grad,) = torch.autograd.grad(loss, free)
        adam.step()
        if settings.blur and step % settings.blur_every == settings.blur_every - 1:
            with torch.no_grad():
                free.copy_(blurred(free, settings.blur))
    with torch.no_grad():
        images = picture(free) if settings.parametrisation == "pixels" else fourier_picture(free, size[1])
    pixels: NDArray[np.uint8] = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return pixels


def fourier_picture(spectrum: Tensor, width: int = 0) -> Tensor:
    """Pictures (B, 3, H, W) in (0, 1) of spectra (B, 3, H, W // 2 + 1, 2).

    Frequencies are scaled by 1 / f, so that equal coefficients give natural pictures' equal energy an octave; colours
    are mixed as they correlate in photographs.

    Args:
        spectrum: real and imaginary parts.
        width: W; 0: even, twice the last frequency.
    """
    height, width = spectrum.shape[2], width or 2 * (spectrum.shape[3] - 1)
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    frequency = torch.sqrt(down**2 + across**2).clamp(min=1 / max(height, width))
    scaled = torch.view_as_complex(spectrum.contiguous()) * ((height * width) ** 0.5 / frequency)
    flat = torch.fft.irfft2(scaled, s=(height, width), norm="backward") * _SPECTRUM_SCALE  # (B, 3, H, W)
    root = _COLOUR_ROOT / _COLOUR_ROOT.norm(dim=0).max()
    return torch.sigmoid(torch.einsum("bchw,dc->bdhw", flat, root))


def _shifted(images: Tensor, jitter: int, rng: torch.Generator) -> Tensor:
    """The pictures, shifted by up to `jitter` pixels, their edges mirrored."""
    if not jitter:
        return images
    top, left = torch.randint(0, 2 * jitter + 1, (2,), generator=rng).tolist()
    padded = functional.pad(images, (jitter,) * 4, mode="reflect")
    return padded[:, :, top : top + images.shape[2], left : left + images.shape[3]]


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Pictures (B, C, H, W) through a Gaussian of `sigma` pixels, edges repeated."""
    reach = max(1, round(3 * sigma))
    offsets = torch.arange(-reach, reach + 1, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    channels = images.shape[1]
    rows = (kernel / kernel.sum()).expand(channels, 1, 1, -1)
    padded = functional.pad(images, (reach,) * 4, mode="replicate")
    return functional.conv2d(functional.conv2d(padded, rows, groups=channels), rows.transpose(2, 3), groups=channels)


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, down plus across: (B,) of pictures (B, C, H, W)."""
    down = (images[:, :, 1:] - images[:, :, :-1]).abs().mean(dim=(1, 2, 3))
    across = (images[:, :, :, 1:] - images[:, :, :, :-1]).abs().mean(dim=(1, 2, 3))
    return down + across
