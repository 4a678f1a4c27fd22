"""COCO files: small ones written here, and real photographs where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from genlens.captions import reference_captions
from genlens.concepts import ConceptTable
from genlens.datasets.coco import decode_segmentation, read_instances
from genlens.datasets.images import load_image
from genlens.errors import UserError
from genlens.plan import make_plan

SQUARE = [[2.0, 1.0, 6.0, 1.0, 6.0, 5.0, 2.0, 5.0]]
CROWD = {"size": [8, 10], "counts": [0, 8, 72]}


def instances() -> dict[str, Any]:
    sizes = {"width": 10, "height": 8}
    return {
        "images": [{"id": i, "file_name": f"im {i}.jpg", **sizes} for i in (7, 3, 5, 9)],
        "categories": [{"id": 62, "name": "chair"}, {"id": 1, "name": "person"}, {"id": 72, "name": "tv"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "segmentation": SQUARE, "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 1, "segmentation": [[0, 6, 3, 6, 3, 8, 0, 8]], "iscrowd": 0},
            {"id": 3, "image_id": 7, "category_id": 62, "segmentation": SQUARE, "iscrowd": 0},
            {"id": 4, "image_id": 3, "category_id": 1, "segmentation": CROWD, "iscrowd": 1},
            {"id": 5, "image_id": 5, "category_id": 72, "segmentation": SQUARE, "iscrowd": 0},
        ],
    }


def write(folder: Path, data: Any = None) -> Path:
    for name in ("im 7.jpg", "im 3.jpg", "im 5.jpg", "im 9.jpg"):
        Image.new("RGB", (10, 8)).save(folder / name)
    path = folder / "instances.json"
    path.write_text(json.dumps(instances() if data is None else data))
    return path


def read(folder: Path, *concepts: str, data: Any = None, **options: Any) -> ConceptTable:
    return ConceptTable.from_coco(write(folder, data), folder, list(concepts) or ["person", "chair"], **options)


def test_presence_of_categories_with_crowds_and_empty_images(tmp_path: Path) -> None:
    table = read(tmp_path, label="tv")
    assert table.row_ids == ("im 7.jpg", "im 3.jpg", "im 5.jpg", "im 9.jpg")
    assert [concept.kind for concept in table.concepts] == ["binary", "binary"]
    assert table.presence().tolist() == [[True, True], [True, False], [False, False], [False, False]]
    assert table.labels is not None and table.labels.tolist() == [0, 0, 1, 0]
    assert (table.label_name, table.source) == ("tv", "instances.json")
    assert reference_captions(table) == ("1 person, 1 chair", "1 person", "", "")


def test_counts_of_categories(tmp_path: Path) -> None:
    table = read(tmp_path, values="counts")
    assert table.labels is None
    assert [(c.kind, c.values.tolist()) for c in table.concepts] == [("count", [2, 1, 0, 0]), ("count", [1, 0, 0, 0])]
    assert reference_captions(table) == ("2 person, 1 chair", "1 person", "", "")


@pytest.mark.parametrize("kind", [dict, pd.Series])
def test_labels_by_file_name(tmp_path: Path, kind: Any) -> None:
    labels = kind({"im 3.jpg": 1, "im 7.jpg": 0, "im 9.jpg": 0, "im 5.jpg": 1, "other.jpg": 1})
    table = read(tmp_path, label=labels)
    assert table.labels is not None and table.labels.tolist() == [0, 1, 1, 0]


def test_masks_of_polygons_and_crowds(tmp_path: Path) -> None:
    table = read(tmp_path, "person", "chair")
    assert table.masks is not None
    first, crowd, none = table.masks(0), table.masks(1), table.masks(3)
    assert first.shape == (2, 8, 10) and first.dtype == bool
    expected = np.zeros((2, 8, 10), dtype=bool)
    expected[:, 1:5, 2:6] = True
    expected[0, 6:8, 0:3] = True
    assert (first == expected).all()
    assert crowd[0, :, 0].all() and crowd.sum() == 8
    assert not none.any()


def test_masks_follow_rows_and_concept_order(tmp_path: Path) -> None:
    table = read(tmp_path, "chair", "person").take([3, 0])
    assert table.masks is not None
    assert not table.masks(0).any()
    assert table.masks(1).sum(axis=(1, 2)).tolist() == [16, 22]


def test_rle_in_both_forms_is_decoded() -> None:
    from faster_coco_eval.core import mask as rle

    truth = np.random.default_rng(0).random((9, 7)) < 0.4
    compressed = rle.encode(np.asfortranarray(truth.astype(np.uint8)))
    text = {"size": [9, 7], "counts": compressed["counts"].decode()}
    flat = truth.T.ravel()  # column by column
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]]).astype(int)))
    ends = np.concatenate([[0], edges, [63]]) if edges[-1] != 63 else np.concatenate([[0], edges])
    runs = {"size": [9, 7], "counts": np.diff(ends).tolist()}
    for segmentation in (compressed, text, runs):
        assert (decode_segmentation(segmentation, (9, 7)) == truth).all()


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        (None, "it isn't a list"),
        ("abc", "it isn't a list"),
        ([], "it has no polygon of three points"),
        ([[1, 1, 5, 5]], "it has no polygon of three points"),
        ([[1, 1, 5, 1, 5, 5, 7]], "a polygon must be a flat list of pairs of finite numbers"),
        ([[1, 1, float("nan"), 1, 5, 5]], "a polygon must be a flat list"),
        ([[1, "x", 5, 1, 5, 5]], "could not convert string to float"),
        ({"size": [9, 8], "counts": [72]}, r"its size is \[9, 8\], the image's is \[8, 10\]"),
        ({"size": [8, 10], "counts": [70]}, "its runs must be whole numbers that add up to 80"),
        ({"size": [8, 10], "counts": [85, -5]}, "its runs must be whole numbers"),
        ({"size": [8, 10], "counts": 80}, "its counts are neither a list nor text"),
        ({"size": [8, 10], "counts": "zzzz~~"}, "its counts aren't a compressed RLE"),
        ({"size": [8, 10], "counts": "ä"}, "'ascii' codec can't encode"),
        ({"counts": [80]}, "'size'"),
    ],
)
def test_damaged_segmentations_are_refused(segmentation: Any, reason: str) -> None:
    message = f"^The segmentation of annotation 4 is neither polygons nor RLE: {reason}"
    with pytest.raises(UserError, match=message):
        decode_segmentation(segmentation, (8, 10), 4)


def test_polygons_far_outside_cost_no_memory() -> None:
    assert decode_segmentation([[-1e12, -1e12, 1e12, -1e12, 1e12, 1e12, -1e12, 1e12]], (8, 10)).all()


def test_masks_need_the_size_of_the_image(tmp_path: Path) -> None:
    data = instances()
    del data["images"][0]["height"]
    table = read(tmp_path, data=data)
    assert table.masks is not None
    with pytest.raises(UserError, match=r"^instances\.json: image 'im 7\.jpg' needs its height and width for masks\.$"):
        table.masks(0)


@pytest.mark.parametrize(
    ("concepts", "options", "message"),
    [
        (
            ["persn"],
            {},
            r"^`concepts` contains 'persn', which is not a category of instances\.json\. Did you mean 'person'\? "
            r"Categories: person, chair, tv\.$",
        ),
        (["person"], {"label": "sofa"}, r"^`label` is 'sofa', which is not a category of instances\.json\."),
        (["person"], {"label": "person"}, r"^`label` 'person' is one of the concepts\."),
        (["person"], {"label": {"im 7.jpg": 1}}, r"^`label` has no entry for rows 2 \('im 3\.jpg'\), 3 .* of"),
        (["person"], {"values": "areas"}, r"^`values` must be 'presence' or 'counts'; got 'areas'\.$"),
        (["person", "person"], {}, r"^`concepts` names 'person' twice"),
        ("person", {}, r"^`concepts` must be a list of column names; got 'person'\.$"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, concepts: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ConceptTable.from_coco(write(tmp_path), tmp_path, concepts, **options)


def changed(part: str, place: int, **fields: Any) -> dict[str, Any]:
    data = instances()
    data[part][place] = {key: value for key, value in {**data[part][place], **fields}.items() if value is not None}
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], r"^instances\.json has no list 'categories', so it isn't in COCO's instances format\.$"),
        ({"categories": [], "images": {}}, r"^instances\.json has no list 'images'"),
        (changed("images", 1, file_name=None), r"^instances\.json: entry 1 of 'images' has no 'file_name'\.$"),
        (changed("annotations", 2, image_id=None), r"^instances\.json: entry 2 of 'annotations' has no 'image_id'\.$"),
        (changed("annotations", 0, image_id=99), r"^instances\.json: an annotation names the image 99, which the file"),
        (changed("annotations", 0, category_id=99), r"^instances\.json: an annotation names the category 99, which"),
        (changed("images", 1, id=7), r"^instances\.json has the id 7 more than once in 'images'\.$"),
        (changed("categories", 1, name="chair"), r"^instances\.json has two categories 'chair'\. Rename one\.$"),
        (changed("images", 1, file_name="im 7.jpg"), r"^`file_name` of instances\.json has 'im 7\.jpg' in rows 1 and"),
        (changed("images", 1, file_name="../x.jpg"), r"^The file name '\.\./x\.jpg' in row 2 must stay inside"),
        (changed("images", 1, file_name="gone.jpg"), r"^Image .*gone\.jpg doesn't exist\."),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, data=data)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^The annotation file .*gone\.json doesn't exist\. Check the path\.$"):
        read_instances(tmp_path / "gone.json")
    with pytest.raises(UserError, match=r"can't be read: Is a directory\.$"):
        read_instances(tmp_path)
    (tmp_path / "x.json").write_text('{"images": [')
    with pytest.raises(UserError, match=r"x\.json isn't JSON: "):
        read_instances(tmp_path / "x.json")


def test_a_category_never_seen_is_constant(tmp_path: Path) -> None:
    data = instances()
    data["categories"].append({"id": 99, "name": "toaster"})
    with pytest.raises(UserError, match=r"^Concept 'toaster' is constant \(all 0\)"):
        read(tmp_path, "person", "toaster", data=data)


def test_unreadable_photographs_can_be_skipped(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "im 3.jpg").write_bytes(b"")
    table = ConceptTable.from_coco(path, tmp_path, ["person"], label="tv", skip_unreadable=True)
    assert table.skipped == ("im 3.jpg",)
    assert table.row_ids == ("im 7.jpg", "im 5.jpg", "im 9.jpg")
    assert table.masks is not None and table.masks(1).shape == (1, 8, 10)


# real photographs


@pytest.fixture
def coco() -> Path:
    folder = Path(os.environ.get("GENLENS_COCO128", ""))
    if "GENLENS_COCO128" not in os.environ or not (folder / "instances_val2017.json").is_file():
        pytest.skip("GENLENS_COCO128 doesn't name the folder of the COCO photographs")
    return folder


@pytest.mark.parametrize("split", ["val2017", "train2017"])
def test_real_photographs_are_read(coco: Path, split: str) -> None:
    instances_json = coco / f"instances_{split}.json"
    table = ConceptTable.from_coco(instances_json, coco / split, ["chair", "cup", "bottle"], label="person")
    assert table.n_rows == 100 and table.image_paths is not None
    annotations = json.loads(instances_json.read_text())["annotations"]
    with_person = {annotation["image_id"] for annotation in annotations if annotation["category_id"] == 1}
    assert table.labels is not None and table.labels.sum() == len(with_person)
    assert "" in reference_captions(table)
    assert make_plan(table, 0).n_images == 100 * 4
    assert all(load_image(path).shape[2] == 3 for path in table.image_paths[:10])


def test_real_masks_fill_the_annotated_boxes(coco: Path) -> None:
    data = json.loads((coco / "instances_val2017.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    for annotation in data["annotations"]:
        mask = decode_segmentation(annotation["segmentation"], sizes[annotation["image_id"]])
        left, top, width, height = annotation["bbox"]
        if annotation["area"] > 50 and min(width, height) > 20:
            rows, columns = np.nonzero(mask)
            assert rows.min() > top - 2 and rows.max() + 1 < top + height + 2
            assert columns.min() > left - 2 and columns.max() + 1 < left + width + 2
            assert (np.ptp(rows) + 12) * (np.ptp(columns) + 12) > width * height


def test_real_masks_fit_the_photographs(coco: Path) -> None:
    table = ConceptTable.from_coco(coco / "instances_val2017.json", coco / "val2017", ["person", "chair"])
    assert table.masks is not None and table.image_paths is not None
    for row in range(20):
        mask = table.masks(row)
        assert mask.shape[1:] == load_image(table.image_paths[row]).shape[:2]
        assert mask.any(axis=(1, 2)).tolist() == table.presence()[row].tolist()


def test_real_counts(coco: Path) -> None:
    table = ConceptTable.from_coco(
        coco / "instances_val2017.json", coco / "val2017", ["person", "chair"], values="counts"
    )
    person = table.concept("person").values
    assert person.max() > 8
    states = make_plan(table, 0).states[0]
    assert states.strata == ("absent", "present")
    assert states.counts.tolist() == [int((person == 0).sum()), int((person > 0).sum())]
