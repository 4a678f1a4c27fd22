"""The page and the key: blinded, randomised, complete in itself, the same from the same seed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from genlens.errors import UserError
from genlens.study.answers import load_key
from genlens.study.design import EQUAL, UNSURE
from genlens.study.material import read_material
from genlens.study.page import Built, build_study

METHODS, N_ITEMS = ("softprompt", "pixelmax", "classword"), 3


def data_of(page: Path) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.S)[1])


def test_no_method_and_no_truth_in_the_page(built: Built) -> None:
    text = re.sub(r"data:image/png;base64,[\w+/=]+", "", built.page.read_text())
    assert [method for method in METHODS if method in text.lower()] == []
    told = data_of(built.page)
    assert set(told) == {"version", "design", "words", "items", "schedules", "pictures"}
    assert all(set(item) == {"label", "options"} for item in told["items"])
    assert all(set(step) == {"kind", "item", "sets", "options"} for steps in told["schedules"] for step in steps)


def test_the_page_loads_nothing(built: Built) -> None:
    text = built.page.read_text()
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', text) == []
    assert "http" not in re.sub(r"http-equiv", "", text)


def test_names_of_sets_and_options_are_opaque(built: Built) -> None:
    key = load_key(built.key)
    assert all(re.fullmatch("s[0-9a-f]{4}", name) for name in key.sets)
    order = [key.sets[name] for name in sorted(key.sets)]
    assert order != sorted(order)


def test_every_person_sees_every_item_and_both_rivals(built: Built) -> None:
    key = load_key(built.key)
    for steps in key.schedules:
        kinds = [step["kind"] for step in steps]
        assert kinds.count("check") == 2 and kinds.count("look") == 2 and kinds.count("pair") == 6
        assert max(k for k, kind in enumerate(kinds) if kind == "look") < kinds.index("pair")
        pairs = {tuple(sorted(key.sets[name] for name in step["sets"])) for step in steps if step["kind"] == "pair"}
        assert len(pairs) == 6
        assert all(("softprompt" in {method for _, method in pair}) for pair in pairs)
        for step in steps:
            assert step["options"][-1] == {"pair": EQUAL, "look": UNSURE}.get(step["kind"], "yellow")


def test_ours_stands_left_as_often_as_right(built: Built) -> None:
    key = load_key(built.key)
    left = [key.sets[step["sets"][0]][1] == key.ours for steps in key.schedules for step in steps
            if step["kind"] == "pair"]  # fmt: skip
    assert sum(left) * 2 == len(left) == 12 * 6


def test_same_seed_same_page(images: Path, built: Built, tmp_path: Path) -> None:
    material = read_material(images, METHODS, 3)
    again = build_study(material, tmp_path / "again", n_people=12)
    assert again.page.read_bytes() == built.page.read_bytes() and again.design == built.design
    other = build_study(material, tmp_path / "other", n_people=12, seed=1)
    assert other.design != built.design


def test_texts_do_not_run_as_scripts(images: Path, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    (images / "items.json").write_text(json.dumps({"class 0": {"label": evil, "options": [evil, "b"]}}))
    built = build_study(read_material(images, METHODS, 1), tmp_path / "evil", title=evil, intro=evil)
    text = built.page.read_text()
    assert "<script>alert" not in text and text.count("</script>") == 2
    assert data_of(built.page)["items"][0]["label"] == evil


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"title": "Is PixelMax good?"}, "`title` names the method 'pixelmax'"),
        ({"intro": " "}, "`intro` must be a text"),
        ({"n_people": 1}, "`people` must be an integer >= 2"),
        ({"side": 2}, "`side` must be an integer >= 8"),
    ],
)
def test_what_is_refused(images: Path, tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_study(read_material(images, METHODS, 1), tmp_path / "study", **changes)
    assert not (tmp_path / "study").exists()


def test_an_item_that_names_a_method(images: Path, tmp_path: Path) -> None:
    (images / "items.json").write_text(json.dumps({"class 0": {"label": "a softprompt"}}))
    with pytest.raises(UserError, match=r"A text of item 'class 0' names the method 'softprompt'"):
        build_study(read_material(images, METHODS, 1), tmp_path / "study")


def test_a_key_is_never_replaced(images: Path, built: Built) -> None:
    with pytest.raises(UserError, match="holds a study already"):
        build_study(read_material(images, METHODS, 1), built.key.parent)


def test_without_options_there_is_no_first_part(images: Path, tmp_path: Path) -> None:
    (images / "items.json").unlink()
    built = build_study(read_material(images, METHODS[:2], 1), tmp_path / "plain")
    assert {step["kind"] for step in load_key(built.key).schedules[0]} == {"pair", "check"}
    assert built.n_steps == N_ITEMS + 1
