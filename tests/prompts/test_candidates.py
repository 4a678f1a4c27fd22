"""The file of candidate concepts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genlens.errors import UserError
from genlens.prompts.candidates import Candidate, read_candidates, write_candidates

ONE = Candidate("red circle", "red circle", "logit of class 0 (red circle)", "explain", 14.4, 14.0, 14.8)


def test_candidates_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "candidates.json"
    write_candidates(path, [ONE])
    assert read_candidates(path) == [ONE]
    write_candidates(path, [])
    assert read_candidates(path) == []


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"kind": "other", "concepts": []}', '{"kind": "genlens candidate concepts", "concepts": [{}]}'],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "candidates.json"
    path.write_text(text)
    with pytest.raises(UserError, match="no file of candidate concepts"):
        read_candidates(path)


@pytest.mark.parametrize(("field", "value"), [("name", 3), ("gain", "x"), ("text", None)])
def test_entries_of_other_types_are_refused(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "candidates.json"
    write_candidates(path, [ONE])
    content = json.loads(path.read_text())
    content["concepts"][0][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(UserError):
        read_candidates(path)
