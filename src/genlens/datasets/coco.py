"""COCO `instances_*.json` -> ConceptTable: presence or counts of categories, masks from polygons and RLE."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genlens.captions import CaptionTemplate, ListTemplate
from genlens.columns import Kind, describe_rows, is_unicode
from genlens.concepts import ConceptTable
from genlens.datasets.images import MAX_PIXELS
from genlens.datasets.tables import concept_names, table_from_frame, unknown_column
from genlens.errors import UserError

_ID = (int, str)


@dataclass(frozen=True)
class Instances:
    """A COCO annotation file.

    Attributes:
        source: its file name.
        categories: names in the order of their ids.
        images: N records with file_name, width and height.
        segments: N mappings, category name -> its annotations in the image.
    """

    source: str
    categories: tuple[str, ...]
    images: tuple[Mapping[str, Any], ...]
    segments: tuple[Mapping[str, list[Mapping[str, Any]]], ...]

    def counts(self) -> pd.DataFrame:
        """Annotations of each category in each image: file_name and one column a category.

        A crowd annotation, which marks a group as a whole, counts as one. Images without annotations have zeros.
        """
        counted = [{name: len(found) for name, found in segments.items()} for segments in self.segments]
        frame = pd.DataFrame(counted, columns=list(self.categories), dtype="float64").fillna(0).astype("int64")
        frame.insert(0, "file_name", [image["file_name"] for image in self.images], allow_duplicates=True)
        return frame

    def masks(self, row: int, names: Sequence[str]) -> NDArray[np.bool_]:
        """Where the categories are in one image: bool (D, H, W), crowds included.

        Raises:
            UserError: the image has no size, or a segmentation is no polygon and no RLE.
        """
        image = self.images[row]
        sides = [image.get(side) for side in ("height", "width")]
        if not all(type(side) is int and side > 0 for side in sides):
            raise UserError(f"{self.source}: image {image['file_name']!r} needs its height and width for masks.")
        shape: tuple[int, int] = (image["height"], image["width"])
        if shape[0] * shape[1] > MAX_PIXELS:
            limit = f"{MAX_PIXELS // 1_000_000} million pixels"
            raise UserError(f"{self.source}: image {image['file_name']!r} has more than {limit}. Make it smaller.")
        result = np.zeros((len(names), *shape), dtype=bool)
        for j, name in enumerate(names):
            for annotation in self.segments[row].get(name, ()):
                result[j] |= decode_segmentation(annotation.get("segmentation"), shape, annotation.get("id"))
        return result


def read_instances(path: str | Path) -> Instances:
    """Read a COCO annotation file.

    Raises:
        UserError: it is missing, isn't JSON or isn't in COCO's instances format.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise UserError(f"The annotation file {path} doesn't exist. Check the path.") from error
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} isn't JSON: {error}.") from error
    categories = _by_id(path.name, data, "categories", "name")
    images = _by_id(path.name, data, "images", "file_name")
    names = {key: str(categories[key]["name"]).strip() for key in sorted(categories, key=_by_kind)}
    repeated = [name for name, times in Counter(names.values()).items() if times > 1]
    if repeated:
        raise UserError(f"{path.name} has two categories {repeated[0]!r}. Rename one.")
    segments: dict[Any, dict[str, list[Mapping[str, Any]]]] = {key: defaultdict(list) for key in images}
    for annotation in _records(path.name, data, "annotations", ("image_id", "category_id")):
        image, category = annotation["image_id"], annotation["category_id"]
        known = isinstance(image, _ID) and image in images
        if not (known and isinstance(category, _ID) and category in names):
            kind, key = ("category", category) if known else ("image", image)
            raise UserError(f"{path.name}: an annotation names the {kind} {key!r}, which the file doesn't list.")
        segments[image][names[category]].append(annotation)
    return Instances(path.name, tuple(names.values()), tuple(images.values()), tuple(segments.values()))


def table_from_coco(
    instances_json: str | Path,
    image_folder: str | Path,
    concepts: Sequence[str],
    label: str | Mapping[str, Any] | pd.Series[Any] | None = None,
    values: Literal["presence", "counts"] = "presence",
    *,
    template: CaptionTemplate | None = None,
    skip_unreadable: bool = False,
) -> ConceptTable:
    """Make a table from COCO annotations, one row an image (also of images without annotations).

    Args:
        instances_json: the annotation file.
        image_folder: the folder with its images.
        concepts: category names, in caption order.
        label: a category, present or not, that is no concept; or file_name -> label for every image; None: labels come
            later, by `ConceptTable.with_labels`.
        values: "presence": binary concepts, captions "1 person, 1 couch". "counts": "2 person, 1 couch"; a crowd
            annotation counts as one.
        template: how captions are made; None: as above.
        skip_unreadable: leave out images that are missing or can't be read (all are decoded once).

    Raises:
        UserError: the file isn't in COCO's format, a category is unknown, an image has no label, or as in
            `genlens.datasets.tables.table_from_frame`.
    """
    if values not in ("presence", "counts"):
        raise UserError(f"`values` must be 'presence' or 'counts'; got {values!r}.")
    instances = read_instances(instances_json)
    names = concept_names(concepts)
    _require_categories(instances, "concepts", names)
    counts = instances.counts()
    frame = counts[["file_name", *names]].copy()
    if values == "presence":
        frame[list(names)] = frame[list(names)].clip(upper=1)
    column = None if label is None else "label"
    if isinstance(label, str):
        _require_categories(instances, "label", (label,))
        if label in names:
            raise UserError(f"`label` {label!r} is one of the concepts. Take it out of `concepts` or choose another.")
        column, frame[label] = label, counts[label].clip(upper=1)
    elif label is not None:
        frame["label"] = _labels_by_file(instances, label)
    kind: Kind = "binary" if values == "presence" else "count"
    table = table_from_frame(
        frame,
        names,
        column,
        kinds={name: kind for name in names},
        texts={},
        template=template or ListTemplate(binary="1 {name}"),
        image_root=image_folder,
        skip_unreadable=skip_unreadable,
        source=instances.source,
    )
    rows = {str(image["file_name"]).strip(): row for row, image in enumerate(instances.images)}
    return replace(table, masks=lambda row: instances.masks(rows[table.row_ids[row]], names))


