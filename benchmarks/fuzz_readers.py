"""Every reader of files that come from elsewhere: a few valid files, and what genlens does with such a file."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fuzz_files import Reader, check_line, png
from fuzz_saved import SAVED

ROWS = [
    {"file_name": "a.png", "tv": 1, "person": 2, "age": 1.5, "hat": "red", "home": "yes", "note": "x", "patient": 1},
    {"file_name": "b.png", "tv": 0, "person": 0, "age": -3.25, "hat": "", "home": "no", "note": "", "patient": 1},
    {"file_name": "sub/c.png", "tv": 1, "person": 1, "age": 10, "hat": "hat", "home": "no", "note": "z", "patient": 2},
]  # fmt: skip


def _images(folder: Path) -> None:
    for name in ("a.png", "b.png", "sub/c.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(png())


def _metadata(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        from genlens.datasets.imagefolder import table_from_metadata
        from genlens.plan import make_plan
        from genlens.store import image_key

        _images(folder)
        (folder / name).write_bytes(data)
        table = table_from_metadata(
            folder, ["tv", "person", "age", "hat"], "home", context="note", cluster="patient", kinds={"hat": "segment"}
        )
        plan = make_plan(table, seed=0)
        image_key("fingerprint", plan.captions[0], int(plan.seeds[0]))
        if table.masks is not None:
            table.masks(0)

    return read


def _csv() -> list[bytes]:
    return [pd.DataFrame(ROWS).to_csv(index=False).encode(), b'file_name,tv\n"a.png",1\nb.png,0\n']


def _jsonl() -> list[bytes]:
    return [b"\n".join(json.dumps(row).encode() for row in ROWS)]


def _parquet() -> list[bytes]:
    return [_bytes_of(pd.DataFrame(ROWS))]


def _bytes_of(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression=None)
    return buffer.getvalue()


def _coco() -> list[bytes]:
    from faster_coco_eval.core import mask as rle

    square = np.zeros((6, 7), dtype=np.uint8, order="F")
    square[1:3, 1:4] = 1
    packed = rle.encode(square)["counts"].decode()
    size = [6, 7]
    segments: list[Any] = [
        [[1, 1, 5, 1, 5, 4]], {"counts": [10, 5, 27], "size": size}, {"counts": packed, "size": size}
    ]  # fmt: skip
    annotations = [
        {"id": k, "image_id": image, "category_id": category, "segmentation": segments[k % 3], "iscrowd": int(k == 1)}
        for k, (image, category) in enumerate([(1, 1), (1, 2), (2, 2), (3, 1), (3, 3), (3, 3)])
    ]
    document = {
        "images": [{"id": k + 1, "file_name": row["file_name"], "height": 6, "width": 7} for k, row in enumerate(ROWS)],
        "categories": [{"id": 1, "name": "tv"}, {"id": 2, "name": "person"}, {"id": 3, "name": "home"}],
        "annotations": annotations,
    }
    return [json.dumps(document).encode()]


def _read_coco(data: bytes, folder: Path) -> None:
    from genlens.datasets.coco import table_from_coco
    from genlens.errors import UserError
    from genlens.plan import make_plan

    _images(folder)
    (folder / "instances.json").write_bytes(data)
    for values in ("presence", "counts"):
        table = table_from_coco(folder / "instances.json", folder, ["tv", "person"], "home", values)  # type: ignore[arg-type]
        make_plan(table, seed=0)
    for row in range(table.n_rows):
        try:
            table.masks(row)  # type: ignore[misc]
        except UserError as error:
            check_line(error)


def _pictures() -> list[bytes]:
    forms = [
        ("RGB", "PNG"), ("P", "GIF"), ("RGB", "JPEG"), ("RGB", "WEBP"), ("L", "TIFF"), ("RGB", "BMP"), ("L", "PPM"),
        ("LA", "PNG"),
    ]  # fmt: skip
    return [png(mode, form) for mode, form in forms]


def _read_picture(data: bytes, folder: Path) -> None:
    from genlens.datasets.images import check_image, load_image

    (folder / "image").write_bytes(data)
    check_image(folder / "image")
    assert load_image(folder / "image").dtype == np.uint8


READERS = {
    "csv": Reader("csv", _csv, _metadata("metadata.csv")),
    "jsonl": Reader("jsonl", _jsonl, _metadata("metadata.jsonl")),
    "parquet": Reader("parquet", _parquet, _metadata("metadata.parquet")),
    "coco": Reader("json", _coco, _read_coco),
    **SAVED,
    "picture": Reader("bytes", _pictures, _read_picture),
}
"""Name -> reader."""


def try_file(reader: Reader, data: bytes, folder: Path) -> str:
    """Read a file in an empty folder: "read" or "refused"; whatever else happens is raised."""
    from genlens.errors import UserError

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        reader.read(data, folder)
    except UserError as error:
        check_line(error)
        return "refused"
    return "read"
