"""From files of answers to findings: planted preferences, chance, and files that are refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from genlens.errors import UserError
from genlens.study.analysis import analyze_study
from genlens.study.answers import load_answers, load_key
from genlens.study.design import UNSURE
from genlens.study.page import Built
from genlens.study.report import study_sections, write_study_report


def ours(step: dict, key: dict, number: int) -> str:
    """Always prefers ours; right about ours, wrong about rivals."""
    if step["kind"] == "pair":
        return next(name for name in step["options"] if key["sets"][name][1] == key["ours"])
    truth = key["items"][step["item"]]["answer"]
    mine = key["sets"][step["sets"][0]][1] == key["ours"]
    return truth if mine else UNSURE


def chance(step: dict, key: dict, number: int) -> str:
    options = step["options"]
    rng = np.random.default_rng((number, step["item"], len(options), hash(step["sets"][0]) % 2**31))
    return options[int(rng.integers(len(options)))]


def test_a_planted_preference_is_found(built: Built, answer, tmp_path: Path) -> None:
    key = load_key(built.key)
    people = load_answers([answer(number, ours).parent for number in range(1, 9)][:1], key)
    assert len(people) == 8
    result = analyze_study(key, people)
    assert [found.rival for found in result.comparisons] == ["pixelmax", "classword"]
    for found in result.comparisons:
        assert found.attentive.share == 1 and found.attentive.sign[:3] == (8, 0, 0)
        assert found.by_item["feature 9"] == (0, 8, 0)
    understood = result.understanding
    assert understood.shares == {"softprompt": 1, "pixelmax": 0, "classword": 0}
    assert understood.differences["pixelmax"][0] == 1
    assert understood.chi_square[2] < 0.01
    assert result.left[0] * 2 == result.left[1] == 8 * 6
    assert result.look_alpha > 0.5

    report = write_study_report(result, key.ours, tmp_path / "out")
    text = (tmp_path / "out" / "results.md").read_text()
    assert "softprompt against pixelmax: 100.0%" in text and "preferred" in text
    assert report.read_text().count("<h2") == len(study_sections(result, key.ours))
    with (tmp_path / "out" / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 * (6 + 2)
    assert {row["choice"] for row in rows if row["part"] == "pair"} == {"softprompt"}


def test_chance_finds_nothing(built: Built, answer) -> None:
    key = load_key(built.key)
    result = analyze_study(key, load_answers([answer(number, chance) for number in range(1, 25)], key))
    for found in result.comparisons:
        assert found.attentive.interval[0] < 0.5 < found.attentive.interval[1]
        assert abs(found.alpha) < 0.2


def test_inattentive_people_are_left_out_and_shown(built: Built, answer) -> None:
    key = load_key(built.key)

    def rival(step: dict, told: dict, number: int) -> str:
        name = ours(step, told, number)
        return step["options"][1 - step["options"].index(name)] if step["kind"] == "pair" else name

    paths = [answer(number, ours) for number in (1, 2, 3)] + [answer(4, rival, attentive=False)]
    result = analyze_study(key, load_answers(paths, key))
    assert result.inattentive == (4,)
    assert result.comparisons[0].attentive.share == 1 and result.comparisons[0].everyone.share == 0.75


def test_higher_numbers_begin_again_with_the_first_schedule(built: Built, answer) -> None:
    key = load_key(built.key)
    first, again = load_answers([answer(1, ours), answer(13, ours)], key)
    assert first.steps == again.steps and first.choices == again.choices


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"design": "other"}, "answers another study: its design is 'other'"),
        ({"answers": []}, "is incomplete: 0 of 10 questions"),
        ({"consent": False}, "is damaged"),
        ({"person": True}, "is damaged"),
        ({"version": 2}, "has version 2; this genlens reads version 1"),
        ({"format": "x"}, "is not a file of answers"),
        ({"person": 2}, "answer 1 is not one that person 2 could give|answer \\d+ is not one"),
    ],
)
def test_files_that_are_refused(built: Built, answer, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_answers([answer(1, chance, **changes)], load_key(built.key))
    assert "\n" not in str(caught.value)


def test_the_same_person_twice(built: Built, answer, tmp_path: Path) -> None:
    key, path = load_key(built.key), answer(1, ours)
    copy = tmp_path / "copy.json"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="are the same person's answers"):
        load_answers([path, copy], key)
    copy.write_text(json.dumps(json.loads(path.read_text()) | {"session": "other"}))
    with pytest.raises(UserError, match="both have the participant number 1"):
        load_answers([path, copy], key)


@pytest.mark.parametrize("content", ["", "{", "[" * 10_000, "[]", "null", '"x"'])
def test_files_that_are_something_else(built: Built, tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(UserError, match="is not a file of answers"):
        load_answers([path], load_key(built.key))
    with pytest.raises(UserError, match="is not a study's key"):
        load_key(path)


def test_too_little_to_analyse(built: Built, answer, tmp_path: Path) -> None:
    key = load_key(built.key)
    with pytest.raises(UserError, match="no answers to analyse"):
        load_answers([built.key.parent], key)
    with pytest.raises(UserError, match="isn't there"):
        load_answers([tmp_path / "none.json"], key)
    with pytest.raises(UserError, match="0 of 1 people passed"):
        analyze_study(key, load_answers([answer(1, ours, attentive=False)], key))


def test_a_damaged_key(built: Built) -> None:
    told = json.loads(built.key.read_text())
    del told["sets"]
    built.key.write_text(json.dumps(told))
    with pytest.raises(UserError, match="is a damaged key"):
        load_key(built.key)
