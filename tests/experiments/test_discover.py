"""Discover, then measure, with a classifier written by hand in place of a trained one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genlens.experiments import discover as module
from genlens.experiments.discover import discover, interventions
from genlens.experiments.planted import Planted
from genlens.generators.drawer import DrawerGenerator
from genlens.prompts.candidates import Candidate
from genlens.segmenters import CallableSegmenter


def test_annotated_ranked_confirmed(
    by_hand: Planted, by_kind: CallableSegmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search itself has tests of its own; here it finds a class that the table names, and the shortcut."""
    found_words = [Candidate(word, word, "x", "spurious", 1.0, 0.5, 1.5) for word in ("red circle", "red rectangle")]
    canned = {"find_spurious": None, "save_candidates": found_words, "save_spurious": None, "lines": []}
    for name, value in canned.items():
        monkeypatch.setattr(module, name, lambda *args, value=value, **options: value)
    said: list[str] = []
    found = discover(tmp_path, DrawerGenerator(), by_kind, planted=by_hand, rows=48, log=said.append)
    assert found.name == "red rectangle" and found.candidates[0] == "red circle" and found.correct > 0.9
    assert next(iter(found.ranking)) == "red rectangle"
    assert max(found.interventions, key=lambda word: found.interventions[word]) in ("red rectangle", "red circle")
    header = (tmp_path / "data" / "metadata.csv").read_text().splitlines()[0]
    assert header == "file_name,red circle,green circle,blue circle"
    assert (tmp_path / "rank" / "ranking.csv").is_file()
    assert any(line.startswith("Annotated: red rectangle") for line in said)


def test_interventions_by_hand(by_hand: Planted) -> None:
    effects = interventions(by_hand, "green circle", n=40)
    assert effects["red rectangle"] > effects["green circle"] > 0 > effects["blue circle"]
    again: Any = interventions(by_hand, "green circle", n=40)
    assert effects == again
