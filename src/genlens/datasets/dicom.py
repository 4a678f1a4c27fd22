"""DICOM files -> 8-bit RGB arrays, as a viewer shows them first. Needs pydicom (the extra `medical`)."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.errors import UserError

SUFFIXES = (".dcm", ".dicom")
_DAMAGED = (
    OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError, RuntimeError,
    struct.error, MemoryError,
)  # fmt: skip
"""What pydicom raises on files that are no DICOM, damaged ones, and compressions that nothing installed can read."""


def is_dicom(path: str | Path) -> bool:
    """Whether a file is read as DICOM: by its name."""
    return Path(path).suffix.lower() in SUFFIXES


def load_dicom(path: str | Path, max_pixels: int) -> NDArray[np.uint8]:
    """Read one DICOM image as uint8 (H, W, 3).

    Stored values go through the rescale slope and intercept (or the modality table), then the file's first window (or
    its table of values of interest); without one the range of the values is stretched. MONOCHROME1 is inverted, so
    more attenuation is always lighter. Of several frames the first is read; colour files are taken as they are.

    Raises:
        UserError: pydicom is missing, or the file is missing, isn't DICOM, has no image or one that can't be read.
    """
    with _opened(path, max_pixels) as dataset:
        grey = str(dataset.PhotometricInterpretation).startswith("MONOCHROME")
        return _grey(dataset) if grey else _colour(dataset)


def check_dicom(path: str | Path, max_pixels: int) -> None:
    """Check a file by its header, without decoding it.

    Raises:
        UserError: as `load_dicom`.
    """
    with _opened(path, max_pixels, header=True) as dataset:
        _ = dataset.PhotometricInterpretation


@contextmanager
def _opened(path: str | Path, max_pixels: int, header: bool = False) -> Iterator[Any]:
    try:
        import pydicom
    except ImportError as error:
        raise UserError(
            f"Image {path} is DICOM, which needs pydicom. Install it: pip install genlens[medical]."
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that don't follow the standard to the letter
            dataset = pydicom.dcmread(path, stop_before_pixels=header)
            if "Rows" not in dataset or "Columns" not in dataset or not (header or "PixelData" in dataset):
                raise ValueError("it holds no image")
            if int(dataset.Rows) * int(dataset.Columns) > max_pixels:
                raise ValueError(f"it has more than {max_pixels // 1_000_000} million pixels")
            yield dataset
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"Image {path} doesn't exist. Check the file name, or pass --skip-unreadable.") from error
    except (pydicom.errors.InvalidDicomError, *_DAMAGED) as error:
        invalid = isinstance(error, pydicom.errors.InvalidDicomError)
        reason = "it isn't DICOM" if invalid else next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise UserError(f"DICOM {path} can't be read: {reason}. Replace it, or pass --skip-unreadable.") from error


def _first_frame(dataset: Any) -> NDArray[Any]:
    pixels: NDArray[Any] = dataset.pixel_array
    several = int(getattr(dataset, "NumberOfFrames", 1) or 1) > 1
    return pixels[0] if several else pixels


def _grey(dataset: Any) -> NDArray[np.uint8]:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    stored = apply_modality_lut(_first_frame(dataset), dataset)
    windowed = "WindowCenter" in dataset or "VOILUTSequence" in dataset
    values = np.asarray(apply_voi_lut(stored, dataset) if windowed else stored, dtype=np.float64)  # (H, W)
    low, high = _output_range(dataset, values) if windowed else (float(values.min()), float(values.max()))
    shown = np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 1 - shown
    grey = (shown * 255 + 0.5).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _output_range(dataset: Any, values: NDArray[np.float64]) -> tuple[float, float]:
    """The darkest and the lightest value that windowing can give: pydicom maps a window to the range of its input."""
    if "VOILUTSequence" in dataset:
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        return 0.0, float(2**bits - 1)
    bits, signed = int(dataset.BitsStored), int(dataset.PixelRepresentation) == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = float(getattr(dataset, "RescaleSlope", 1)), float(getattr(dataset, "RescaleIntercept", 0))
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return ends[0], ends[1]


def _colour(dataset: Any) -> NDArray[np.uint8]:
    pixels = _first_frame(dataset)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"its colours ({dataset.PhotometricInterpretation}) aren't 8-bit RGB")
    return pixels
