"""Captions, pictures and agreement as the template shows them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from genlens.importance.result import Picture
from genlens.reports import view
from genlens.reports.text import ranking_rows


@pytest.mark.parametrize(
    ("without", "caption", "marked"),
    [
        ("red rectangle", "red circle, red rectangle", "red circle"),
        ("green circle", "green circle, red circle", "red circle"),
        ("", "tv", "tv"),
        ("1 person, 1 tv", "12 person, 1 tv", "12"),
        ("Age: 1, Sex: 0", "Age: 1, Sex: 1", "1"),
        ("a, c", "a, b (1, 2) 3, c", "b (1, 2) 3"),
        ("tv", "tv", ""),
    ],
)
def test_marked_caption_is_what_the_other_lacks(without: str, caption: str, marked: str) -> None:
    found = view.marked_caption(without, caption)
    assert found.marked == marked
    assert found.before + found.marked + found.after == caption


def encoded(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((side, 2 * side, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_small_pictures_stay_png_and_large_ones_shrink() -> None:
    uri, width, height = view.picture_uri(encoded(32))
    assert uri.startswith("data:image/png;base64,") and (width, height) == (64, 32)
    uri, width, height = view.picture_uri(encoded(512))
    assert uri.startswith("data:image/jpeg;base64,") and (width, height) == (320, 160)


def test_gallery_follows_the_ranking_and_pairs_rows(invent) -> None:
    result = invent()
    parts = view.gallery_parts(result.gallery, ranking_rows(result))
    assert [part["rank"] for part in parts] == [1, 2, 3, 4, 5, 6]
    for part in parts:
        assert len(part["rows"]) == 4
        for row in part["rows"]:
            assert [picture["state"] for picture in row["pictures"]] == ["off", "on"]
            assert row["caption"].marked.startswith(part["concept"])


@pytest.mark.parametrize(("states", "shown"), [(("1", "0"), ["off", "on"]), (("tv", ""), ["absent", "tv"])])
def test_bare_values_get_a_name(states: tuple[str, str], shown: list[str]) -> None:
    pictures = [Picture("tv", "7", state, state, 0.5, encoded(8)) for state in states]
    row = view.gallery_parts(pictures, [])[0]["rows"][0]
    assert [picture["state"] for picture in row["pictures"]] == shown
    assert row["change"] == f"score .00 when {shown[1]}"


def test_three_states_have_no_single_change() -> None:
    pictures = [Picture("chairs", "7", state, state, 0.5, encoded(8)) for state in ("absent", "2 chair", "5 chair")]
    row = view.gallery_parts(pictures, [])[0]["rows"][0]
    assert row["change"] == ""
    assert len(row["pictures"]) == 3


def test_agreement_with_true_weights(invent) -> None:
    result = invent()
    truth = dict(zip(result.concepts, result.reliance.tolist(), strict=True))
    told = invent(settings={"true_reliance": truth})
    assert "(Spearman) of importance 1.00" in view.agreement(ranking_rows(told))
    assert "score reliance 1.000" in view.agreement(ranking_rows(told))
    assert view.agreement(ranking_rows(result)) == ""
    constant = invent(settings={"true_reliance": dict.fromkeys(result.concepts, 1.0)})
    assert view.agreement(ranking_rows(constant)) == ""