def decode_segmentation(segmentation: Any, shape: tuple[int, int], annotation: Any = None) -> NDArray[np.bool_]:
    """Polygons, uncompressed RLE or compressed RLE -> bool (H, W), by COCO's own rules.

    Args:
        segmentation: what the annotation says.
        shape: (H, W) of the image.
        annotation: its id, for the message.

    Raises:
        UserError: it is none of the three or doesn't fit the image.
    """
    from faster_coco_eval.core import mask as rle

    try:
        if isinstance(segmentation, Mapping):
            encoded = rle.frPyObjects(_checked_rle(segmentation, shape), *shape)
        else:
            encoded = rle.merge(rle.frPyObjects(_checked_polygons(segmentation, shape), *shape))
        result: NDArray[np.bool_] = np.asarray(rle.decode(encoded)).astype(bool)
    except (TypeError, ValueError, KeyError) as error:
        what = f"The segmentation of annotation {annotation!r}"
        raise UserError(f"{what} is neither polygons nor RLE: {str(error).rstrip('.')}.") from error
    return result


def _checked_rle(segmentation: Mapping[str, Any], shape: tuple[int, int]) -> dict[str, Any]:
    """Run lengths that fit the image; the decoder is native code and must not meet anything else."""
    counts, size = segmentation["counts"], tuple(segmentation["size"])
    if size != shape:
        raise ValueError(f"its size is {list(size)}, the image's is {list(shape)}")
    if isinstance(counts, (str, bytes)):
        counts = unpacked_runs(counts.encode("ascii") if isinstance(counts, str) else counts)
    if not isinstance(counts, list):
        raise TypeError("its counts are neither a list nor text")
    if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != shape[0] * shape[1]:
        raise ValueError(f"its runs must be whole numbers that add up to {shape[0] * shape[1]}")
    return {"counts": counts, "size": list(shape)}


def unpacked_runs(packed: bytes) -> list[int]:
    """Run lengths of a compressed RLE: five bits a character, and differences to the last but one from the third on.

    Raises:
        ValueError: it isn't one.
    """
    runs: list[int] = []
    value = shift = 0
    for character in packed:
        bits = character - 48
        if not 0 <= bits < 64 or shift > 40:
            raise ValueError("its counts aren't a compressed RLE")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("its counts end in the middle of a number")
    return runs


def _checked_polygons(segmentation: Any, shape: tuple[int, int]) -> list[list[float]]:
    """Polygons of three points or more, cut a little outside the image: the decoder's memory grows with them."""
    if not isinstance(segmentation, list):
        raise TypeError("it isn't a list")
    polygons = []
    for polygon in segmentation:
        points = np.asarray(polygon, dtype=np.float64)
        if points.ndim != 1 or points.size % 2 or not np.isfinite(points).all():
            raise ValueError("a polygon must be a flat list of pairs of finite numbers")
        if points.size >= 6:
            sides = np.array([shape[1], shape[0]], dtype=np.float64)  # x, y
            polygons.append(np.clip(points.reshape(-1, 2), -sides, 2 * sides).ravel().tolist())
    if not polygons:
        raise ValueError("it has no polygon of three points")
    return polygons


def _require_categories(instances: Instances, option: str, names: Sequence[Any]) -> None:
    for name in names:
        if name not in instances.categories:
            raise unknown_column(option, str(name), instances.source, instances.categories, "category")


def _labels_by_file(instances: Instances, label: Mapping[str, Any] | pd.Series[Any]) -> list[Any]:
    given = dict(label.items())
    files = [str(image["file_name"]) for image in instances.images]
    missing = [row for row, name in enumerate(files) if name not in given]
    if missing:
        raise UserError(f"`label` has no entry for {describe_rows(missing, files)} of {instances.source}. Add them.")
    return [given[name] for name in files]


def _records(source: str, data: Any, part: str, fields: Sequence[str]) -> list[Mapping[str, Any]]:
    records = data.get(part) if isinstance(data, Mapping) else None
    if not isinstance(records, list):
        raise UserError(f"{source} has no list {part!r}, so it isn't in COCO's instances format.")
    for number, record in enumerate(records):
        lacking = [name for name in fields if not isinstance(record, Mapping) or name not in record]
        if lacking:
            raise UserError(f"{source}: entry {number} of {part!r} has no {lacking[0]!r}.")
    return records


def _by_kind(key: int | str) -> tuple[bool, int | str]:
    """Order of ids, numbers before texts."""
    return isinstance(key, str), key


def _by_id(source: str, data: Any, part: str, name: str) -> dict[Any, Mapping[str, Any]]:
    records = _records(source, data, part, ("id", name))
    for record in records:
        if not isinstance(record["id"], _ID) or not isinstance(record[name], str) or not is_unicode(record[name]):
            shown = f"the id {record['id']!r} and the {name} {record[name]!r}"
            raise UserError(f"{source}: {part!r} must have ids that are numbers or text, and text; got {shown}.")
    result = {record["id"]: record for record in records}
    if len(result) != len(records):
        repeated = next(key for key, times in Counter(r["id"] for r in records).items() if times > 1)
        raise UserError(f"{source} has the id {repeated!r} more than once in {part!r}.")
    return result
