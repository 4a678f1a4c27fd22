"""`find_bias` on the shipped generator, with a classifier that looks at one colour."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import genlens
from genlens import bias_prompts
from genlens.bias_prompts import PromptSearch
from genlens.bias_run import BiasOptions, find_bias
from genlens.classifiers.torch_module import TorchClassifier
from genlens.errors import UserError
from genlens.experiments.planted_bias import NEUTRAL as CAPTIONS
from genlens.experiments.planted_bias import kind_attributes, kind_pictures
from genlens.findings.bias import CONTROL, NEUTRAL, OPTIMISED
from genlens.findings.bias_result import BiasResult
from genlens.generators.diffusers import DiffusersGenerator
from genlens.reports.bias import headline, write_bias

SHIPPED = Path(genlens.__file__).parent / "assets" / "shapes_generator"
SMALL = BiasOptions(restarts=5, iterations=1, batch=1, n_images=2, n_neutral=24)


class Redness(nn.Module):
    """Class 0: more red than blue."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(60.0))
        self.outputs = outputs

    def forward(self, images: Tensor) -> Tensor:
        red = self.gain * (images[:, 0] - images[:, 2]).mean(dim=(1, 2))
        return torch.stack([red, -red], dim=1) if self.outputs == 2 else red[:, None]


@pytest.fixture(scope="module")
def generator() -> DiffusersGenerator:
    return DiffusersGenerator.from_pretrained(SHIPPED, device="cpu")


def search(generator: DiffusersGenerator, out: Path, outputs: int = 2) -> BiasResult:
    classifier = TorchClassifier(Redness(outputs), device="cpu")
    return find_bias(classifier, generator, 0, kind_attributes(), out, neutral=CAPTIONS, options=SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bias")


@pytest.fixture(scope="module")
def result(generator: DiffusersGenerator, folder: Path) -> BiasResult:
    return search(generator, folder)


def test_from_models_to_files_and_again(
    generator: DiffusersGenerator, result: BiasResult, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colour, side = result.findings
    assert (colour.attribute, side.attribute) == ("colour", "side")
    assert len(result.pictures[NEUTRAL].images) == 24
    assert colour.values[0].effect.d > 1  # neutral red pictures score higher; that needs no optimiser
    assert [len(list((folder / "prompts").glob(f"class-{k}-*"))) for k in range(2)] == [5, 5]
    content = json.loads((folder / "bias.json").read_text())
    assert [one["attribute"] for one in content["findings"]] == ["colour", "side"]
    assert content["settings"]["captions"][NEUTRAL] == list(CAPTIONS)
    page = write_bias(result, folder, "genlens bias 0").read_text()
    assert headline(result) in page and "Each is one observation" in page

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("prompts that are there are optimised again")

    monkeypatch.setattr(bias_prompts, "optimize_prompt", refuse)
    again = search(generator, folder)
    assert again.to_json() == result.to_json() and again.to_csv() == result.to_csv()


def test_restarts_that_miss_their_class_are_left_out(result: BiasResult) -> None:
    for kind, sign in ((OPTIMISED, 1), (CONTROL, -1)):
        part = result.pictures[kind]
        assert part.restarts is not None
        for restart in np.unique(part.restarts):
            assert (sign * part.scores[part.restarts == restart] > 0).mean() >= 0.5
    assert result.findings[0].n_restarts == len(np.unique(result.pictures[OPTIMISED].restarts))


def test_one_output_is_compared_with_its_opposite(generator: DiffusersGenerator) -> None:
    found = PromptSearch(TorchClassifier(Redness(1), device="cpu"), generator, 0, SMALL)
    assert found._others() == [(None, 5)]
    objective = bias_prompts._against(found.model)
    red, blue = torch.zeros(2, 1, 3, 8, 8)
    red[:, 0], blue[:, 2] = 1, 1
    assert float(objective(red)) < -10 and float(objective(blue)) > -0.01


def test_other_classes_take_turns(generator: DiffusersGenerator) -> None:
    class Four(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 4)

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.head(images.mean(dim=(2, 3)))
            return logits

    found = PromptSearch(TorchClassifier(Four(), device="cpu"), generator, 2, SMALL)._others()
    assert sorted(index for index, _ in found) == [0, 1, 3]  # type: ignore[type-var]
    assert sorted(count for _, count in found) == [1, 2, 2]


def test_bad_input_is_one_line_and_makes_no_folder(generator: DiffusersGenerator, tmp_path: Path) -> None:
    classifier, out = TorchClassifier(Redness(), device="cpu"), tmp_path / "run"
    with pytest.raises(UserError, match="give a neutral caption"):
        find_bias(classifier, generator, 0, kind_attributes(), out, neutral=(), options=SMALL)
    with pytest.raises(UserError, match=r"0\.\.1|0 to 1|2 classes"):
        find_bias(classifier, generator, 7, kind_attributes(), out, neutral=CAPTIONS, options=SMALL)
    with pytest.raises(UserError, match="different names"):
        find_bias(classifier, generator, 0, (), out, neutral=CAPTIONS, options=SMALL)
    with pytest.raises(UserError, match="`restarts` must be an integer >= 5; got 4"):
        BiasOptions(restarts=4)
    assert not out.exists()


def test_planted_labels_have_the_strength_that_is_asked_for() -> None:
    for strength in (0.0, 0.5, 1.0):
        _, labels, kinds, presence = kind_pictures(1200, 3, strength)
        by_colour = presence.reshape(-1, 2, 3).any(axis=1)
        only_blue = by_colour[:, 2] & ~by_colour[:, 0]
        circles = kinds == 0
        assert (labels[circles & only_blue] == 1).mean() == pytest.approx(strength / 2, abs=0.1)
        assert (labels[~circles & only_blue] == 1).all()
        assert presence.sum(axis=1).min() == 1 and presence.sum(axis=1).max() == 2


def test_attributes_are_read_from_the_pixels() -> None:
    images, _, _, presence = kind_pictures(200, 4, 0.0)
    colour, side = kind_attributes()
    single = presence.sum(axis=1) == 1
    assert (colour.label(images[single]) == presence[single].argmax(axis=1) % 3).all()
    assert (colour.label(np.full((2, 64, 64, 3), 240, np.uint8)) == -1).all()
    assert (side.label(images) == 1 - side.label(images[:, :, ::-1])).mean() > 0.97
