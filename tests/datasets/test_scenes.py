"""Scenes: drawing, sampling, captions, labels, files; all on fake photographs but the last test."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genlens.concepts import ConceptTable
from genlens.datasets import idx, scenes, scenes_drawing, scenes_files
from genlens.datasets.coco import read_instances
from genlens.datasets.idx import Photos, load_photos
from genlens.datasets.scenes import CONCEPTS, Item, Scene
from genlens.datasets.scenes_captions import Asked, parse_caption
from genlens.datasets.scenes_labels import LABELS, label_chances, scene_labels
from genlens.datasets.scenes_layout import layout_places
from genlens.errors import UserError
from genlens.generators.scenes_drawer import ScenesDrawer


@pytest.fixture(scope="module")
def photos(fashion_folder: Path) -> Photos:
    return load_photos("train", fashion_folder)


@pytest.fixture(scope="module")
def many(photos: Photos) -> list[Scene]:
    return scenes.sample_scenes(1500, 3, photos)


def test_a_row_depends_on_split_seed_and_its_number_alone(photos: Photos, many: list[Scene]) -> None:
    assert scenes.sample_scenes(4, 3, photos, first=7) == many[7:11]
    assert scenes.sample_scenes(4, 4, photos, first=7) != many[7:11]
    assert scenes.sample_scenes(4, 3, photos, "val", first=7) != many[7:11]


def test_scenes_have_what_they_promise(photos: Photos, many: list[Scene]) -> None:
    counts = np.stack([scene.counts() for scene in many])
    totals = counts.sum(axis=1)
    assert totals.min() >= 1
    assert totals.max() <= scenes.MOST_ITEMS
    assert counts.max() == 3
    assert (counts > 0).mean(axis=0) == pytest.approx(0.30, abs=0.05)
    assert {scene.kind for scene in many} == set(scenes_drawing.KINDS)
    assert {scene.colour for scene in many} == set(scenes_drawing.COLOURS)
    assert np.mean([scene.frame for scene in many]) == pytest.approx(scenes.FRAME_SHARE, abs=0.04)
    items = [item for scene in many for item in scene.items]
    assert all(photos.labels[item.photo] == item.concept for item in items)
    assert min(item.side for item in items) >= 11
    assert max(item.side for item in items) <= 26


def test_items_lie_inside_and_hide_little_of_one_another(photos: Photos, many: list[Scene]) -> None:
    hidden = 0
    for scene in many[:300]:
        stamps = scenes_drawing.stamps_of(photos.images[[item.photo for item in scene.items]])
        extents = scenes_drawing.tight_boxes(stamps)
        places = np.array([(item.x, item.y, item.side) for item in scene.items])
        boxes = np.concatenate([places[:, :2] + extents[:, :2] * places[:, 2:],
                                places[:, :2] + extents[:, 2:] * places[:, 2:]], axis=1)  # fmt: skip
        assert boxes.min() >= -0.05
        assert boxes.max() <= 64.05
        for i, box in enumerate(boxes):
            for other in boxes[:i]:
                shared = np.prod(np.maximum(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0))
                smaller = min(np.prod(b[2:] - b[:2]) for b in (box, other))
                hidden += shared / smaller > scenes.MOST_OVERLAP + 0.02
    assert hidden <= 3


CHANGES: list[tuple[str, Callable[[Scene], Scene]]] = [
    ("an item out", lambda scene: replace(scene, items=scene.items[1:])),
    ("a class out", lambda scene: scene.without(scene.items[0].concept)),
    ("the frame", lambda scene: replace(scene, frame=not scene.frame)),
    ("the background", lambda scene: replace(scene, kind="checked", colour="red")),
]


@pytest.mark.parametrize("change", [change for _, change in CHANGES], ids=[name for name, _ in CHANGES])
def test_a_change_leaves_everything_else_to_the_pixel(
    photos: Photos, many: list[Scene], change: Callable[[Scene], Scene]
) -> None:
    for scene in many[:60]:
        other = change(scene)
        before, after = scenes.draw([scene, other], photos)
        changed = (before != after).any(axis=-1)
        out = [item for item in scene.items if item not in other.items]
        reach = np.zeros((64, 64), dtype=bool)
        for item in out:  # the square of the photograph, and the pixels it touches
            left, top = int(item.x - item.side / 2) - 1, int(item.y - item.side / 2) - 1
            size = int(item.side) + 3
            reach[max(top, 0) : top + size, max(left, 0) : left + size] = True
        if other.frame != scene.frame:
            reach[:] = True
            reach[3:-3, 3:-3] = False
        if other.kind != scene.kind or other.colour != scene.colour:
            stamps = scenes_drawing.stamps_of(photos.images[[item.photo for item in scene.items]])
            places = np.array([(item.x, item.y, item.side) for item in scene.items], dtype=np.float32)
            reach[:] = (scenes_drawing.placed(stamps, places)[:, 1] <= 0.9999).all(axis=0)
            assert not reach.all()
        assert not (changed & ~reach).any()


def test_drawing_keeps_the_light_of_a_photograph(photos: Photos) -> None:
    for side, x in ((14.0, 20.3), (21.5, 31.0), (26.0, 40.77)):
        stamp = scenes_drawing.stamps_of(photos.images[:1])
        drawn = scenes_drawing.placed(stamp, np.array([[x, 30.2, side]], dtype=np.float32))
        assert drawn[0].sum(axis=(1, 2)) == pytest.approx(stamp[0].sum(axis=(1, 2)) * (side / 28) ** 2, rel=1e-3)
        assert drawn.max() <= 1 + 1e-6


def test_backgrounds_differ_in_kind_and_colour_and_frames_are_white() -> None:
    kinds, colours = (values.ravel() for values in np.meshgrid(np.arange(5), np.arange(5)))
    pictures = scenes_drawing.backgrounds(kinds, colours, np.zeros((25, 2), dtype=int), np.zeros(25, dtype=bool))
    flat = pictures.reshape(25, -1)
    apart = np.abs(flat[:, None] - flat[None]).mean(axis=2) + 99 * np.eye(25)
    assert apart.min() > 5
    framed = scenes_drawing.backgrounds(kinds, colours, np.zeros((25, 2), dtype=int), np.ones(25, dtype=bool))
    assert (framed[:, :3] == 240).all()
    assert (framed[:, 3:-3, 3:-3] == pictures[:, 3:-3, 3:-3]).all()


def test_pattern_moves_with_its_phase() -> None:
    kinds = np.array([2, 3, 4])
    zero, moved = (
        scenes_drawing.backgrounds(kinds, np.zeros(3, dtype=int), np.tile(phase, (3, 1)), [False] * 3)
        for phase in ((0, 0), (3, 2))
    )
    assert np.array_equal(zero[:, :40, :40], moved[:, 2:42, 3:43])


def test_masks_are_disjoint_and_of_the_right_class(photos: Photos) -> None:
    lower, upper = Item(0, int(photos.of(0)[0]), 30, 30, 22), Item(3, int(photos.of(3)[0]), 36, 34, 20)
    scene = Scene((lower, upper))
    found = scenes.item_masks(scene, photos)
    assert found.shape == (2, 64, 64)
    assert not (found[0] & found[1]).any()
    assert np.array_equal(found[1], scenes.item_masks(Scene((upper,)), photos)[0])
    classes = scenes.masks([scene, Scene()], photos)
    assert np.array_equal(classes[0, [0, 3]], found)
    assert classes.sum() == found.sum()


def test_mistakes_in_a_scene_are_refused(photos: Photos) -> None:
    with pytest.raises(UserError, match="`kind` must be one of plain, gradient"):
        Scene(kind="tartan")
    with pytest.raises(UserError, match="`colour` must be one of grey, red"):
        Scene(colour="mauve")
    with pytest.raises(UserError, match="`photo` must be in"):
        scenes.draw([Scene((Item(0, 9999, 30, 30, 20),))], photos)
    with pytest.raises(UserError, match="`split` must be one of"):
        scenes.sample_scenes(1, 0, photos, "dev")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="`style` must be one of default, full"):
        Scene().caption("short")  # type: ignore[arg-type]


def test_captions_in_both_styles(photos: Photos) -> None:
    sneaker, bag = (Item(CONCEPTS.index(name), 0, 9, 9, 20) for name in ("sneaker", "bag"))
    scene = Scene((bag, sneaker, sneaker), "striped", "blue", frame=True)
    assert scene.caption() == "2 sneaker, 1 bag"
    assert scene.caption("full") == "2 sneaker, 1 bag, striped blue background, frame"
    assert Scene().caption() == ""
    assert Scene().caption("full") == "plain grey background"
    assert scene.without(CONCEPTS.index("sneaker")).caption() == "1 bag"


@pytest.mark.parametrize(
    ("caption", "asked"),
    [
        ("", Asked((0,) * 10)),
        ("2 sneaker, 1 bag", Asked((0, 0, 0, 0, 0, 0, 0, 2, 1, 0))),
        ("Boot, striped blue background, frame", Asked((0,) * 9 + (1,), "striped", "blue", True)),
        ("9 coat, red background", Asked((0, 0, 0, 0, 3, 0, 0, 0, 0, 0), None, "red")),
        ("2 person, a shirt on 3 chairs, 0 frame", Asked((0, 0, 0, 0, 0, 0, 1, 0, 0, 0))),
    ],
)
def test_captions_are_read_back(caption: str, asked: Asked) -> None:
    assert parse_caption(caption) == asked


def test_every_full_caption_says_its_scene(many: list[Scene]) -> None:
    for scene in many[:200]:
        asked = Asked(tuple(scene.counts().tolist()), scene.kind, scene.colour, scene.frame)
        assert parse_caption(scene.caption("full")) == asked
        assert parse_caption(scene.caption()).counts == asked.counts
    with pytest.raises(UserError, match="`caption` must be a string"):
        parse_caption(7)  # type: ignore[arg-type]


def test_labels_follow_the_documented_chances() -> None:
    counts = np.zeros((20_000, 10), dtype=np.int64)
    counts[:, CONCEPTS.index("sneaker")] = 2
    counts[:, CONCEPTS.index("coat")] = 1
    chances = label_chances(counts[:1])
    assert chances["sport"] == pytest.approx(1 / (1 + np.exp(-(-1.1 + 2.6 - 0.8))))
    labels = scene_labels(counts, 5)
    assert list(labels) == list(LABELS)
    for name, values in labels.items():
        assert values.mean() == pytest.approx(chances[name][0], abs=0.02)
    assert np.array_equal(scene_labels(counts[:5], 5, first=3)["travel"], labels["travel"][3:8])


def test_labels_are_balanced_and_rest_on_several_classes(many: list[Scene]) -> None:
    counts = np.stack([scene.counts() for scene in many])
    for name, values in scene_labels(counts, 3).items():
        assert 0.3 < values.mean() < 0.7
        assert len(LABELS[name][1]) >= 4


def test_first_copies_lie_apart_wherever_the_ring_is() -> None:
    places = layout_places(np.random.default_rng(0).standard_normal((500, 5)))
    assert places.shape == (500, 10, 3, 3)
    first = places[:, :, 0, :2]
    apart = np.linalg.norm(first[:, :, None] - first[:, None], axis=-1) + 99 * np.eye(10)
    assert apart.min() > 12
    assert places[..., :2].min() > 7
    assert places[..., :2].max() < 57


def test_drawer_draws_the_caption_and_a_flip_moves_nothing_else(photos: Photos) -> None:
    drawer = ScenesDrawer(photos)
    for seed in range(20):
        full = drawer.scene("1 tshirt, 2 sneaker, 3 bag, dotted red background, frame", seed)
        assert full.caption("full") == "1 tshirt, 2 sneaker, 3 bag, dotted red background, frame"
        less = drawer.scene("1 tshirt, 2 sneaker, dotted red background, frame", seed)
        assert less == full.without(CONCEPTS.index("bag"))
        fewer = drawer.scene("1 tshirt, 1 sneaker, 3 bag, dotted red background, frame", seed)
        assert set(fewer.items) < set(full.items)
        plain, named = drawer.scene("1 tshirt", seed), drawer.scene("1 tshirt, checked background", seed)
        assert (plain.items, plain.colour, named.kind) == (named.items, named.colour, "checked")
    images = drawer.generate(["1 bag", "1 bag", ""], [1, 2, 1])
    assert images.shape == (3, 64, 64, 3)
    assert not np.array_equal(images[0], images[1])
    assert np.array_equal(images[:1], drawer.generate(["1 bag"], [1]))


def test_drawers_of_other_photographs_have_other_fingerprints(fashion_folder: Path) -> None:
    drawers = [ScenesDrawer(split=split, folder=fashion_folder) for split in ("val", "test", "test")]
    assert drawers[0].fingerprint != drawers[1].fingerprint == drawers[2].fingerprint
    drawers[0].check_captions(["anything " * 1000])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, fashion_folder: Path) -> Path:
    out = tmp_path_factory.mktemp("scenes") / "out"
    scenes_files.write_scenes(out, 40, "test", 3, fashion_folder)
    return out


def test_files_hold_the_scenes(written: Path, fashion_folder: Path) -> None:
    photos = load_photos("test", fashion_folder)
    found = scenes_files.read_scenes(written)
    assert found == scenes.sample_scenes(40, 3, photos, "test")
    with (written / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    counts = np.array([[int(row[name]) for name in CONCEPTS] for row in rows])
    assert np.array_equal(counts, np.stack([scene.counts() for scene in found]))
    for label, values in scene_labels(counts, 3, "test").items():
        assert [int(row[label]) for row in rows] == values.tolist()
    for row, scene, picture in zip(rows, found, scenes.draw(found, photos), strict=True):
        assert np.array_equal(np.asarray(Image.open(written / row["file_name"])), picture)
        assert (row["caption"], row["full_caption"]) == (scene.caption(), scene.caption("full"))
        assert ", ".join((row["caption"], row["context"])) == row["full_caption"]
        assert (row["background"], row["colour"], row["frame"]) == (scene.kind, scene.colour, str(int(scene.frame)))


def test_coco_annotations_give_back_counts_and_masks(written: Path, fashion_folder: Path) -> None:
    instances = read_instances(written / "instances_test.json")
    found, photos = scenes_files.read_scenes(written), load_photos("test", fashion_folder)
    assert instances.categories == CONCEPTS
    assert np.array_equal(instances.counts()[list(CONCEPTS)], np.stack([scene.counts() for scene in found]))
    drawn = scenes.masks(found, photos)
    for row in range(len(found)):
        assert np.array_equal(instances.masks(row, CONCEPTS), drawn[row])
    for annotation in json.loads((written / "instances_test.json").read_text())["annotations"]:
        left, top, width, height = annotation["bbox"]
        assert 0 < annotation["area"] <= width * height
        assert 0 <= left < left + width <= 64
        assert 0 <= top < top + height <= 64


def test_folder_is_a_table_with_full_captions(written: Path) -> None:
    counts = dict.fromkeys(CONCEPTS, "count")
    table = ConceptTable.from_metadata(written, CONCEPTS, "sport", context="context", kinds=counts)  # type: ignore[arg-type]
    with (written / "metadata.csv").open(encoding="utf-8") as file:
        wanted = [row["full_caption"] for row in csv.DictReader(file)]
    assert [table.caption_template(table, row) for row in range(40)] == wanted
    coco = ConceptTable.from_coco(written / "instances_test.json", written, CONCEPTS, values="counts")
    assert coco.caption_template(coco, 5) == scenes_files.read_scenes(written)[5].caption()


def test_run_lengths_by_hand() -> None:
    mask = np.array([[1, 0], [1, 0], [0, 1]], dtype=bool)
    assert scenes_files.run_lengths(mask) == [0, 2, 3, 1]
    assert scenes_files.run_lengths(np.zeros((2, 2), dtype=bool)) == [4]


def test_mistakes_in_files_are_told_in_a_line(written: Path, tmp_path: Path, fashion_folder: Path) -> None:
    with pytest.raises(UserError, match="`out` must not hold a data set yet"):
        scenes_files.write_scenes(written, 2, "test", 0, fashion_folder)
    with pytest.raises(UserError, match=r"scenes\.jsonl doesn't exist"):
        scenes_files.read_scenes(tmp_path)
    for text in ("{", '{"items": []}x', '{"items": [{"concept": 1}]}', '{"itens": []}', "3"):
        (tmp_path / "scenes.jsonl").write_text(text + "\n")
        with pytest.raises(UserError, match=r"can't be read.*Write the scenes again"):
            scenes_files.read_scenes(tmp_path)


def test_scenes_of_the_real_photographs() -> None:
    if not idx.SYSTEM_FOLDER.is_dir():
        pytest.skip(f"Debian's package dataset-fashion-mnist isn't installed ({idx.SYSTEM_FOLDER} is missing)")
    photos = load_photos("test", idx.SYSTEM_FOLDER)
    found = scenes.sample_scenes(50, 0, photos, "test")
    seen = scenes.masks(found, photos)
    there = np.stack([scene.counts() for scene in found]) > 0
    assert (seen.sum(axis=(2, 3)) > 0).mean() == pytest.approx(there.mean(), abs=0.005)
    pictures = scenes.draw(found, photos)
    rows = [(p, m) for s, m, p in zip(found, np.asarray(seen.any(axis=1)), pictures, strict=True) if not s.frame]
    lighter = [picture[mask].mean() - picture[~mask].mean() for picture, mask in rows]
    assert min(lighter) > 15  # things are lighter than backgrounds


def test_a_page_has_one_of_each_class_in_its_own_place(fashion_folder: Path) -> None:
    photos = load_photos("test", fashion_folder)
    for scene in scenes.sample_scenes(30, 4, photos, "test"):
        page = scenes.on_page(scene)
        assert np.array_equal(page.counts(), np.minimum(scene.counts(), 1))
        assert (page.kind, page.colour, page.phase, page.frame) == (scene.kind, scene.colour, scene.phase, scene.frame)
        for item in page.items:
            assert (item.x, item.y) == scenes.PAGE_PLACES[item.concept] and item.side <= scenes.PAGE_SIDE
            assert item.photo == next(other.photo for other in scene.items if other.concept == item.concept)
        assert scenes.on_page(page) == page


def test_things_on_a_page_hide_nothing_of_one_another(fashion_folder: Path) -> None:
    photos = load_photos("test", fashion_folder)
    every = scenes.Scene(tuple(scenes.Item(concept, int(photos.of(concept)[0]), 0, 0, 26) for concept in range(10)))
    page = scenes.on_page(every)
    alone = [scenes.item_masks(scenes.Scene((item,)), photos)[0].sum() for item in page.items]
    assert np.mean(scenes.item_masks(page, photos).sum(axis=(1, 2)) / alone) > 0.97


def test_pages_on_disk(tmp_path: Path, fashion_folder: Path) -> None:
    scenes_files.write_scenes(tmp_path / "a", 3, "test", 3, fashion_folder, "page")
    found = scenes.sample_scenes(3, 3, load_photos("test", fashion_folder), "test")
    wanted = [scenes.on_page(scene) for scene in found]
    assert scenes_files.read_scenes(tmp_path / "a") == wanted
    with pytest.raises(UserError, match="`layout` must be one of anywhere, page; got 'ring'"):
        scenes_files.write_scenes(tmp_path / "b", 3, "test", 3, fashion_folder, "ring")  # type: ignore[arg-type]
    assert not (tmp_path / "b").exists()
