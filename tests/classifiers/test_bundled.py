"""The shipped models keep what their cards promise."""

from __future__ import annotations

import itertools
import json
from importlib.resources import files

import numpy as np
import pytest

from genlens.classifiers import ConceptNet, load_classifier, load_demo_target, load_shapes_checker, load_shapes_concepts
from genlens.datasets.shapes import CONCEPTS, DEFAULT_WEIGHTS, draw, sample_presence, sample_slots
from genlens.training.concept_nets import concept_quality

NETS = {"shapes_concepts": load_shapes_concepts, "shapes_checker": load_shapes_checker}


@pytest.fixture(scope="module", params=sorted(NETS))
def net(request: pytest.FixtureRequest) -> ConceptNet:
    return NETS[request.param](device="cpu")


def test_concepts_are_told_apart_on_held_out_drawings(net: ConceptNet) -> None:
    presence = sample_presence(400, 123)
    quality = concept_quality(net, draw(presence, sample_slots(400, 123)), presence.astype(float))
    assert net.concept_names == CONCEPTS
    assert quality["auroc_min"] >= 0.999
    assert quality["accuracy"] >= 0.995


@pytest.mark.parametrize("name", sorted(NETS))
def test_the_files_are_small_complete_and_free_of_pickle(name: str) -> None:
    folder = files("genlens").joinpath("assets", name)
    sizes = {item.name: len(item.read_bytes()) for item in folder.iterdir()}
    assert {"model.safetensors", "config.json", "CARD.md", "quality.json"} <= set(sizes)
    assert sum(sizes.values()) <= 1_000_000
    assert not [file for file in sizes if file.endswith((".pt", ".pth", ".bin", ".pkl"))]


@pytest.mark.parametrize("name", sorted(NETS))
def test_the_measured_quality_on_file_meets_the_promise(name: str) -> None:
    quality = json.loads(files("genlens").joinpath("assets", name, "quality.json").read_text(encoding="utf-8"))
    assert quality["clean"]["auroc_min"] >= 0.999
    assert quality["faulty"]["auroc_min"] >= 0.999
    assert quality["overlapping"]["auroc_mean"] >= 0.999


def test_the_two_nets_are_independent() -> None:
    first, second = load_shapes_concepts(device="cpu"), load_shapes_checker(device="cpu")
    assert first.architecture != second.architecture
    recipes = [
        json.loads(files("genlens").joinpath("assets", name, "config.json").read_text(encoding="utf-8"))["recipe"]
        for name in sorted(NETS)
    ]
    for key in ("seed", "data_seed", "architecture"):
        assert recipes[0][key] != recipes[1][key]


def test_the_demo_target_adds_up_its_weights_on_clean_drawings() -> None:
    target = load_demo_target(device="cpu")
    presence = sample_presence(50, 7)
    truth = presence @ np.array(DEFAULT_WEIGHTS)
    assert np.abs(target.predict(draw(presence, sample_slots(50, 7)))[:, 0] - truth).max() < 0.1
    assert load_classifier("bundled:shapes-target", device="cpu").fingerprint == target.fingerprint
    assert load_demo_target(on="logits", device="cpu").fingerprint != target.fingerprint


def test_the_demo_weights_are_far_apart_and_every_set_of_shapes_has_a_sum_of_its_own() -> None:
    weights = np.array(DEFAULT_WEIGHTS)
    assert np.diff(np.sort(weights)).min() >= 0.14
    sums = [sum(chosen) for r in range(7) for chosen in itertools.combinations(weights, r)]
    assert np.diff(np.sort(sums)).min() > 0.009
