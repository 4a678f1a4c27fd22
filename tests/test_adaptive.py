"""Flips of some rows only, end to end: the same numbers where nothing is left out, fewer images where something is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from genlens.adaptive import restricted
from genlens.captions import ListTemplate
from genlens.classifiers import CallableClassifier, Classifier, load_shapes_checker
from genlens.concepts import Concept, ConceptTable
from genlens.depict import permutation_importance
from genlens.errors import UserError
from genlens.importance.result import ImportanceResult
from genlens.plan import make_plan

WEIGHTS = np.array([4.0, 2.0, 1.0, 0.0, 0.0])
NAMES = ("a", "b", "c", "d", "e")


class Pixels:
    """A caption "a, c" becomes a picture of one row whose pixels say which names it holds, and noise by the seed."""

    fingerprint = "pixels"

    def __init__(self) -> None:
        self.rendered, self.dies_after = 0, 10**9

    def check_captions(self, captions: Sequence[str]) -> None:
        """Nothing is too long."""

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        if self.rendered + len(captions) > self.dies_after:
            raise KeyboardInterrupt
        self.rendered += len(captions)
        images = np.zeros((len(captions), 1, len(NAMES) + 1, 3), dtype=np.uint8)
        for image, caption, seed in zip(images, captions, seeds, strict=True):
            image[0, :-1] = [[10 * (name in caption.split(", "))] * 3 for name in NAMES]
            image[0, -1] = np.random.default_rng(seed).integers(0, 100)
        return images


def linear(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    stacked = np.stack(list(images)).astype(float)[:, 0, :, 0]
    return stacked[:, :-1] @ WEIGHTS + 0.3 * stacked[:, -1]


def model() -> Classifier:
    return CallableClassifier(linear, fingerprint="linear", outputs="scores")


def table(n_rows: int = 400, seed: int = 0) -> ConceptTable:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2, (n_rows, len(NAMES)))
    labels = (values @ WEIGHTS + rng.normal(0, 2, n_rows) > WEIGHTS.sum() / 2).astype(int)
    concepts = tuple(Concept(name, "binary", column) for name, column in zip(NAMES, values.T, strict=True))
    return ConceptTable(tuple(f"row {i}" for i in range(n_rows)), concepts, labels, caption_template=ListTemplate())


def ranked(data: ConceptTable, generator: Any = None, **options: Any) -> ImportanceResult:
    return permutation_importance(model(), data, generator or Pixels(), n_repeats=10, placebo_rows=0, **options)


@pytest.fixture(scope="module")
def full() -> ImportanceResult:
    return ranked(table())


def test_flips_of_all_rows_are_the_full_run_to_the_bit(full: ImportanceResult) -> None:
    ours = ranked(table(), flip_rows=400)
    assert ours.n_images == full.n_images
    assert ours.ranking().equals(full.ranking())
    np.testing.assert_array_equal(ours.repeats, full.repeats)


@pytest.mark.parametrize("scoring", ["roc_auc", "neg_mean_squared_error"])
def test_fewer_flips_take_fewer_images_and_find_nearly_the_same(scoring: str) -> None:
    full, generator = ranked(table(), scoring=scoring), Pixels()
    ours = ranked(table(), generator, flip_rows=100, scoring=scoring)
    assert ours.n_images == 400 + 100 * 5
    assert generator.rendered <= ours.n_images + 16  # those rendered twice
    assert np.abs(ours.importance - full.importance).max() < 0.3 * full.se.max()
    assert np.isfinite(ours.effects).sum(axis=1).tolist() == [100] * 5
    analysis = next(analysis for analysis in ours.analyses if analysis.code == "fewer-images")
    assert "900 of the 2,400 images" in analysis.message
    assert analysis.table[0]["rows"] == 100
    assert analysis.table[0]["explained"] > 0.9


def test_stopping_saves_images_and_keeps_the_order(full: ImportanceResult) -> None:
    generator = Pixels()
    ours = ranked(table(), generator, stop_when_separated=True)
    assert ours.n_images < 0.75 * full.n_images
    assert ours.ranking()["concept"].tolist()[:3] == ["a", "b", "c"]
    analysis = next(analysis for analysis in ours.analyses if analysis.code == "fewer-images")
    rows = {record["concept"]: record["rows"] for record in analysis.table}
    assert rows["a"] < 400
    assert {record["concept"]: (record["rank_best"], record["rank_worst"]) for record in analysis.table}["a"] == (1, 1)
    assert (ours.ci_high - ours.ci_low >= full.ci_high - full.ci_low - 1e-9).all()


def test_concepts_that_do_nothing_stop_at_once_with_and_without_a_bound() -> None:
    for bound in (0.01, 0.0):
        ours = ranked(table(), stop_when_separated=True, min_importance=bound)
        analysis = next(analysis for analysis in ours.analyses if analysis.code == "fewer-images")
        rows = {record["concept"]: record["rows"] for record in analysis.table}
        assert rows["d"] == rows["e"] == 100


def test_a_stopped_run_goes_on_to_the_same_ranking(tmp_path: Path) -> None:
    whole = ranked(table(), stop_when_separated=True, store=tmp_path / "whole", batch_size=32)
    whole.save(tmp_path / "whole")
    generator = Pixels()
    for dies_after in (100, 500, 200):
        generator.rendered, generator.dies_after = 0, dies_after
        with pytest.raises(KeyboardInterrupt):
            ranked(table(), generator, stop_when_separated=True, store=tmp_path / "run", batch_size=32)
    generator.dies_after = 10**9
    ranked(table(), generator, stop_when_separated=True, store=tmp_path / "run", batch_size=32).save(tmp_path / "run")
    assert (tmp_path / "run" / "ranking.csv").read_bytes() == (tmp_path / "whole" / "ranking.csv").read_bytes()


def test_a_run_of_some_flips_goes_on_to_all_of_them(tmp_path: Path, full: ImportanceResult) -> None:
    generator = Pixels()
    ranked(table(), generator, flip_rows=50, store=tmp_path)
    before, generator.rendered = generator.rendered, 0
    again = ranked(table(), generator, store=tmp_path)
    assert generator.rendered <= full.n_images - before + 16
    assert again.ranking().equals(full.ranking())


def test_the_order_of_rows_does_not_matter() -> None:
    data = table()
    shuffled = data.take(np.random.default_rng(3).permutation(400))
    one, other = ranked(data, flip_rows=80), ranked(shuffled, flip_rows=80)
    np.testing.assert_allclose(one.importance, other.importance, atol=2e-3)
    assert one.n_images == other.n_images


def test_checks_and_report_work_with_some_flips(shapes_table: ConceptTable, tmp_path: Path) -> None:
    from genlens.classifiers import load_demo_target
    from genlens.generators.drawer import DrawerGenerator

    result = permutation_importance(
        load_demo_target(), shapes_table, DrawerGenerator(), concept_classifier=load_shapes_checker(), flip_rows=40
    )
    verdicts = {check.code: check.verdict for check in result.checks}
    assert verdicts["reproducible-generation"] == "passed"
    assert verdicts["independent-permutation"] != "failed"
    text = result.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Fewer images" in text


def test_a_restricted_plan_shows_the_same_images() -> None:
    data = table(60)
    plan = make_plan(data, 0)
    rows = np.array([3, 7, 11, 40])
    part, images = restricted(plan, rows)
    for states, whole in zip(part.states, plan.states, strict=True):
        np.testing.assert_array_equal(images[states.index], whole.index[rows])
        assert states.counts.sum() == 4
    assert [part.captions[i] for i in part.reference[:, 0]] == [plan.captions[i] for i in plan.reference[rows, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip_rows": 5}, "`flip_rows` must lie between 20 and the table's 400 rows; got 5"),
        ({"flip_rows": 401}, "`flip_rows` must lie between 20 and the table's 400 rows; got 401"),
        ({"flip_rows": 50, "stop_when_separated": True}, "Give either `flip_rows` or `stop_when_separated`"),
        ({"flip_rows": 50, "scoring": "f1"}, "needs a score with a closed form; got `scoring`='f1'"),
        ({"stop_when_separated": True, "min_importance": -1.0}, "`min_importance` must be >= 0; got -1.0"),
        ({"flip_rows": 50, "shapley": True}, "`shapley` needs the images of all rows"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_rendered(options: dict[str, Any], message: str) -> None:
    generator = Pixels()
    with pytest.raises(UserError, match=message):
        ranked(table(), generator, **options)
    assert generator.rendered == 0


def test_rows_in_which_a_concept_is_constant_are_refused() -> None:
    data = table()
    rare = np.zeros(400, dtype=int)
    rare[5] = 1
    data = ConceptTable(
        data.row_ids, (*data.concepts[:-1], Concept("e", "binary", rare)), data.labels, caption_template=ListTemplate()
    )
    with pytest.raises(UserError, match="`flip_rows`=20: in these rows a concept or the label is constant; take"):
        ranked(data, flip_rows=20)
