"""What a study shows: items (a class or a neural feature each) and their pictures by method.

The folder has a folder an item, in it a folder a method, in it pictures (PNG or JPEG). A file `items.json` beside them
may say, by an item's folder, what the questions call it and what people choose from:

    {"class 3": {"label": "the class “zebra”", "options": ["stripes", "grass", "sky"], "answer": "stripes"}}
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genlens.errors import UserError, check_integer

ITEMS_FILE = "items.json"
_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Item:
    """A class or a neural feature that pictures explain.

    Attributes:
        name: of its folder.
        label: what the questions call it.
        options: what the model may look at, to choose from; () leaves the question out.
        answer: the option that is known to be true, if any is.
    """

    name: str
    label: str
    options: tuple[str, ...] = ()
    answer: str | None = None


@dataclass(frozen=True)
class Material:
    """Items and the pictures of every method.

    Attributes:
        items: at least one.
        methods: names; the first is the one that is compared with each of the others.
        paths: (item's name, method) -> pictures, equally many everywhere.
    """

    items: tuple[Item, ...]
    methods: tuple[str, ...]
    paths: Mapping[tuple[str, str], tuple[Path, ...]]


def read_material(folder: str | Path, methods: Sequence[str], n_images: int = 6, seed: int = 0) -> Material:
    """Find the pictures; `n_images` of every item and method, drawn by the seed.

    Args:
        folder: see the module.
        methods: two names or more of folders below every item, ours first.
        n_images: pictures of a set, >= 1.
        seed: of the choice where there are more.

    Raises:
        UserError: a folder or a file is missing or damaged, or has too few pictures.
    """
    root, n = Path(folder), check_integer("images", n_images, 1)
    if len(methods) < 2 or len(set(methods)) < len(methods):
        raise UserError(f"A study needs two different methods or more; got {', '.join(methods) or 'none'}.")
    if not root.is_dir():
        raise UserError(f"{folder} is not a folder. Give one with a folder an item and a folder a method in each.")
    names = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not names:
        raise UserError(f"{folder} has no items. Put a folder an item into it, and a folder a method into each.")
    rng = np.random.default_rng(check_integer("seed", seed, 0))
    paths = {(name, method): _pictures(root / name / method, n, rng) for name in names for method in methods}
    return Material(_items(root, names), tuple(methods), paths)


def _pictures(folder: Path, n: int, rng: np.random.Generator) -> tuple[Path, ...]:
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES)
    if len(found) < n:
        raise UserError(f"{folder} must hold at least {n} pictures (PNG or JPEG); got {len(found)}. Lower `--images`.")
    return tuple(found[k] for k in np.sort(rng.choice(len(found), n, replace=False)))


def _items(root: Path, names: Sequence[str]) -> tuple[Item, ...]:
    path = root / ITEMS_FILE
    if not path.exists():
        return tuple(Item(name, name) for name in names)
    try:
        told: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} must be JSON; {error}.") from error
    if not isinstance(told, dict):
        raise UserError(f"{path} must be an object that maps an item's folder to its texts.")
    strange = sorted(set(told) - set(names))
    if strange:
        raise UserError(f"{path} names {strange[0]!r}, which has no folder. Items: {', '.join(names)}.")
    return tuple(_item(path, name, told.get(name, {})) for name in names)


def _item(path: Path, name: str, told: Any) -> Item:
    known = {"label", "options", "answer"}
    if not isinstance(told, dict) or set(told) - known:
        raise UserError(f"{path}: {name!r} must be an object with {', '.join(sorted(known))}; got {told!r}.")
    label, options, answer = told.get("label", name), told.get("options", []), told.get("answer")
    texts = isinstance(options, list) and all(isinstance(option, str) and option.strip() for option in options)
    if not isinstance(label, str) or not label.strip() or not texts:
        raise UserError(f"{path}: `label` of {name!r} must be text and `options` a list of texts.")
    if len(options) == 1 or len(set(options)) < len(options):
        raise UserError(f"{path}: `options` of {name!r} must be two different texts or more; got {options!r}.")
    if answer is not None and answer not in options:
        raise UserError(f"{path}: `answer` of {name!r} must be one of its options; got {answer!r}.")
    return Item(name, label, tuple(options), answer)


def picture_uri(path: Path, side: int) -> str:
    """A picture as a PNG data URI, without whatever else its file says; scaled down if a side is longer than `side`.

    Raises:
        UserError: it can't be read.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} can't be read as a picture: {error}.") from error
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    clean = Image.fromarray(np.asarray(picture))  # the file's texts, profiles and dates stay behind
    buffer = io.BytesIO()
    clean.save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
