"""The COCO protocol of DEPICT (arXiv 2407.14509, section 4.2): 15 concepts, six scenes, the split, as three folders.

Scene labels are the top-1 categories of a Places365 model, joined with the six indoor groups of the Places365 scene
hierarchy; both come as files from the user. Photographs are linked, not copied.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genlens.datasets.coco import Instances, read_instances
from genlens.datasets.imagefolder import read_metadata
from genlens.errors import UserError, check_integer
from genlens.files import make_folder, write_atomic

CONCEPTS = (
    "person", "bottle", "cup", "bowl", "chair", "couch", "bed", "dining table", "tv", "laptop", "remote", "cell phone",
    "oven", "sink", "book",
)  # fmt: skip
"""The paper's 15 concepts, in its order."""
SCENES = (
    "shopping and dining", "workplace", "home or hotel", "transportation", "sports and leisure", "cultural",
)  # fmt: skip
"""The paper's six scenes: the indoor groups on level 2 of the Places365 scene hierarchy."""
SPLITS = ("train", "val", "test")
INSTANCES = "instances.json"
"""Annotations of a split, in COCO's format, beside its metadata."""
TEST_ROWS = 10_000


def write_coco_scenes(
    out: str | Path,
    coco: str | Path,
    places: str | Path,
    hierarchy: str | Path,
    *,
    test_rows: int = TEST_ROWS,
    seed: int = 0,
) -> dict[str, int]:
    """Write OUT/train, OUT/val and OUT/test: linked photographs, metadata.csv and instances.json.

    As in the paper, images without any annotation are left out, val is val2017, and test is a random part of train2017
    (which one isn't published: the seed decides). metadata.csv has the counts of all categories, the `caption` ("2
    person, 1 couch, 1 dog"), its part besides the 15 concepts as `context`, the six scenes as 0 and 1, and `scene`, the
    category.

    Args:
        out: folder that doesn't exist yet or is empty.
        coco: folder with train2017, val2017 and their instances_*.json (there or in `annotations`).
        places: csv with the columns file_name and category, the top-1 category of a Places365 model.
        hierarchy: csv, see `read_hierarchy`.
        test_rows: images of train2017 that are for the test.
        seed: of that choice, >= 0.

    Returns:
        Number of images in each split.

    Raises:
        UserError: a file is missing or isn't as described, or `test_rows` leaves no image to train on.
    """
    check_integer("test_rows", test_rows, 1)
    check_integer("seed", seed, 0)
    out, coco = Path(out), Path(coco)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and isn't empty. Choose another folder.")
    groups = read_hierarchy(hierarchy)
    categories = read_places(places)
    parts = {name: _read_part(coco, name) for name in ("train2017", "val2017")}
    frames = {name: _frame(instances, categories, groups, Path(places).name) for name, (instances, _) in parts.items()}
    n_train = len(frames["train2017"])
    if test_rows >= n_train:
        raise UserError(f"`test_rows` must be below the {n_train} annotated images of train2017; got {test_rows}.")
    chosen = np.zeros(n_train, dtype=bool)
    chosen[np.random.default_rng(seed).choice(n_train, size=test_rows, replace=False)] = True
    rows = {
        "train": ("train2017", frames["train2017"][~chosen]),
        "val": ("val2017", frames["val2017"]),
        "test": ("train2017", frames["train2017"][chosen]),
    }
    for source, frame in rows.values():
        _require_images(frame, *parts[source])
    for split in SPLITS:
        source, frame = rows[split]
        _write_split(out / split, frame, *parts[source])
    return {split: len(rows[split][1]) for split in SPLITS}


def read_places(path: str | Path) -> dict[str, str]:
    """File name -> Places365 category from a csv with the columns file_name and category.

    Categories are written as Places365 does ("/l/living_room") or without the letter ("living_room").

    Raises:
        UserError: the file is missing, or a column.
    """
    frame = _read_csv(path, ("file_name", "category"))
    return {str(n).strip(): _category(c) for n, c in zip(frame["file_name"], frame["category"], strict=True)}


def read_hierarchy(path: str | Path) -> dict[str, frozenset[str]]:
    """Places365 category -> the scenes of `SCENES` it belongs to.

    Args:
        path: the sheet "Scene hierarchy - Places365" as csv (a line with the names of the groups, among the first
            three; then a line a category, 1 where it belongs to the group), or a csv with the columns category and
            scene. Of two groups that begin with the same words the first counts, which is the indoor one.

    Raises:
        UserError: the file is missing, or has no line with the names.
    """
    cells = _cells(path)
    for line in range(min(3, len(cells))):
        names = [str(cell).strip().lower() for cell in cells.iloc[line]]
        if {"category", "scene"} <= set(names):
            pairs = cells.iloc[line + 1 :, [names.index("category"), names.index("scene")]].itertuples(index=False)
            return _grouped([(_category(c), str(scene).strip().lower()) for c, scene in pairs], Path(path).name)
        columns = {s: next((k for k, n in enumerate(names) if n.startswith(s)), -1) for s in SCENES}
        if min(columns.values()) >= 0:
            rows = cells.iloc[line + 1 :].itertuples(index=False)
            marked = [
                (_category(row[0]), scene if str(row[column]).strip() == "1" else "")
                for row in rows
                for scene, column in columns.items()
            ]
            return _grouped(marked, Path(path).name)
    raise UserError(
        f"{path} has no columns for the scenes {', '.join(SCENES)} in its first three lines, and no columns category "
        "and scene. Export the Places365 scene hierarchy as csv."
    )


