"""`genlens reproduce explain` in small: untrained classifiers, so that every figure is about the machinery."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from genlens.cli.loading import load_generator
from genlens.errors import UserError
from genlens.experiments import explain_cases, explain_methods, explain_report
from genlens.experiments.explain import reproduce_explain
from genlens.experiments.explain_cases import LEADING, Case, ExplainSettings, find_cases
from genlens.experiments.explain_measures import REAL, load_referee, measure_case, random_pictures, referee_accuracy
from genlens.experiments.explain_methods import METHODS, attack_starts
from genlens.experiments.explain_nets import OTHER, OWN, LeadingShortcuts
from genlens.experiments.explain_report import Means
from genlens.experiments.planted_worlds import get_world
from genlens.training.planted_nets import PlantedNet

SETTINGS = ExplainSettings(images=8, iterations=1, restarts=1, batch=1, pixel_steps=1, attack_steps=1)
ARCHITECTURES = ("plain", "alexnet")
SHORTCUTS = {"red circle": "green rectangle", "blue circle": None}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One kind of planting, two architectures, no training."""

    def untrained(batches, n_classes: int, recipe, *, n_words: int, size: int, log) -> PlantedNet:
        return PlantedNet(recipe.architecture, n_classes, recipe.n_features, size).eval()

    monkeypatch.setattr("genlens.experiments.planted.train_net", untrained)
    monkeypatch.setattr("genlens.experiments.explain_nets.train_net", untrained)
    for module in (explain_cases, explain_report):
        monkeypatch.setattr(module, "ARCHITECTURES", ARCHITECTURES)
    monkeypatch.setattr(explain_cases, "PLANTINGS", {"shapes": {LEADING: SHORTCUTS}})
    monkeypatch.setattr("genlens.experiments.explain_measures.N_REAL", 100)
    quick = partial(explain_methods.optimize_prompt, starts=1, held_out_seeds=1)
    monkeypatch.setattr(explain_methods, "optimize_prompt", quick)


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    return [case for kind in find_cases("shapes", tmp_path / "nets", SETTINGS) for case in kind]


def test_from_end_to_end_and_again(tmp_path: Path) -> None:
    lines: list[str] = []
    generators = {"shapes": partial(load_generator, "shapes")}
    run = partial(reproduce_explain, tmp_path / "out", generators, SETTINGS, log=lines.append)
    result = run(command="genlens reproduce explain")
    text = result.markdown.read_text()
    assert text.count("\n### ") == 5
    for method in (*METHODS, REAL):
        assert text.count(f"| {method} |") >= 4
    assert "4 classes of 2 classifiers" in text and "met" in text
    told = json.loads((tmp_path / "out" / "study_images" / "items.json").read_text())
    assert len(told) == 4
    assert [item["answer"] for name, item in told.items() if "leads-plain" in name] == [None, "blue circle"]
    assert len(list((tmp_path / "out" / "study_images").glob("*/soft prompt/*.png"))) == 4 * 8
    computed = [line for line in lines if line.endswith(" s")]
    run()
    assert [line for line in lines if line.endswith(" s")] == computed  # nothing was computed again


def test_its_pictures_make_a_study(cases: list[Case], tmp_path: Path) -> None:
    from genlens.experiments.explain import STUDY_METHODS, write_study_images
    from genlens.study.material import read_material
    from genlens.study.page import build_study

    pictures = [{m: np.zeros((8, 8, 8, 3), dtype=np.uint8) for m in STUDY_METHODS} for _ in cases]
    write_study_images(cases, pictures, tmp_path / "images")
    built = build_study(read_material(tmp_path / "images", STUDY_METHODS, 4), tmp_path / "study")
    assert built.n_steps == 4 + 1 + 2 * 4 + 1


def test_peers_are_the_other_architectures_of_the_same_task(cases: list[Case]) -> None:
    assert len(cases) == 2 * 2
    for case in cases:
        assert case.planted not in case.peers
        assert {peer.architecture for peer in case.peers} == set(ARCHITECTURES) - {case.planted.architecture}
        assert {peer.classes for peer in case.peers} == {case.planted.classes}
        assert {tuple(peer.shortcut.items()) for peer in case.peers} == {tuple(case.planted.shortcut.items())}
        assert case.planted.seed not in {peer.seed for peer in case.peers}


