"""`find_spurious` on the shipped generator and a classifier whose two features are written by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from genlens.classifiers.torch_module import TorchClassifier
from genlens.errors import UserError
from genlens.findings import spurious_search as module
from genlens.findings.candidates import candidate_words, save_candidates
from genlens.findings.spurious import find_spurious
from genlens.findings.spurious_types import Settings, SpuriousResult
from genlens.generators.diffusers import DiffusersGenerator
from genlens.prompts.candidates import read_candidates
from genlens.reports.spurious import lines, save_spurious
from genlens.segmenters import CallableSegmenter, Presence, load_segmenter

SHIPPED = Path(module.__file__).parents[1] / "assets" / "shapes_generator"
SMALL = Settings(top_k=2, n_images=8, n_calibration=6, restarts=2, steps=1, batch=1, n_tokens=3, class_weight=0.0)


class Colours(nn.Module):
    """Class 0 rests on red and on blue, class 1 on green: each feature is how much of its colour there is."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        others = (images.sum(dim=1, keepdim=True) - images) / 2
        result: torch.Tensor = self.head(10 * torch.relu(images - others - 0.15).mean(dim=(2, 3)))
        return result


def by_colour(images: np.ndarray, text: str) -> np.ndarray:
    """Whatever has the colour that the text names."""
    channel = ["red", "green", "blue"].index(text.split()[0])
    others = np.delete(images.astype(int), channel, axis=3).max(axis=3)
    return (images[..., channel] - others > 60).astype(np.float32)


@pytest.fixture(scope="module")
def generator() -> DiffusersGenerator:
    return DiffusersGenerator.from_pretrained(SHIPPED, device="cpu")


def search(generator: DiffusersGenerator, **options: object) -> SpuriousResult:
    given: dict[str, object] = {
        "target": 0, "name": "red circle", "others": ["green circle", "blue rectangle"],
        "words": ["red circle", "blue rectangle", "green circle"], "settings": SMALL,
        "segmenter": CallableSegmenter(by_colour, fingerprint="colour"),
    }  # fmt: skip
    classifier = TorchClassifier(Colours(), device="cpu")
    return find_spurious(classifier, generator=generator, **(given | options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def result(generator: DiffusersGenerator) -> SpuriousResult:
    return search(generator)


def test_the_objects_feature_is_core_and_the_other_spurious(result: SpuriousResult) -> None:
    verdicts = {one.feature.index: one for one in result.findings}
    assert verdicts[0].verdict == "core" and verdicts[2].verdict == "spurious"
    assert verdicts[0].part.mean > 0.9 and verdicts[2].part.mean < 0.1
    assert [one.feature.index for one in result.spurious] == [2]
    assert verdicts[2].words[0].word == "blue rectangle" and verdicts[2].words[0].gain > 0
    assert result.calibration.false_absent == result.calibration.false_present == 0
    assert verdicts[0].class_share.estimate == 1 and verdicts[0].score >= verdicts[0].plain_score


def test_a_segmenter_that_sees_the_object_everywhere_is_refused(generator: DiffusersGenerator) -> None:
    everywhere = CallableSegmenter(lambda images, text: np.ones(images.shape[:3]), fingerprint="all")
    with pytest.raises(UserError, match="too alike to correct a share"):
        search(generator, segmenter=everywhere)


def test_the_presence_rule_alone(generator: DiffusersGenerator) -> None:
    found = search(generator, settings=replace(SMALL, rule="presence"), features=[0])
    assert [one.feature.index for one in found.findings] == [0]
    assert found.findings[0].verdict == found.findings[0].by_presence == "core"


def test_a_stopped_run_goes_on(generator: DiffusersGenerator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(Exception):
        pass

    def stop(finding: object) -> None:
        raise Stop

    with pytest.raises(Stop):
        search(generator, store=tmp_path, done=stop)
    assert len(list((tmp_path / "features").iterdir())) == 1
    calls = []
    real = module.optimize_prompt
    monkeypatch.setattr(module, "optimize_prompt", lambda *a, **k: calls.append(1) or real(*a, **k))
    again = search(generator, store=tmp_path)
    assert len(calls) == 1
    assert again.to_dict() == search(generator).to_dict()
    with pytest.raises(UserError, match=r"was written with .*steps=1; this run asks for .*steps=2"):
        search(generator, store=tmp_path, settings=replace(SMALL, steps=2))


def test_another_segmenter_renders_nothing_again(
    generator: DiffusersGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures: dict[str, np.ndarray] = {}
    first = search(generator, pictures=pictures)
    monkeypatch.setattr(module, "optimize_prompt", None)
    monkeypatch.setattr(generator, "generate", None)
    again = search(generator, pictures=pictures, segmenter=CallableSegmenter(by_colour, fingerprint="other"))
    assert again.to_dict() == first.to_dict()


def test_report_and_candidates(result: SpuriousResult, tmp_path: Path) -> None:
    segmenter = CallableSegmenter(by_colour, fingerprint="colour")
    listed = save_candidates(result, segmenter, Presence(), tmp_path)
    assert [one.name for one in listed] == ["blue rectangle"] and listed[0].low > 0
    assert listed == read_candidates(tmp_path / "candidates.json")
    assert listed[0].target == "class 0 (red circle), neural feature 2"
    assert (tmp_path / "candidates" / "blue_rectangle" / "0-mask.png").is_file()
    report = save_spurious(result, listed, tmp_path)
    page = report.read_text()
    assert "Feature 2: spurious" in page and "blue rectangle" in page and page.count("data:image/png") == 4
    kept = json.loads((tmp_path / "spurious.json").read_text())
    assert [one["verdict"] for one in kept["findings"]] == [one.verdict for one in result.findings]
    assert lines(result)[0].startswith("feature    0  core")
    assert not candidate_words(result, min_excess=1.1)


def test_bad_input(generator: DiffusersGenerator) -> None:
    with pytest.raises(UserError, match=r"The class must be in 0\.\.1; got 7"):
        search(generator, target=7)
    with pytest.raises(UserError, match="has no class 'tench'"):
        search(generator, target="tench")
    with pytest.raises(UserError, match="class 0 has no name: pass `name`"):
        search(generator, name=None)
    with pytest.raises(UserError, match="Pass `others`"):
        search(generator, others=())
    with pytest.raises(UserError, match=r"Feature 1 doesn't speak for the class\. Those that do: 0, 2"):
        search(generator, features=[1])
    with pytest.raises(UserError, match="`rule` must be 'part' or 'presence'"):
        Settings(rule="both")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="`threshold` must be a share between 0 and 1"):
        Settings(threshold=1.0)


def test_the_shipped_segmenter_is_there() -> None:
    found = load_segmenter("shapes", device="cpu").segment(np.full((1, 64, 64, 3), 240, np.uint8), "red circle")
    assert found.shape == (1, 64, 64)
