"""Images of any size -> the array a network takes: resize, crop, scale, normalise, with PIL and numpy alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from genlens.errors import UserError

Resize = Literal["squash", "center"]
"""Stretch to the size, or keep the proportions and cut out the centre."""
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
DEFAULT_CROP_PCT = 0.875
MAX_SIDE = 8192
"""Longest side that an image is scaled to before it is cropped."""
MAX_SCALED = 2**26
"""Most pixels of an image that is scaled to be cropped."""


@dataclass(frozen=True)
class ImagePreprocess:
    """uint8 images -> float32 (B, 3, H, W): ``(pixel / 255 - mean) / std`` after resizing.

    Attributes:
        size: (height, width) of the result in pixels; None leaves images as they are, so that a batch's must agree.
        mean: subtracted, one a channel, on the scale where white is 1.
        std: divided by, one a channel.
        resize: "squash" stretches the image to `size`; "center" scales its shorter side and cuts out the centre.
        crop_pct: share of the scaled image that is kept: images are scaled to ``floor(size / crop_pct)`` first.
        interpolation: PIL's filter of that name.

    Raises:
        UserError: a value out of its range.
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    resize: Resize = "squash"
    crop_pct: float = 1.0
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        """Check the values."""
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise UserError(f"`size` must be (height, width) in pixels, both >= 1; got {self.size!r}.")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise UserError(
                f"`mean` and `std` must have 3 numbers each and `std` > 0; got {self.mean!r} and {self.std!r}."
            )
        if self.resize not in get_args(Resize):
            raise UserError(f"`resize` must be one of {', '.join(get_args(Resize))}; got {self.resize!r}.")
        if not 0 < self.crop_pct <= 1:
            raise UserError(f"`crop_pct` must be in (0, 1]; got {self.crop_pct!r}.")
        if self.size is not None and max(self.size) / self.crop_pct > MAX_SIDE:
            raise UserError(f"`size` / `crop_pct` must be <= {MAX_SIDE}; got {self.size!r} and {self.crop_pct!r}.")
        if self.interpolation not in get_args(Interpolation):
            known = ", ".join(get_args(Interpolation))
            raise UserError(f"`interpolation` must be one of {known}; got {self.interpolation!r}.")

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Float32 array (B, 3, H, W), channels last in memory.

        Raises:
            UserError: `size` is None and the images' sizes differ.
        """
        stacked = self.resized(images).astype(np.float32)  # (B, H, W, 3)
        scale = np.float32(1 / 255) / np.asarray(self.std, dtype=np.float32)
        shift = np.asarray(self.mean, dtype=np.float32) / np.asarray(self.std, dtype=np.float32)
        np.multiply(stacked, scale, out=stacked)
        np.subtract(stacked, shift, out=stacked)
        return stacked.transpose(0, 3, 1, 2)

    def resized(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Uint8 array (B, H, W, 3): resized and cropped, not scaled.

        Raises:
            UserError: `size` is None and the images' sizes differ.
        """
        if self.size is not None:
            images = [self._resize(image, self.size) for image in images]
        shapes = sorted({image.shape[:2] for image in images})
        if len(shapes) > 1:
            raise UserError(
                f"Images of one batch have the sizes {shapes[0]} and {shapes[1]}. Give the classifier a "
                "`size=(height, width)` to resize them to."
            )
        return np.stack(list(images))

    def spec(self) -> dict[str, Any]:
        """Everything that decides the result, for the classifier's fingerprint."""
        return asdict(self)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> ImagePreprocess:
        """Inverse of `spec`, lists (as JSON has them) standing for tuples."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in spec.items()
        }
        return cls(**values)

    def _resize(self, image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        height, width = (math.floor(side / self.crop_pct) for side in size)
        if self.resize == "center" and height * image.shape[1] >= width * image.shape[0]:
            width = height * image.shape[1] // image.shape[0]
        elif self.resize == "center":
            height = width * image.shape[0] // image.shape[1]
        scaled = (height, width)
        if height * width > MAX_SCALED:
            shape = f"{image.shape[1]} x {image.shape[0]} pixels"
            raise UserError(f"An image of {shape} is too long for its width to be scaled to {size}. Crop it first.")
        if image.shape[:2] != scaled:
            from PIL import Image

            filter_ = Image.Resampling[self.interpolation.upper()]
            image = np.asarray(Image.fromarray(image).resize((scaled[1], scaled[0]), filter_))
        top, left = (round((extent - side) / 2) for extent, side in zip(scaled, size, strict=True))
        return image[top : top + size[0], left : left + size[1]]


def as_size(size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """(height, width) of a size given as one number or two.

    Raises:
        UserError: anything else.
    """
    if size is None:
        return None
    sides = (size,) * 2 if isinstance(size, int) else size
    if not isinstance(sides, Sequence) or len(sides) != 2 or any(type(side) is not int for side in sides):
        raise UserError(f"`size` must be a number of pixels or (height, width); got {size!r}.")
    return sides[0], sides[1]


def from_pretrained_cfg(cfg: Mapping[str, Any]) -> ImagePreprocess:
    """timm's evaluation transform of a model's ``pretrained_cfg``; missing entries take timm's own defaults.

    Raises:
        UserError: a crop mode other than "center" and "squash", or not three channels.
    """
    channels, height, width = cfg.get("input_size") or (3, 224, 224)
    if channels != 3:
        raise UserError(f"The model takes {channels} channels; genlens renders RGB images of 3.")
    mode: Any = cfg.get("crop_mode") or "center"
    if mode not in get_args(Resize):
        raise UserError(f"The model's crop mode {mode!r} is not supported. Pass `preprocess=ImagePreprocess(…)`.")
    return ImagePreprocess(
        size=(height, width),
        mean=tuple(cfg.get("mean") or IMAGENET_MEAN),
        std=tuple(cfg.get("std") or IMAGENET_STD),
        resize=mode,
        crop_pct=cfg.get("crop_pct") or DEFAULT_CROP_PCT,
        interpolation=cfg.get("interpolation") or "bicubic",
    )