def test_leading_shortcuts_tell_more_than_the_object() -> None:
    planting = LeadingShortcuts(get_world("shapes"), SHORTCUTS, 0.9)
    presence, labels = planting.sample(6000, np.random.default_rng(0))
    words = planting.world.words
    for k, (name, shortcut) in enumerate(planting.shortcuts.items()):
        own = labels == k
        shown = presence[:, words.index(name)]
        assert shown[own].mean() == pytest.approx(OWN, abs=0.04)
        assert shown[~own].mean() == pytest.approx(OTHER, abs=0.04)
        if shortcut:
            tied = presence[:, words.index(shortcut)]
            assert tied[own].mean() > 0.9 and tied[~own].mean() < 0.06


def test_the_attack_starts_from_the_most_activating_of_each_pool(cases: list[Case]) -> None:
    starts = attack_starts(cases[0], 12, 0)
    assert starts.shape == (12, 64, 64, 3)
    scores = cases[0].planted.classifier.predict(starts)[:, 0]
    assert scores[0] >= scores[1] >= scores[4] and scores[5] >= scores[9]
    some = cases[0].planted.planting.pictures(200, 1)[0]
    assert scores.min() > np.median(cases[0].planted.classifier.predict(some)[:, 0])


def test_real_pictures_measure_as_real(cases: list[Case], tmp_path: Path) -> None:
    """The last row is other real pictures of the class: no distance, and the referee sees what is there."""
    world = get_world("shapes")
    referee = load_referee(world, tmp_path / "none", print)
    assert referee_accuracy(world, referee) > 0.99
    noise = np.random.default_rng(0).integers(0, 255, (60, 64, 64, 3), dtype=np.uint8)
    found = measure_case(cases[0], {method: noise for method in METHODS}, referee)
    assert abs(found["kid"][-1]) < 4 * found["kid_error"][-1] + 0.05
    assert (found["kid"][:-1] > 20 * abs(found["kid"][-1])).all()
    assert found["core"][-1].mean() == pytest.approx(OWN, abs=0.2)
    assert found["shortcut"][-1].mean() > 0.8
    assert found["given"].shape == (7, 60) and found["transfer"].shape == (7, 1, 60)


def test_random_pictures_are_the_same_from_the_same_seed() -> None:
    world = get_world("shapes")
    one, other = (random_pictures(world, 20, 5) for _ in range(2))
    assert (one[0] == other[0]).all() and (one[1] == other[1]).all()


def test_intervals_draw_classifiers_with_their_classes(cases: list[Case]) -> None:
    n, rows = 10, len(METHODS) + 1
    flags = np.zeros((rows, n), dtype=bool)
    found = []
    for case in cases:
        given = np.full((rows, n), case.planted.architecture == "plain")
        zeros = {name: np.zeros(rows) for name in ("kid", "kid_error", "frechet", "distance", "vendi")}
        found.append({"given": given, "log_probability": given * 1.0, "transfer": given[:, None], "core": given,
                      "shortcut": flags, "others": flags * 0, **zeros})  # fmt: skip
    mean = Means(cases, found, SETTINGS)
    value, low, high = mean.interval(mean.column("activation", METHODS[0]))
    assert (value, low, high) == (0.5, 0.0, 1.0)  # two classifiers, one of them right on everything
    assert mean.interval(mean.column("activation", METHODS[0]), mean.architecture == "plain") == (1, 1, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"worlds": ("moon",)}, "must be one of shapes, scenes; got 'moon'"),
        ({"worlds": ()}, "at least one world"),
        ({"images": 4}, "`images` must be an integer >= 8"),
        ({"iterations": 0}, "`iterations` must be an integer >= 1"),
    ],
)
def test_settings_out_of_range(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ExplainSettings(**changes)
