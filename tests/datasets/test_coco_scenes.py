"""COCO's protocol: what is written from files of the official shape, and one line for every file that isn't."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genlens.concepts import ConceptTable
from genlens.datasets.coco import read_instances
from genlens.datasets.coco_scenes import CONCEPTS, SCENES, read_hierarchy, read_places, write_coco_scenes
from genlens.errors import UserError

OTHERS = ("dog", "pizza")
HIERARCHY = """,Level 1,,,Level 2,,,,,,,
category,indoor,"outdoor, natural","outdoor, man-made","shopping and dining","workplace (office building, factory, lab, etc.)","home or hotel","transportation (vehicle interiors, stations, etc.)","sports and leisure","cultural (art, education, religion, military, law, politics, etc.)","transportation (roads, parking, bridges, boats, airports, etc.)"
'/l/living_room',1,0,0,0,0,1,0,0,0,0
'/r/restaurant',1,0,0,1,0,0,0,0,0,0
'/h/highway',0,0,1,0,0,0,0,0,0,1
"""  # noqa: E501


def write_coco(folder: Path, n: int = 12) -> Path:
    """Files named and shaped as COCO's: the last image of train2017 has no annotation."""
    categories = [{"id": 10 + k, "name": name} for k, name in enumerate((*CONCEPTS, *OTHERS))]
    places = []
    for part, offset in (("train2017", 0), ("val2017", 100)):
        (folder / part).mkdir(parents=True)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for i in range(n):
            name = f"{offset + i:012d}.jpg"
            Image.fromarray(np.full((12, 16, 3), i, dtype=np.uint8)).save(folder / part / name)
            images.append({"id": offset + i, "file_name": name, "width": 16, "height": 12})
            places.append((name, "/l/living_room" if i % 2 else "restaurant"))
            found = [] if part == "train2017" and i == n - 1 else [10, 10, 15] if i % 2 else [11, 25]
            for category in found:
                box = [1, 1, 5, 1, 5, 5, 1, 5]
                annotations.append({"id": len(annotations), "image_id": offset + i, "category_id": category,
                                    "segmentation": [box], "iscrowd": 0})  # fmt: skip
        data = {"images": images, "annotations": annotations, "categories": categories}
        target = folder / "annotations" if part == "val2017" else folder
        target.mkdir(exist_ok=True)
        (target / f"instances_{part}.json").write_text(json.dumps(data))
    with (folder / "places.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", "category"), *places])
    (folder / "hierarchy.csv").write_text(HIERARCHY)
    return folder


def write(folder: Path, out: Path, **options: Any) -> dict[str, int]:
    return write_coco_scenes(out, folder, folder / "places.csv", folder / "hierarchy.csv", **options)


def test_split_rule_and_columns(tmp_path: Path) -> None:
    coco = write_coco(tmp_path / "coco")
    assert write(coco, tmp_path / "out", test_rows=4) == {"train": 7, "val": 12, "test": 4}
    names = {}
    for split in ("train", "val", "test"):
        with (tmp_path / "out" / split / "metadata.csv").open() as file:
            rows = list(csv.DictReader(file))
        names[split] = {row["file_name"] for row in rows}
        for row in rows:
            odd = int(row["file_name"][:-4]) % 2
            assert row["caption"] == ("2 person, 1 couch" if odd else "1 bottle, 1 dog")
            assert row["context"] == ("" if odd else "1 dog")
            assert [int(row[scene]) for scene in SCENES] == ([0, 0, 1, 0, 0, 0] if odd else [1, 0, 0, 0, 0, 0])
            assert (tmp_path / "out" / split / row["file_name"]).resolve().is_file()
    assert not names["train"] & names["test"]
    assert names["val"] == {f"{100 + i:012d}.jpg" for i in range(12)}
    assert f"{11:012d}.jpg" not in names["train"] | names["test"]  # it has no annotation


def test_the_seed_decides_the_test_rows(tmp_path: Path) -> None:
    coco = write_coco(tmp_path / "coco")
    chosen = []
    for number, seed in enumerate((0, 0, 1)):
        write(coco, tmp_path / str(number), test_rows=5, seed=seed)
        chosen.append((tmp_path / str(number) / "test" / "metadata.csv").read_text())
    assert chosen[0] == chosen[1] != chosen[2]


def test_instances_of_a_split_give_its_masks(tmp_path: Path) -> None:
    coco = write_coco(tmp_path / "coco")
    write(coco, tmp_path / "out", test_rows=4)
    folder = tmp_path / "out" / "test"
    assert len(read_instances(folder / "instances.json").images) == 4
    table = ConceptTable.from_coco(folder / "instances.json", folder, ["person", "bottle"], "dog")
    assert table.n_rows == 4
    assert table.masks is not None
    assert [bool(table.masks(row).any()) for row in range(4)] == [True] * 4


def test_both_forms_of_the_hierarchy(tmp_path: Path) -> None:
    official, plain = tmp_path / "official.csv", tmp_path / "plain.csv"
    official.write_text(HIERARCHY)
    plain.write_text("category,scene\nliving_room,home or hotel\nrestaurant,Shopping and dining\nhighway,\n")
    expected = {"living_room": {"home or hotel"}, "restaurant": {"shopping and dining"}, "highway": set()}
    assert read_hierarchy(official) == expected  # the outdoor "transportation" is no scene
    assert read_hierarchy(plain) == expected


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: (c / "places.csv").unlink(), "places.csv doesn't exist"),
        (lambda c: (c / "places.csv").write_text("file,category\na,b\n"), "no column 'file_name'"),
        (lambda c: (c / "places.csv").write_text("file_name,category\na,b\n"), "no category for 000000000000.jpg"),
        (lambda c: (c / "hierarchy.csv").write_text("category,scene\nliving_room,home or hotel\n"), "'restaurant'"),
        (lambda c: (c / "hierarchy.csv").write_text("category,scene\nbar,pub\n"), "'pub' is no scene"),
        (lambda c: (c / "hierarchy.csv").write_text("a,b\n1,2\n"), "has no columns for the scenes"),
        (lambda c: (c / "instances_train2017.json").unlink(), "no instances_train2017.json"),
        (lambda c: (c / "val2017").rename(c / "val"), "no folder val2017"),
        (lambda c: (c / "train2017" / "000000000000.jpg").unlink(), "has no image 000000000000.jpg"),
    ],
)  # fmt: skip
def test_one_line_for_what_is_wrong(tmp_path: Path, spoil: Any, message: str) -> None:
    coco = write_coco(tmp_path / "coco")
    spoil(coco)
    with pytest.raises(UserError, match=message) as caught:
        write(coco, tmp_path / "out", test_rows=4)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_refuses_a_test_without_training_rows_and_a_folder_in_use(tmp_path: Path) -> None:
    coco = write_coco(tmp_path / "coco")
    with pytest.raises(UserError, match="below the 11 annotated images"):
        write(coco, tmp_path / "out", test_rows=11)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(UserError, match="isn't empty"):
        write(coco, tmp_path / "used", test_rows=4)


def test_places_categories_with_and_without_their_letter(tmp_path: Path) -> None:
    path = tmp_path / "places.csv"
    path.write_text("file_name,category\na.jpg,/a/apartment_building/outdoor\nb.jpg,bar\n")
    assert read_places(path) == {"a.jpg": "apartment_building/outdoor", "b.jpg": "bar"}
