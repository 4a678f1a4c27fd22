"""Discover, then measure, with a classifier written by hand in place of a trained one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genlens.experiments import discover as module
from genlens.experiments.discover import discover, interventions
from genlens.experiments.planted import Planted
from genlens.findings.spurious_types import Settings
from genlens.generators.diffusers import DiffusersGenerator
from genlens.generators.drawer import DrawerGenerator
from genlens.segmenters import CallableSegmenter

SHIPPED = Path(module.__file__).parents[1] / "assets" / "shapes_generator"


def test_found_annotated_ranked_confirmed(by_hand: Planted, by_kind: CallableSegmenter, tmp_path: Path) -> None:
    said: list[str] = []
    found = discover(
        tmp_path, DiffusersGenerator.from_pretrained(SHIPPED, device="cpu"), by_kind,
        renderer=DrawerGenerator(), planted=by_hand, rows=48,
        settings=Settings(top_k=2, n_images=8, n_calibration=6, restarts=2, steps=1, batch=1, class_weight=0.0), log=said.append,
    )  # fmt: skip
    assert found.name == "blue rectangle" and found.name in found.candidates and found.correct > 0.9
    assert next(iter(found.ranking)) == "blue rectangle"
    assert max(found.interventions, key=lambda word: found.interventions[word]) in ("blue rectangle", "blue circle")
    header = (tmp_path / "data" / "metadata.csv").read_text().splitlines()[0]
    assert header == "file_name,red circle,green circle,blue circle"
    assert (tmp_path / "rank" / "ranking.csv").is_file() and (tmp_path / "spurious" / "report.html").is_file()
    assert any(line.startswith("Annotated: blue rectangle") for line in said)


def test_interventions_by_hand(by_hand: Planted) -> None:
    effects = interventions(by_hand, "red circle", n=40)
    assert effects["blue rectangle"] > effects["red circle"] > 0 > effects["green circle"]
    again: Any = interventions(by_hand, "red circle", n=40)
    assert effects == again
