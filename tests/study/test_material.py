"""Pictures and texts of a study, and what is refused."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genlens.errors import UserError
from genlens.study.material import picture_uri, read_material


def test_items_methods_and_a_seeded_choice(images: Path) -> None:
    material = read_material(images, ["softprompt", "pixelmax"], 2, seed=3)
    assert [item.name for item in material.items] == ["class 0", "class 1", "feature 9"]
    assert material.items[0].answer == "stripes" and material.items[2].options == ()
    assert all(len(paths) == 2 for paths in material.paths.values())
    assert material == read_material(images, ["softprompt", "pixelmax"], 2, seed=3)


def test_a_folder_without_texts(images: Path) -> None:
    (images / "items.json").unlink()
    assert [item.label for item in read_material(images, ["softprompt", "pixelmax"]
                                                 , 1).items] == ["class 0", "class 1", "feature 9"]  # fmt: skip


def test_what_a_file_says_beside_its_pixels_stays_behind(images: Path) -> None:
    path = images / "class 0" / "pixelmax" / "pixelmax-0.png"
    assert b"pixelmax" in path.read_bytes()
    data = base64.b64decode(picture_uri(path, 192).split(",")[1])
    assert b"pixelmax" not in data
    with Image.open(path) as old, Image.open(io.BytesIO(data)) as new:
        assert (np.asarray(old) == np.asarray(new)).all()


def test_long_pictures_are_scaled_down(images: Path) -> None:
    data = base64.b64decode(picture_uri(images / "class 0" / "pixelmax" / "pixelmax-0.png", 8).split(",")[1])
    with Image.open(io.BytesIO(data)) as new:
        assert new.size == (8, 8)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["softprompt"], "two different methods or more; got softprompt"),
        (["softprompt", "softprompt"], "two different methods"),
        (["softprompt", "other"], "other must hold at least 3 pictures .* got 0"),
    ],
)
def test_methods_that_are_not_there(images: Path, methods: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_material(images, methods, 3)


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a folder"):
        read_material(tmp_path / "nothing", ["a", "b"])
    with pytest.raises(UserError, match="has no items"):
        read_material(tmp_path, ["a", "b"])


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("{", "must be JSON"),
        ("[]", "must be an object"),
        ({"class 7": {}}, "'class 7', which has no folder"),
        ({"class 0": {"lable": "x"}}, "answer, label, options; got"),
        ({"class 0": {"options": ["one"]}}, "two different texts or more"),
        ({"class 0": {"options": "one"}}, "a list of texts"),
        ({"class 0": {"label": " "}}, "must be text"),
        ({"class 0": {"options": ["a", "b"], "answer": "c"}}, "one of its options; got 'c'"),
    ],
)
def test_texts_that_do_not_fit(images: Path, told, message: str) -> None:
    (images / "items.json").write_text(told if isinstance(told, str) else json.dumps(told))
    with pytest.raises(UserError, match=message):
        read_material(images, ["softprompt", "pixelmax"], 1)


def test_a_broken_picture(images: Path) -> None:
    path = images / "class 0" / "pixelmax" / "pixelmax-0.png"
    path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="can't be read as a picture"):
        picture_uri(path, 64)
