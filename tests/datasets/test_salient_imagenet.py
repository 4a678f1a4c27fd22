"""Salient ImageNet's answers, read from a small file of the same shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from genlens.datasets.salient_imagenet import FILE, VARIABLE, read_salient_imagenet
from genlens.errors import UserError

HEADER = (
    "WorkerId,Input.wordnet_id,Input.class_index,Input.feature_index,Input.feature_rank,Answer.main,"
    "Answer.confidence,Answer.reasons"
)


def lines(label: int, feature: int, rank: int, answers: str) -> list[str]:
    """One line a letter of `answers`: m, s or b."""
    names = {"m": "main_object", "s": "separate_object", "b": "background"}
    return [f'{w},n{label},{label},{feature},{rank},{names[a]},4.0,"why, so"' for w, a in enumerate(answers)]


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    rows = lines(7, 30, 2, "mmssb") + lines(7, 12, 1, "mmmsb") + lines(3, 12, 1, "sssss")
    (tmp_path / FILE).write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return tmp_path


def test_pairs_in_order_with_counts_and_majority(answers: Path) -> None:
    found = read_salient_imagenet(answers)
    assert found.class_index.tolist() == [3, 7, 7]
    assert found.feature_index.tolist() == [12, 12, 30]
    assert found.rank.tolist() == [1, 1, 2]
    assert found.counts.tolist() == [[0, 5, 0], [3, 1, 1], [2, 2, 1]]
    assert found.spurious.tolist() == [True, False, True]
    assert found.spurious_per_class() == {3: 1, 7: 1}
    assert found.wordnet_id == ("n3", "n7", "n7")
    assert found.find(7, 30) == 2


def test_the_environment_variable_and_the_file_itself(answers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(answers))
    assert len(read_salient_imagenet()) == len(read_salient_imagenet(answers / FILE)) == 3


def test_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(UserError, match=f"pass the path of {FILE} or set {VARIABLE}"):
        read_salient_imagenet()
    with pytest.raises(UserError, match="There is no file"):
        read_salient_imagenet(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["1,n1,1,2,1,object,4,x"], r"line 2: Answer.main must be one of main_object.*got 'object'"),
        (["1,n1,one,2,1,main_object,4,x"], r"line 2: Input.class_index must be a whole number >= 0; got 'one'"),
        (["1,n1,1"], r"Input.feature_index must be a whole number"),
        (["1,n1,1,2,1,main_object,4,x"] * 2, "two answers of worker 1 on feature 2 of class 1"),
        (["1,n1,1,2,1,main_object,4,x", "2,n1,1,2,3,main_object,4,x"], "gives feature 2 of class 1 two ranks"),
        ([], "has no answers"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, rows: list[str], message: str) -> None:
    (tmp_path / FILE).write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_salient_imagenet(tmp_path)


def test_a_missing_column_and_a_pair_nobody_judged(answers: Path, tmp_path: Path) -> None:
    found = read_salient_imagenet(answers)
    with pytest.raises(UserError, match="Feature 1 of class 7 was not judged; its features are 12, 30"):
        found.find(7, 1)
    with pytest.raises(UserError, match="no feature of that class was"):
        found.find(8, 1)
    other = tmp_path / "other.csv"
    other.write_text("WorkerId,Answer.main\n1,main_object\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"has no column Input\.wordnet_id, Input\.class_index"):
        read_salient_imagenet(other)
