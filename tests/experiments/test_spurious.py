"""The experiment on planted features: its arithmetic, and one small run from end to end."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from genlens.errors import UserError
from genlens.experiments import spurious as module
from genlens.experiments.planted import Planted, TrueFeature
from genlens.experiments.spurious import Judged, SpuriousSettings, agreed, line
from genlens.findings.spurious_types import Settings
from genlens.generators.diffusers import DiffusersGenerator
from genlens.segmenters import CallableSegmenter

SHIPPED = Path(module.__file__).parents[1] / "assets" / "shapes_generator"


def pair(truth: str, index: int = 0, rank: int = 1) -> TrueFeature:
    known: dict[str, Any] = {name: 0.0 for name in TrueFeature.__dataclass_fields__}
    known |= {"name": "red circle", "class_index": index, "feature": rank, "rank": rank}
    known |= {"other_word": "x", "truth": truth}
    return TrueFeature(**known)


def judged(truth: str, verdict: str, presence: str, counted: int, classifier: str = "a") -> Judged:
    finding = {
        "verdict": verdict, "by_presence": presence, "words": [{"word": "bag", "share": 0.9, "plain": 0.1}],
        "share": {"n": 10, "counted": counted, "estimate": counted / 10, "low": 0.0, "high": 1.0},
        "part": {"n": 10, "mean": 0.25, "low": 0.2, "high": 0.3},
        "reach": {"n": 10, "mean": 0.75, "low": 0.7, "high": 0.8},
    }  # fmt: skip
    return Judged(classifier, pair(truth), finding)


def test_rules_and_their_agreement() -> None:
    found = [
        judged("core", "core", "core", 9), judged("core", "core", "undecided", 5, "b"),
        judged("spurious", "spurious", "core", 8, "c"), judged("spurious", "undecided", "spurious", 1, "d"),
    ]  # fmt: skip
    assert [one.verdict("published") for one in found] == ["core", "core", "core", "spurious"]
    assert agreed(found, "part").balanced_accuracy.value == pytest.approx((1 + 0.5) / 2)
    assert agreed(found, "presence").balanced_accuracy.value == pytest.approx((0.5 + 0.5) / 2)
    assert agreed(found, "published").balanced_accuracy.value == pytest.approx((1 + 0.5) / 2)
    assert [one.verdict("own") for one in found] == ["spurious"] * 4
    assert replace(found[0], threshold=0.2).verdict("own") == "core"
    assert agreed(found, "part").n_undecided == 1 and agreed(found, "part").always_core.value == 0.5
    assert "truth core" in line(found[0]) and "shows bag 90%" in line(found[0])


def test_fewer_pairs_stay_balanced() -> None:
    chosen = [(k, pair(truth, k, rank)) for k in range(4) for truth in ("core", "spurious") for rank in (1, 2)]
    kept = module._fewer(chosen, 6)
    assert len(kept) == 6 and sum(one.truth == "core" for _, one in kept) == 3
    assert len({k for k, _ in kept}) >= 3
    assert module._fewer(chosen, 0) == chosen and module._fewer(chosen, 100) == chosen


def test_refusals() -> None:
    with pytest.raises(UserError, match="`architectures` must be of plain"):
        SpuriousSettings(architectures=("vgg",))
    with pytest.raises(UserError, match="`pairs` must be an integer >= 0"):
        SpuriousSettings(pairs=-1)


def test_from_end_to_end(
    tmp_path: Path, by_hand: Planted, by_kind: CallableSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pairs of a classifier written by hand, whose truth the drawer tells."""
    truth = [replace(pair("core"), feature=0), replace(pair("spurious"), feature=2, rank=2)]
    monkeypatch.setattr(module, "planted_suite", lambda *args, **options: [by_hand])
    monkeypatch.setattr(module, "true_features", lambda planted, top_k: truth)
    search = Settings(n_images=6, n_calibration=4, restarts=2, steps=1, batch=1, class_weight=0.0)
    generator = DiffusersGenerator.from_pretrained(SHIPPED, device="cpu")
    said: list[str] = []

    def run() -> None:
        module.reproduce_spurious(tmp_path, generator, by_kind, SpuriousSettings(search=search), log=said.append)

    run()
    assert any(text.startswith("part: balanced accuracy") for text in said)
    assert sum("feature 2: spurious, truth spurious" in text for text in said) == 1
    results = (tmp_path / "results.md").read_text()
    assert "always core | 0.500" in results and f"| {module.RULES['part']} |" in results
    first = (tmp_path / "pairs.json").read_text()
    monkeypatch.setattr(module, "find_spurious", None)  # nothing is computed again
    run()
    assert (tmp_path / "pairs.json").read_text() == first
    assert asdict(truth[0])["truth"] == "core"
