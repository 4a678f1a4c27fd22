"""The shapes experiment: on the drawer, small, end to end; its stages, its document, its bad input."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genlens.baselines.lime import LimeSettings, rank_by_lime
from genlens.classifiers.bundled import load_shapes_concepts
from genlens.datasets.shapes import CONCEPTS
from genlens.errors import UserError
from genlens.experiments import (
    shapes_architectures,
    shapes_baselines,
    shapes_hard,
    shapes_lab,
    shapes_main,
    shapes_quality,
)
from genlens.experiments.shapes import PARTS, Reproduction, check_parts, reproduce_shapes
from genlens.experiments.shapes_baselines import THRESHOLDS, best_gradcam, best_lime, pooled_r
from genlens.experiments.shapes_correlation import PAIR, correlated_table
from genlens.experiments.shapes_lab import Settings
from genlens.experiments.shapes_models import sample_targets, shapes_table
from genlens.experiments.shapes_questions import QUESTIONS, questions_section
from genlens.experiments.stages import Stages
from genlens.generators.drawer import DrawerGenerator
from genlens.generators.protocol import Generator
from genlens.reports.document import Picture, Section, Table, to_markdown, write_html

SMALL = Settings(models=4, rows=40, n_repeats=5, lime_rows=32, lime_samples=10, generator="drawer")


class Never(DrawerGenerator):
    """The drawer, which must not be asked again."""

    def generate(self, captions: object, seeds: object) -> np.ndarray:
        raise AssertionError("an image was rendered twice")


def tune_little(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shapes_lab, "N_TUNING_ROWS", 32)
    patch.setattr(shapes_lab, "N_TUNING_MODELS", 2)
    patch.setattr(shapes_main, "N_TUNING_LIME_ROWS", 32)
    patch.setattr(shapes_baselines, "LIME_CHOICES", (("slic", "median"),))
    patch.setattr(shapes_baselines, "LIME_THRESHOLDS", ("values:5", "max:0.5"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reproduction, list[str]]:
    """The main part, small."""
    out, lines = tmp_path_factory.mktemp("shapes") / "out", []
    with pytest.MonkeyPatch.context() as patch:
        tune_little(patch)
        return out, reproduce_shapes(out, DrawerGenerator(), SMALL, parts=["main"], log=lines.append), lines


def test_a_perfect_generator_agrees_with_the_bottleneck(run: tuple[Path, Reproduction, list[str]]) -> None:
    text = run[1].markdown.read_text()
    found = re.search(r"bottleneck at r = (\d\.\d+)", text)
    assert found and float(found[1]) >= 0.99
    reliance = re.search(r"agrees with the weights at r = (\d\.\d+)", text)
    assert reliance and float(reliance[1]) >= 0.98


def test_the_report_is_one_file_with_its_figures(run: tuple[Path, Reproduction, list[str]]) -> None:
    out, result, _ = run
    page = result.report.read_text()
    assert page.count("data:image/png;base64,") == len(list((out / "figures").glob("*.png"))) == 7
    assert "<script" not in page and "http" not in re.sub(r"xmlns|http-equiv", "", page)
    linked = re.findall(r"\]\((figures/[^)]+)\)", result.markdown.read_text())
    assert len(linked) == 7 and all((out / name).is_file() for name in linked)


def test_a_finished_experiment_computes_nothing_again(
    run: tuple[Path, Reproduction, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, first, lines = run
    tune_little(monkeypatch)
    tables = first.markdown.read_text()
    again: list[str] = []
    second = reproduce_shapes(out, Never(), SMALL, parts=["main"], log=again.append)
    assert lines and not again
    assert second.seconds == first.seconds and second.markdown.read_text() == tables


def test_another_seed_needs_another_folder(run: tuple[Path, Reproduction, list[str]]) -> None:
    with pytest.raises(UserError, match=r"was written with seed=0; this run asks for seed=1"):
        reproduce_shapes(run[0], DrawerGenerator(), Settings(4, 40, 5, 32, 10, 1), parts=["main"], log=print)


def test_the_open_questions_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes_architectures, "N_STEPS", 2)
    monkeypatch.setattr(shapes_architectures, "NETS", {"plain, 2": ("plain", 2), "plain, 3": ("plain", 3)})
    monkeypatch.setattr("genlens.experiments.shapes_correlation.CORRELATIONS", (0.0, 0.95))
    monkeypatch.setattr(shapes_quality, "HARMS", shapes_harms())
    monkeypatch.setattr(shapes_quality, "LAYOUTS", (1,))
    monkeypatch.setattr(shapes_quality, "VARIANTS", (("shipped, 2 steps", {"num_inference_steps": 2}),))
    monkeypatch.setattr(shapes_quality, "STAGES", (7,))
    monkeypatch.setattr(shapes_quality, "snapshots", lambda folder, steps, progress: {7: folder / "step-0007"})
    monkeypatch.setattr("genlens.experiments.shapes_continuous.N_PLANS", 1)
    monkeypatch.setattr(shapes_hard, "CASES", tuple(shapes_hard.CASES[k] for k in (1, 3, 6, 8)))
    monkeypatch.setattr(shapes_hard, "N_ADJUSTED_MODELS", 1)
    loaded: list[object] = []

    def load(source: Path | None = None, **options: object) -> Generator:
        loaded.append(options if source is None else source.name)
        return DrawerGenerator()

    result = reproduce_shapes(
        tmp_path / "out", DrawerGenerator(), SMALL, parts=PARTS[1:], load=load, log=lambda line: None
    )
    text = result.markdown.read_text()
    titles = re.findall(r"^### (.+)$", text, re.M)
    assert titles == ["Architectures trained on the same data", "Correlated concepts",
                      "Quality and diversity of the generator", "Hard-to-permute concepts", "Continuous concepts",
                      "Open questions and where they are answered", "Command and cost"]  # fmt: skip
    assert loaded == ["step-0007", {"num_inference_steps": 2}]
    slopes = {cells[0]: float(cells[3]) for cells in table_rows(text) if cells[0] in dict(shapes_harms())}
    assert slopes["drawer, no harm"] == pytest.approx(1, abs=0.02)
    assert slopes["ignores 80% of flips"] < 0.5


def test_every_question_is_answered_by_a_section_or_named_as_out_of_reach(tmp_path: Path) -> None:
    assert {part for _, part, _ in QUESTIONS} == {*PARTS, ""}
    assert all(where.startswith("out of reach of shapes: ") for _, part, where in QUESTIONS if not part)
    only_main = questions_section(["main"]).tables[0].rows
    assert len(only_main) == sum(part in ("main", "") for _, part, _ in QUESTIONS) < len(QUESTIONS)


def table_rows(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]


def shapes_harms() -> tuple[tuple[str, dict[str, object]], ...]:
    from genlens.experiments.shapes_quality import HARMS

    wanted = ("drawer, no harm", "ignores 80% of flips", "red circle leaks, 60%", "blur of 4.5 pixels")
    return tuple(harm for harm in HARMS if harm[0] in wanted)


def test_labels_are_above_the_median_of_each_models_score() -> None:
    presence = np.random.default_rng(0).integers(0, 2, (101, 6))
    targets = sample_targets(7, presence, 0)
    scores = presence @ targets.weights.T
    assert ((scores > np.median(scores, axis=0)) == targets.labels.T).all()
    assert targets.weights.shape == (7, 6) and targets.weights.min() >= 0 and targets.weights.max() <= 1
    assert not np.allclose(targets.weights, sample_targets(7, presence, 0, "tuning").weights)


def test_the_pair_is_correlated_and_the_others_are_not() -> None:
    presence = correlated_table(4000, 3, 0.75).presence().astype(float)
    found = np.corrcoef(presence.T)
    assert found[PAIR] == pytest.approx(0.75, abs=0.04)
    found[PAIR] = found[PAIR[::-1]] = 0
    assert np.abs(found - np.eye(len(CONCEPTS))).max() < 0.06


def test_tuning_takes_the_setting_with_the_largest_correlation() -> None:
    assert best_gradcam({"r": np.arange(len(THRESHOLDS), dtype=float)}) == THRESHOLDS[-1]
    r = np.zeros((4, 8))
    r[2, 1] = 0.5
    assert best_lime({"r": r}) == ("quickshift", "median", "values:3")
    assert pooled_r(np.ones((2, 3)), np.arange(6.0).reshape(2, 3)) == -1
    assert pooled_r(np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3)) == pytest.approx(1)


def test_lime_in_parts_is_lime(tmp_path: Path) -> None:
    table = shapes_table(tmp_path / "data", 6, 3)
    net, targets = load_shapes_concepts(), sample_targets(2, table.presence(), 0)
    choice = ("slic", "mean", "max:0.5")
    parts = [
        shapes_baselines.lime_overlaps(targets, net, table, choice, 12, rows)["iou"] for rows in ((0, 1), (2, 3, 4, 5))
    ]
    found = shapes_baselines.lime(table, np.concatenate(parts))
    settings = LimeSettings(n_samples=12, superpixels="slic", hide="mean")
    whole = rank_by_lime(targets.heads(net), table, settings, threshold="max:0.5")
    np.testing.assert_allclose(found["importance"], whole.importance, rtol=1e-5)


def counted(calls: list[int]) -> Callable[[], dict[str, np.ndarray]]:
    def compute() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"x": np.arange(3)}

    return compute


def test_a_stage_is_computed_once_for_each_of_its_settings(tmp_path: Path) -> None:
    calls: list[int] = []
    stages = Stages(tmp_path / "stages", log=lambda line: None)
    for settings in ({"a": 1}, {"a": 1}, {"a": 2}):
        assert stages.run("one", settings, counted(calls))["x"].tolist() == [0, 1, 2]
    assert len(calls) == 2


def test_a_damaged_stage_is_computed_again(tmp_path: Path) -> None:
    calls: list[int] = []
    stages = Stages(tmp_path, log=lambda line: None)
    stages.run("one", {}, counted(calls))
    (tmp_path / "one.npz").write_bytes((tmp_path / "one.npz").read_bytes()[:40])
    stages.run("one", {}, counted(calls))
    assert len(calls) == 2


def test_a_document_is_the_same_in_both_forms(tmp_path: Path) -> None:
    picture = tmp_path / "figure.png"
    picture.write_bytes(b"\x89PNG")
    tables = (Table("Small", ("name", "value"), (("a|b", "1"),)), Table("Long", ("name",), (("z",),), short=False))
    sections = [Section("Part <one>", ("Text & more.",), tables, (Picture(picture, "A figure"),))]
    text = to_markdown(sections, "figures")
    assert "### Part <one>" in text and "| a\\|b | 1 |" in text and "Long" not in text
    assert "![A figure](figures/figure.png)" in text
    write_html("Title", "Support", sections, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Part &lt;one&gt;" in page and "Text &amp; more." in page and "Long" in page and "a|b" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": 1}, r"`models` must be an integer >= 2; got 1"),
        ({"rows": 31}, r"`rows` must be an integer >= 32; got 31"),
        ({"n_repeats": 0}, r"`n_repeats` must be an integer >= 1; got 0"),
        ({"rows": 50, "lime_rows": 60}, r"`lime_rows` must be at most `rows`, here 50; got 60"),
        ({"lime_samples": 1}, r"`lime_samples` must be an integer >= 2; got 1"),
        ({"seed": -1}, r"`seed` must be an integer >= 0; got -1"),
    ],
)
def test_sizes_out_of_range(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Settings(**arguments)  # type: ignore[arg-type]


def test_unknown_parts() -> None:
    assert check_parts(["quality", "main", "main"]) == ("main", "quality")
    with pytest.raises(UserError, match=r"`only` must name parts among main, .*; got 'shapes'"):
        check_parts(["main", "shapes"])
    with pytest.raises(UserError, match="`only` must name at least one part"):
        check_parts([])


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"`out` must be a folder; .*file is a file"):
        reproduce_shapes(tmp_path / "file", DrawerGenerator(), SMALL, parts=["main"])
