"""FairFace's label files, from small ones of the same shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from genlens.datasets.fairface import ATTRIBUTES, read_fairface
from genlens.errors import UserError

HEADER = "file,age,gender,race,service_test"
ROWS = (
    "val/1.jpg,3-9,Male,East Asian,False",
    "val/2.jpg,50-59,Female,Indian,True",
    "val/3.jpg,more than 70,Male,Indian,False",
)


def write(folder: Path, rows: tuple[str, ...], header: str = HEADER) -> Path:
    file = folder / "fairface_label_val.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def test_labels_of_a_folder_and_of_a_file(tmp_path: Path) -> None:
    file = write(tmp_path, ROWS)
    for path in (tmp_path, file):
        found = read_fairface(path)
        assert len(found) == 3
        assert found.paths[0] == tmp_path / "val" / "1.jpg"
        assert [ATTRIBUTES["age"][code] for code in found.codes["age"]] == ["3-9", "50-59", "more than 70"]
        assert found.service_test.tolist() == [False, True, False]
        assert found.shares("gender") == pytest.approx({"Female": 1 / 3, "Male": 2 / 3})
        assert found.shares("race")["Indian"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("val/1.jpg,4-9,Male,Indian,False", "line 2: age must be one of 0-2, 3-9.*got '4-9'"),
        ("val/1.jpg,3-9,male,Indian,False", "gender must be one of Female, Male; got 'male'"),
        ("val/1.jpg,3-9,Male,Indian,maybe", "service_test must be True or False; got 'maybe'"),
        ("../1.jpg,3-9,Male,Indian,False", "file must be a path below"),
        ("/etc/passwd,3-9,Male,Indian,False", "file must be a path below"),
        ("val/1.jpg,3-9", "gender must be one of"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, row: str, message: str) -> None:
    write(tmp_path, (row,))
    with pytest.raises(UserError, match=message):
        read_fairface(tmp_path)


def test_missing_things(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file"):
        read_fairface(tmp_path)
    with pytest.raises(UserError, match="`split` must be one of train, val; got 'test'"):
        read_fairface(tmp_path, "test")
    write(tmp_path, ROWS)
    with pytest.raises(UserError, match=r"1\.jpg, which isn't there"):
        read_fairface(tmp_path, check_files=True)
    with pytest.raises(UserError, match="FairFace has age, gender, race; got 'hair'"):
        read_fairface(tmp_path).shares("hair")
    write(tmp_path, ())
    with pytest.raises(UserError, match="has no faces"):
        read_fairface(tmp_path)
    write(tmp_path, ROWS, "file,age,gender")
    with pytest.raises(UserError, match="has no column race, service_test"):
        read_fairface(tmp_path)