def _grouped(pairs: Sequence[tuple[str, str]], source: str) -> dict[str, frozenset[str]]:
    unknown = sorted({scene for _, scene in pairs if scene and scene not in SCENES})
    if unknown:
        raise UserError(f"{source}: {unknown[0]!r} is no scene. Scenes: {', '.join(SCENES)}.")
    found: dict[str, frozenset[str]] = {}
    for category, scene in pairs:
        found[category] = found.get(category, frozenset()) | ({scene} if scene else frozenset())
    return found


def _category(text: object) -> str:
    """"'/l/living_room'" -> "living_room"."""
    name = str(text).strip().strip("'\"").lower()
    return name[3:] if len(name) > 3 and name[0] == "/" and name[2] == "/" else name


def _cells(path: str | Path) -> pd.DataFrame:
    path = Path(path)
    if not path.is_file():
        raise UserError(f"The file {path} doesn't exist. Check the path.")
    try:
        return pd.read_csv(path, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read as csv: {str(error).strip()}.") from error


def _read_csv(path: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    if not Path(path).is_file():
        raise UserError(f"The file {path} doesn't exist. Check the path.")
    frame = read_metadata(path)
    for column in columns:
        if column not in frame.columns:
            raise UserError(f"{path} has no column {column!r}. It needs {' and '.join(columns)}.")
    return frame


def _read_part(coco: Path, name: str) -> tuple[Instances, Path]:
    images = coco / name
    if not images.is_dir():
        raise UserError(f"{coco} has no folder {name}. Give the folder that holds COCO's train2017 and val2017.")
    files = [coco / f"instances_{name}.json", coco / "annotations" / f"instances_{name}.json"]
    found = [file for file in files if file.is_file()]
    if not found:
        raise UserError(f"{coco} has no instances_{name}.json, neither there nor in annotations.")
    return read_instances(found[0]), images


def _frame(
    instances: Instances, categories: Mapping[str, str], groups: Mapping[str, frozenset[str]], source: str
) -> pd.DataFrame:
    """Counts, context and scenes of the annotated images; the index is the row in `instances`."""
    missing = [name for name in CONCEPTS if name not in instances.categories]
    if missing:
        raise UserError(f"{instances.source} has no category {missing[0]!r}, one of the protocol's 15 concepts.")
    counts = instances.counts()
    counts = counts[counts[list(instances.categories)].sum(axis=1) > 0]
    names = [str(name) for name in counts["file_name"]]
    unlabelled = [name for name in names if name not in categories]
    if unlabelled:
        raise UserError(f"{source} has no category for {unlabelled[0]} ({len(unlabelled)} of {len(names)} images).")
    unknown = sorted({categories[name] for name in names} - set(groups))
    if unknown:
        raise UserError(f"{source} has the category {unknown[0]!r}, which the hierarchy doesn't list.")
    others = [name for name in instances.categories if name not in CONCEPTS]
    listed, context = _lists(counts, CONCEPTS), _lists(counts, others)
    captions = [", ".join(filter(None, pair)) for pair in zip(listed, context, strict=True)]
    scenes = pd.DataFrame(
        [[int(scene in groups[categories[name]]) for scene in SCENES] for name in names], columns=list(SCENES)
    ).set_axis(counts.index, axis=0)
    return counts.assign(caption=captions, context=context, scene=[categories[name] for name in names]).join(scenes)


def _require_images(frame: pd.DataFrame, instances: Instances, images: Path) -> None:
    for name in frame["file_name"]:
        if not (images / name).is_file():
            raise UserError(f"{images} has no image {name}, which {instances.source} lists. Complete the download.")


def _lists(counts: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """ "2 person, 1 couch" of each row."""
    return [
        ", ".join(f"{count} {name}" for name, count in zip(names, row, strict=True) if count)
        for row in counts[list(names)].to_numpy()
    ]


def _write_split(folder: Path, frame: pd.DataFrame, instances: Instances, images: Path) -> None:
    make_folder(folder)
    rows = [int(row) for row in frame.index]
    for name in frame["file_name"]:
        target = folder / name
        make_folder(target.parent)
        os.symlink((images / name).resolve(), target)
    ids = {name: number for number, name in enumerate(instances.categories, start=1)}
    data = {
        "images": [dict(instances.images[row]) for row in rows],
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
        "annotations": [
            {**annotation, "category_id": ids[name]}
            for row in rows
            for name, found in instances.segments[row].items()
            for annotation in found
        ],
    }
    write_atomic(folder / INSTANCES, json.dumps(data).encode())
    write_atomic(folder / "metadata.csv", frame.to_csv(index=False).encode())  # last: a folder with it is whole
