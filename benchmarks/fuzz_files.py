"""What every reader under test has: valid files, what genlens does with one, and what an error must look like."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Reader:
    """A reader under test.

    Attributes:
        form: of its files, see `fuzz_mutations.mutate`.
        seeds: makes valid files.
        read: does with a file what genlens does, in an empty folder; returning and `UserError` are good.
    """

    form: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], None]


@cache
def png(mode: str = "RGB", form: str = "PNG") -> bytes:
    """A small picture of that mode, in that format."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(buffer, form)
    return buffer.getvalue()


def check_line(error: Exception) -> None:
    """Raise AssertionError unless the error is one line that a terminal shows as it is."""
    text = str(error)
    assert text and "\n" not in text and "\x1b" not in text, repr(text)
    text.encode()  # half a character can't be printed
