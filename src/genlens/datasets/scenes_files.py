"""Scenes on disk: an imagefolder, COCO annotations and the scenes themselves as plain data."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from genlens.datasets.idx import Photos, Split, load_photos
from genlens.datasets.scenes import Item, Layout, Scene, draw, item_masks, on_page, sample_scenes
from genlens.datasets.scenes_captions import CONCEPTS, background_words
from genlens.datasets.scenes_drawing import IMAGE_SIZE
from genlens.datasets.scenes_labels import LABELS, scene_labels
from genlens.errors import UserError
from genlens.files import make_folder, write_atomic

SCENES_FILE = "scenes.jsonl"
_BATCH = 256
_COLUMNS = ("file_name", *CONCEPTS, *LABELS, "background", "colour", "frame", "caption", "full_caption", "context")


def instances_name(split: Split) -> str:
    """Name of the COCO annotations of a split, beside its metadata."""
    return f"instances_{split}.json"


def write_scenes(
    out: str | Path, n: int, split: Split = "train", seed: int = 0, photographs: str | Path | None = None,
    layout: Layout = "anywhere",
) -> None:  # fmt: skip
    """Write `n` scenes; the same arguments write the same bytes.

    Files: ``images/000000.png`` ...; ``metadata.csv`` with the columns file_name, the ten counts, the six labels (0 or
    1), background (its kind), colour, frame (0 or 1), caption, full_caption and context (what the full caption says of
    background and frame); ``instances_SPLIT.json``, COCO's format, whose file names are relative to `out`;
    ``scenes.jsonl``, a scene a line (see `read_scenes`).

    Args:
        out: folder; made if it isn't there.
        n: number of scenes, >= 1.
        split: whose photographs are used; splits share none.
        seed: any integer >= 0.
        photographs: folder of Fashion-MNIST's IDX files; None: where systems put them.
        layout: things anywhere, or each class in its own place (`genlens.datasets.scenes.on_page`).

    Raises:
        UserError: a number is out of range, the layout is unknown, the photographs aren't found, or `out` holds a data
            set already.
    """
    from PIL import Image

    if layout not in get_args(Layout):
        raise UserError(f"`layout` must be one of {', '.join(get_args(Layout))}; got {layout!r}.")
    out, photos = Path(out), load_photos(split, photographs)
    scenes = sample_scenes(n, seed, photos, split)
    if layout == "page":
        scenes = [on_page(scene) for scene in scenes]
    if (out / "metadata.csv").exists():
        raise UserError(f"`out` must not hold a data set yet; got {out} with a metadata.csv. Choose another folder.")
    make_folder(out / "images")
    names = [f"images/{row:06d}.png" for row in range(n)]
    for start in range(0, n, _BATCH):
        for name, picture in zip(names[start:], draw(scenes[start : start + _BATCH], photos), strict=False):
            Image.fromarray(picture).save(out / name)
    write_atomic(out / instances_name(split), json.dumps(coco_instances(scenes, names, photos)).encode())
    lines = [json.dumps(asdict(scene)) + "\n" for scene in scenes]
    write_atomic(out / SCENES_FILE, "".join(lines).encode())
    write_atomic(out / "metadata.csv", _metadata(scenes, names, seed, split).encode())  # last: with it, all is there


def _metadata(scenes: Sequence[Scene], names: Sequence[str], seed: int, split: Split) -> str:
    counts = np.stack([scene.counts() for scene in scenes])
    labels = scene_labels(counts, seed, split)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row, (name, scene) in enumerate(zip(names, scenes, strict=True)):
        context = background_words(scene.kind, scene.colour) + (", frame" if scene.frame else "")
        ground = [scene.kind, scene.colour, int(scene.frame)]
        words = [scene.caption(), scene.caption("full"), context]
        writer.writerow([name, *counts[row], *(labels[label][row] for label in LABELS), *ground, *words])
    return text.getvalue()


def read_scenes(folder: str | Path) -> list[Scene]:
    """The scenes that `write_scenes` wrote, in the order of the metadata.

    Raises:
        UserError: they aren't there, or the file is damaged.
    """
    path = Path(folder) / SCENES_FILE
    try:
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [_scene(values) for values in found]
    except FileNotFoundError as error:
        raise UserError(f"{path} doesn't exist. Write the scenes with `genlens data scenes`.") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} can't be read: {error}. Write the scenes again.") from error


def _scene(values: dict[str, Any]) -> Scene:
    items = tuple(Item(**{**item, "tint": tuple(item["tint"])}) for item in values["items"])
    return Scene(**{**values, "items": items, "phase": tuple(values["phase"])})


def coco_instances(scenes: Sequence[Scene], names: Sequence[str], photos: Photos) -> dict[str, Any]:
    """Annotations in COCO's instances format: an entry an item, with what is seen of it as uncompressed RLE."""
    annotations: list[dict[str, Any]] = []
    for row, scene in enumerate(scenes):
        for item, mask in zip(scene.items, item_masks(scene, photos), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": row + 1,
                    "category_id": item.concept + 1,
                    "segmentation": {"counts": run_lengths(mask), "size": [IMAGE_SIZE, IMAGE_SIZE]},
                    "area": int(mask.sum()),
                    "bbox": _box(mask),
                    "iscrowd": 0,
                }
            )
    size = {"width": IMAGE_SIZE, "height": IMAGE_SIZE}
    return {
        "info": {"description": "genlens scenes of Fashion-MNIST photographs"},
        "images": [{"id": row + 1, "file_name": name, **size} for row, name in enumerate(names)],
        "categories": [{"id": j + 1, "name": name} for j, name in enumerate(CONCEPTS)],
        "annotations": annotations,
    }


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Uncompressed RLE of a mask (H, W): lengths of runs down the columns, the first of pixels outside the mask."""
    flat = np.concatenate([[False], mask.T.ravel()])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(length) for length in np.diff(np.concatenate([[0], changes, [mask.size]]))]


def _box(mask: NDArray[np.bool_]) -> list[int]:
    """COCO's box: left, top, width, height."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(v) for v in (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)]
