"""Image files -> RGB arrays, with one-line errors that name the file."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from genlens.datasets.dicom import check_dicom, is_dicom, load_dicom
from genlens.errors import UserError

MAX_PIXELS = 80_000_000
"""Images with more pixels than this are refused (Pillow itself warns a little above it)."""

DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)
"""What Pillow raises on files that are no images, or damaged ones."""
BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)
"""What Pillow raises on images that are far too large."""


def load_image(path: str | Path) -> NDArray[np.uint8]:
    """Read one image, upright (EXIF), as uint8 (H, W, 3).

    Grey, palette and transparent images become RGB; 16-bit grey is scaled to 8 bits; of several frames the first is
    read. DICOM files (.dcm) are read by `genlens.datasets.dicom`.

    Raises:
        UserError: the file is missing, isn't an image, is damaged, has more than `MAX_PIXELS` pixels or 32 bits each.
    """
    if is_dicom(path):
        return load_dicom(path, MAX_PIXELS)
    with _opened(path) as image:
        return np.array(_rgb(path, ImageOps.exif_transpose(image)), dtype=np.uint8)  # (H, W, 3)


def check_image(path: str | Path) -> None:
    """Check a file by its header, without decoding it.

    Raises:
        UserError: the file is missing, isn't an image or has more than `MAX_PIXELS` pixels.
    """
    if is_dicom(path):
        check_dicom(path, MAX_PIXELS)
        return
    with _opened(path):
        pass


def unreadable(paths: Iterable[str | Path]) -> list[tuple[int, str]]:
    """Decode all images and return (position, reason) of those that can't be read."""
    found = []
    for position, path in enumerate(paths):
        try:
            load_image(path)
        except UserError as error:
            found.append((position, str(error)))
    return found


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """Open an image that isn't too large; whatever goes wrong with the file becomes a UserError."""
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except UserError:
        raise
    except BOMB as error:
        limit = f"{MAX_PIXELS // 1_000_000} million pixels"
        raise UserError(f"Image {path} has more than {limit}. Make it smaller, or pass --skip-unreadable.") from error
    except FileNotFoundError as error:
        raise UserError(f"Image {path} doesn't exist. Check the file name, or pass --skip-unreadable.") from error
    except DAMAGED as error:
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "it isn't an image" if unknown else str(error).strip().rstrip(".")
        raise UserError(f"Image {path} can't be read: {reason}. Replace it, or pass --skip-unreadable.") from error


def _rgb(path: str | Path, image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise UserError(f"Image {path} has 32 bits a pixel. Save it with 8 or 16 bits.")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
