"""What scenes are called: the ten concepts, captions of both styles, and reading captions back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from genlens.datasets.scenes_drawing import COLOURS, KINDS
from genlens.errors import UserError

CONCEPTS = ("tshirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
"""Names of Fashion-MNIST's classes 0-9, a word each."""
MOST_COPIES = 3
Style = Literal["default", "full"]
_WORD = re.compile(r"\d+|[a-z]+")


def background_words(kind: str, colour: str) -> str:
    """``"striped blue background"``."""
    return f"{kind} {colour} background"


def caption_of(
    counts: Sequence[int] | NDArray[np.int64], background: str, frame: bool, style: Style = "default"
) -> str:
    """Caption of counts (10,); the background and the frame are said in the full style only.

    Raises:
        UserError: `style` is unknown.
    """
    if style not in get_args(Style):
        raise UserError(f"`style` must be one of {', '.join(get_args(Style))}; got {style!r}.")
    parts = [f"{count} {name}" for name, count in zip(CONCEPTS, counts, strict=True) if count]
    if style == "full":
        parts += [background, *(["frame"] if frame else [])]
    return ", ".join(parts)


@dataclass(frozen=True)
class Asked:
    """What a caption asks for.

    Attributes:
        counts: ten numbers, 0 to 3.
        kind, colour: of the background; None: not said.
        frame: whether it is named.
    """

    counts: tuple[int, ...]
    kind: str | None = None
    colour: str | None = None
    frame: bool = False


def parse_caption(caption: str) -> Asked:
    """Read a caption of either style, tolerantly: other words are ignored, a name without a number means one.

    A class named twice has the count it was given last; more than three are three.

    Raises:
        UserError: `caption` isn't text.
    """
    if not isinstance(caption, str):
        raise UserError(f"`caption` must be a string; got {caption!r}.")
    counts, kind, colour, frame = [0] * len(CONCEPTS), None, None, False
    for part in caption.lower().split(","):
        number = 1
        for word in _WORD.findall(part):
            if word.isdigit():
                number = min(int(word), MOST_COPIES)
            elif word in CONCEPTS:
                counts[CONCEPTS.index(word)] = number
            elif word in KINDS:
                kind = word
            elif word in COLOURS:
                colour = word
            elif word == "frame":
                frame = number > 0
    return Asked(tuple(counts), kind, colour, frame)
