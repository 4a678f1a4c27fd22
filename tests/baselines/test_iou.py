"""Thresholds, overlaps and rankings by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genlens.baselines.iou import (
    as_threshold,
    fraction_of_max,
    iou,
    otsu,
    rank_maps,
    read_masks,
    require_masks,
    top_fraction,
    top_values,
)
from genlens.concepts import ConceptTable
from genlens.errors import UserError


def test_iou_by_hand() -> None:
    first = np.zeros((4, 4), dtype=bool)
    second = np.zeros((4, 4), dtype=bool)
    first[:2] = True  # 8 pixels
    second[1:3] = True  # 8 pixels, 4 shared
    assert iou(first, second) == pytest.approx(4 / 12)
    assert iou(first, first) == 1.0
    assert iou(first, ~first) == 0.0
    assert iou(np.zeros((4, 4)), np.zeros((4, 4))) == 0.0


def test_iou_broadcasts_maps_against_masks() -> None:
    maps = np.random.default_rng(0).random((3, 5, 6)) > 0.5
    masks = np.random.default_rng(1).random((2, 5, 6)) > 0.5
    found = iou(maps[:, None], masks[None])
    assert found.shape == (3, 2)
    assert found[2, 1] == iou(maps[2], masks[1])


def test_masks_of_different_size_are_refused() -> None:
    with pytest.raises(UserError, match=r"Masks must have the same height and width; got \(4, 4\) and \(4, 5\)"):
        iou(np.zeros((4, 4)), np.zeros((4, 5)))


MAP = np.array([[0.0, 1.0, 2.0], [3.0, 10.0, 9.0]])


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (fraction_of_max(0.15), [[0, 0, 1], [1, 1, 1]]),
        (fraction_of_max(0.9), [[0, 0, 0], [0, 1, 0]]),
        (fraction_of_max(0.0), [[0, 1, 1], [1, 1, 1]]),
        (top_fraction(1 / 3), [[0, 0, 0], [0, 1, 1]]),
        (top_fraction(1.0), [[0, 1, 1], [1, 1, 1]]),
        (top_values(3), [[0, 0, 0], [1, 1, 1]]),
    ],
)
def test_thresholds_by_hand(threshold, expected) -> None:
    assert threshold(MAP).astype(int).tolist() == expected


def test_otsu_parts_two_modes() -> None:
    rng = np.random.default_rng(0)
    bright = rng.random((20, 20)) < 0.3
    assert iou(otsu()(np.where(bright, 8.0, 1.0) + rng.normal(size=(20, 20)) / 4), bright) > 0.95


@pytest.mark.parametrize("threshold", [fraction_of_max(0.15), top_fraction(0.5), top_values(5), otsu()])
def test_a_map_without_positive_values_marks_nothing(threshold) -> None:
    assert not threshold(np.zeros((3, 3))).any()
    assert not threshold(-MAP).any()


def test_superpixels_of_one_weight_are_taken_together() -> None:
    values = np.array([[5.0, 5.0], [4.0, -9.0]])
    assert top_values(1)(values).tolist() == [[True, True], [False, False]]
    assert top_values(5)(values).tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("text", ["max:0.15", "top:0.5", "values:2", "otsu"])
def test_thresholds_have_text_forms(text: str) -> None:
    by_hand = {"max:0.15": fraction_of_max(0.15), "top:0.5": top_fraction(0.5), "values:2": top_values(2)}
    assert np.array_equal(as_threshold(text)(MAP), by_hand.get(text, otsu())(MAP))


def test_a_threshold_may_be_a_function() -> None:
    assert as_threshold(np.isfinite) is np.isfinite


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("half", "must be 'max:FRACTION', 'top:FRACTION', 'values:COUNT', 'otsu' or a function; got 'half'"),
        ("max:much", "`threshold` must be 'max:FRACTION'"),
        ("max:1", r"`fraction` of the maximum must be in \[0, 1\); got 1.0"),
        ("top:0", r"`fraction` of pixels must be in \(0, 1\]; got 0.0"),
        ("values:0", r"`count` must be an integer >= 1; got 0\."),
    ],
)
def test_bad_thresholds(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        as_threshold(text)


def test_a_ranking_averages_over_the_images_that_have_the_concept(squares: ConceptTable) -> None:
    masks = [squares.masks(row) for row in range(8)]
    left = np.zeros((1, 32, 32))
    left[:, :, :16] = 1.0  # 512 pixels; the red square is 256 of them, the blue one none
    result = rank_maps("fixed", squares, [(left, mask) for mask in masks], "max:0.5", {"a": 1})
    assert result.importance == pytest.approx(np.array([[0.5, 0.0]]))
    assert np.isnan(result.per_image[0]).all()  # the row without squares
    assert result.settings == {"a": 1, "threshold": "max:0.5"}
    frame = result.ranking()
    assert list(frame.columns) == ["concept", "importance", "std", "n_images", "rank"]
    assert frame["concept"].tolist() == ["red", "blue"]
    assert frame["n_images"].tolist() == [4, 4]
    assert frame["rank"].tolist() == [1, 2]


def test_a_table_without_masks_is_refused(squares: ConceptTable) -> None:
    with pytest.raises(UserError, match="LIME needs the pixels of concepts, and this table has no masks"):
        require_masks(replace(squares, masks=None), "LIME")


def test_a_table_without_images_is_refused(squares: ConceptTable) -> None:
    with pytest.raises(UserError, match="LIME needs real images, and this table has none"):
        require_masks(replace(squares, image_paths=None), "LIME")


def test_masks_of_the_wrong_size_are_refused(squares: ConceptTable) -> None:
    message = r"The masks of row 'row 3' must have the shape \(2, 64, 64\) .* got \(2, 32, 32\)"
    with pytest.raises(UserError, match=message):
        read_masks(squares, 3, (64, 64))
