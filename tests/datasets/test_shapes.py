"""The shapes data set: layouts, captions, drawings, files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genlens.datasets import shapes
from genlens.errors import UserError


def test_six_slots_of_a_row_never_overlap_and_stay_inside() -> None:
    slots = shapes.sample_slots(3000, 4)
    drawn = shapes.masks(np.ones((3000, 6), dtype=int), slots)
    assert drawn.sum(axis=1).max() == 1
    half = shapes.half_extents(slots.params)
    assert (slots.params[..., :2] - half).min() >= 0
    assert (slots.params[..., :2] + half).max() <= shapes.IMAGE_SIZE


def test_row_depends_only_on_seed_and_its_number() -> None:
    assert np.array_equal(shapes.sample_slots(50, 9).params[:7], shapes.sample_slots(7, 9).params)
    assert np.array_equal(shapes.sample_presence(50, 9)[:7], shapes.sample_presence(7, 9))
    assert not np.array_equal(shapes.sample_slots(7, 9).params, shapes.sample_slots(7, 10).params)


def test_presence_has_the_probability_asked_for_and_is_independent_of_slots() -> None:
    presence = shapes.sample_presence(20_000, 1, p=0.3)
    assert presence.mean(axis=0) == pytest.approx(0.3, abs=0.015)
    assert np.abs(np.corrcoef(presence.T) - np.eye(6)).max() < 0.03
    places = shapes.sample_slots(20_000, 1).params[:, :, 0]
    assert np.abs(np.corrcoef(presence.T, places.T)[:6, 6:]).max() < 0.03


@pytest.mark.parametrize("size", [8, 64, 96])
def test_drawing_has_the_area_and_the_colour_of_its_shape(size: int) -> None:
    slots = np.zeros((1, 6, 4))
    slots[0, 0], slots[0, 5] = (20, 20, 8, 0), (44, 40, 12, 17)
    scale = (size / 64) ** 2
    for concept, area in ((0, np.pi * 64), (5, 12 * 17)):
        presence = np.eye(6, dtype=int)[[concept]]
        image = shapes.draw(presence, slots, size)[0].astype(float)
        paper, ink = np.array(shapes.BACKGROUND), np.array(shapes.COLOURS[shapes.CONCEPTS[concept].split()[0]])
        covered = ((image - paper) @ (ink - paper) / ((ink - paper) @ (ink - paper))).sum()
        assert covered == pytest.approx(area * scale, rel=0.05, abs=0.6)


def test_drawing_nothing_gives_plain_background() -> None:
    image = shapes.draw(np.zeros((1, 6), dtype=int), shapes.sample_slots(1, 0))
    assert image.shape == (1, 64, 64, 3)
    assert image.dtype == np.uint8
    assert np.unique(image.reshape(-1, 3), axis=0).tolist() == [list(shapes.BACKGROUND)]


def test_later_concepts_hide_earlier_ones() -> None:
    slots = np.tile([32, 32, 10, 10], (1, 6, 1))
    image = shapes.draw(np.ones((1, 6), dtype=int), slots)
    assert image[0, 32, 32].tolist() == list(shapes.COLOURS["blue"])


def test_segments_read_as_in_the_paper() -> None:
    assert shapes.segment(0, (12, 40, 9, 0)) == "red circle (12, 40) 9"
    assert shapes.segment(3, (12, 40, 14, 10)) == "red rectangle (12, 40) 14 10"
    assert shapes.presence_caption([1, 0, 0, 0, 0, 1]) == "red circle, blue rectangle"
    assert shapes.presence_caption([0] * 6) == shapes.segment_caption([0] * 6, np.zeros((6, 4))) == ""


def test_parsing_inverts_both_templates() -> None:
    presence, slots = shapes.sample_presence(40, 2), shapes.sample_slots(40, 2).params
    for row, params in zip(presence, slots, strict=True):
        shown = np.flatnonzero(row)
        found = shapes.parse_caption(shapes.segment_caption(row, params))
        assert found == [(int(j), tuple(params[j].tolist())) for j in shown]
        assert shapes.parse_caption(shapes.presence_caption(row)) == [(int(j), None) for j in shown]


@pytest.mark.parametrize(
    ("caption", "found"),
    [
        ("2 person, 1 couch", []),
        ("a RED  Circle and 1 couch", [(0, None)]),
        ("blue rectangle (3, 4) 5", [(5, None)]),
        ("green circle ( 3,4 )  5", [(1, (3, 4, 5, 0))]),
        ("infrared circle, red circles", []),
    ],
)
def test_parsing_ignores_other_text(caption: str, found: list[object]) -> None:
    assert shapes.parse_caption(caption) == found


def test_drawing_a_segment_caption_equals_drawing_its_row() -> None:
    presence, slots = shapes.sample_presence(5, 3), shapes.sample_slots(5, 3)
    for row, params, image in zip(presence, slots.params, shapes.draw(presence, slots), strict=True):
        assert np.array_equal(shapes.draw_caption(shapes.segment_caption(row, params), seed=99), image)


def test_flip_in_a_presence_caption_moves_nothing_else() -> None:
    everything = shapes.draw_caption(", ".join(shapes.CONCEPTS), seed=5)
    for j, slot in enumerate(shapes.sample_slots(1, 5).params[0]):
        without = shapes.draw_caption(", ".join(c for c in shapes.CONCEPTS if c != shapes.CONCEPTS[j]), seed=5)
        changed = np.argwhere((everything != without).any(axis=-1))
        reach = shapes.half_extents(np.tile(slot, (6, 1)))[j].max() + 1
        assert len(changed)
        assert np.abs(changed[:, ::-1] + 0.5 - slot[:2]).max() <= reach


def test_imagefolder_is_complete_and_repeats(tmp_path: Path) -> None:
    for name in ("a", "b"):
        shapes.write_imagefolder(tmp_path / name, 12, 6)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 12 * 2 + 1
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    presence, slots = shapes.sample_presence(12, 6), shapes.sample_slots(12, 6)
    with (tmp_path / "a" / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for i, row in enumerate(rows):
        image = np.asarray(Image.open(tmp_path / "a" / row["file_name"]))
        assert np.array_equal(image, shapes.draw(presence, slots)[i])
        mask = shapes.read_masks(tmp_path / "a" / "masks" / f"{i:06d}.png")
        assert np.array_equal(mask, shapes.masks(presence, slots)[i])
        assert [int(row[c]) for c in shapes.CONCEPTS] == presence[i].tolist()
        assert [row[f"{c} slot"] for c in shapes.CONCEPTS] == [shapes.segment(j, slots.params[i, j]) for j in range(6)]
        assert row["caption"] == shapes.segment_caption(presence[i], slots.params[i])
        assert int(row["label"]) == shapes.task_labels(presence)[i]


def test_labels_split_rows_at_the_median() -> None:
    labels = shapes.task_labels(shapes.sample_presence(2000, 0))
    assert labels.mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shapes.sample_slots(0, 0), "`n` must be an integer >= 1; got 0."),
        (lambda: shapes.sample_presence(5, -1), "`seed` must be an integer >= 0; got -1."),
        (lambda: shapes.sample_presence(5, 0, 1.5), "`p` must be a probability in [0, 1]; got 1.5."),
        (lambda: shapes.segment(6, (1, 2, 3, 0)), "`concept_index` must be an integer in 0..5; got 6."),
        (lambda: shapes.draw([[1] * 6], np.zeros((1, 5, 4))), "`slots` must have the shape (N, 6, 4); got (1, 5, 4)."),
        (lambda: shapes.draw([[1] * 5], np.zeros((1, 6, 4))), "`presence` must have the shape (1, 6) of its slots"),
        (lambda: shapes.parse_caption(None), "`caption` must be a string; got None."),  # type: ignore[arg-type]
    ],
)
def test_bad_input_says_what_is_wrong(call: object, message: str) -> None:
    with pytest.raises(UserError) as caught:
        call()  # type: ignore[operator]
    assert str(caught.value).startswith(message)


def test_existing_data_set_is_not_overwritten(tmp_path: Path) -> None:
    shapes.write_imagefolder(tmp_path, 2, 0)
    with pytest.raises(UserError, match=r"must not hold a data set yet.*Choose another folder"):
        shapes.write_imagefolder(tmp_path, 2, 0)
