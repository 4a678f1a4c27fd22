"""Placebo, variance, doses and effects by row of whole runs, with generators and models whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from genlens.analyses.variance import variance
from genlens.audit import Audit
from genlens.captions import FieldsTemplate
from genlens.classifiers import CallableClassifier
from genlens.concepts import Concept, ConceptTable
from genlens.datasets.shapes import CONCEPTS
from genlens.depict import permutation_importance
from genlens.errors import UserError
from genlens.generators.drawer import DrawerGenerator
from genlens.importance.result import Analysis, ImportanceResult
from genlens.metrics import get_scoring
from genlens.plan import make_plan

N = 120


class Pixels:
    """A generator of one pixel: the number of each field in a channel, some grey levels of noise, maybe by order.

    Args:
        noise: largest amount added, by the seed.
        order: added to the first channel where the first field isn't "a".
    """

    def __init__(self, noise: int = 0, order: int = 0) -> None:
        self.noise, self.order = noise, order

    @property
    def fingerprint(self) -> str:
        return f"pixels {self.noise} {self.order}"

    def check_captions(self, captions: Sequence[str]) -> None:
        """Nothing is too long."""

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        images = np.zeros((len(captions), 1, 1, 3), dtype=np.uint8)
        for i, (text, seed) in enumerate(zip(captions, seeds, strict=True)):
            fields = dict(field.split(": ") for field in text.split(", "))
            images[i, 0, 0, : len(fields)] = [int(fields[name]) for name in sorted(fields)]
            late = self.order * (not text.startswith("a"))
            images[i, 0, 0, 0] += late + np.random.default_rng([seed, len(text), late]).integers(0, self.noise + 1)
        return images


def table(seed: int = 0) -> ConceptTable:
    rng = np.random.default_rng(seed)
    hat, tie = rng.integers(0, 2, (2, N))
    age = rng.integers(20, 81, N).astype(float)
    concepts = (Concept("a", "number", age), Concept("b", "binary", hat), Concept("c", "binary", tie))
    labels = ((age - 50) / 10 + 2 * hat * tie + rng.normal(0, 1, N) > 0.5).astype(int)
    return ConceptTable(tuple(f"row {k}" for k in range(N)), concepts, labels, caption_template=FieldsTemplate())


def model(images: Sequence[np.ndarray]) -> np.ndarray:
    """Log-odds: a threshold of "a" at 55, and "b" and "c" only together."""
    pixel = np.array([image[0, 0] for image in images], dtype=float)
    return 3.0 * (pixel[:, 0] > 55) - 1.5 + 2 * pixel[:, 1] * pixel[:, 2] + 0.001 * pixel[:, 0]


def run(generator: Any = None, **options: Any) -> ImportanceResult:
    classifier = CallableClassifier(model, outputs="logits", fingerprint="model")
    return permutation_importance(classifier, table(), generator or Pixels(), n_repeats=20, **options)


def analysis(result: ImportanceResult, code: str) -> Analysis:
    (found,) = [item for item in result.analyses if item.code == code]
    return found


def test_the_drawer_heeds_no_order_so_its_placebo_is_exactly_nothing(shapes_table: ConceptTable) -> None:
    red = CallableClassifier(lambda images: [255.0 - image[..., 1].mean() for image in images], fingerprint="red")
    result = permutation_importance(red, shapes_table, DrawerGenerator(), n_repeats=2)
    found = analysis(result, "placebo")
    assert "it moves the score by .000 [.000, .000] on average and 0.0% of the decisions" in found.message
    assert [record["concept"] for record in found.table] == [*CONCEPTS, "placebo"]
    assert found.table[-1]["reliance"] == 0.0


def test_a_generator_that_heeds_the_order_has_a_floor_and_concepts_below_it() -> None:
    found = analysis(run(Pixels(order=30)), "placebo")
    floor = found.table[-1]["reliance"]
    assert floor > 0.5
    below = [record["concept"] for record in found.table[:-1] if not record["above_the_floor"]]
    assert "b" in below and "can't be told from the generator's own noise" in found.advice
    assert analysis(run(), "placebo").table[-1]["reliance"] == 0.0


def test_the_placebo_costs_its_rows_and_may_be_left_out() -> None:
    without, few, many = (run(placebo_rows=n) for n in (0, 50, 1000))
    assert [few.n_images - without.n_images, many.n_images - without.n_images] == [50, N]
    assert "placebo" not in [item.code for item in without.analyses]
    assert "in 50 rows" in analysis(few, "placebo").message
    np.testing.assert_array_equal(without.importance, many.importance)


def test_a_table_of_one_concept_says_that_there_is_no_placebo() -> None:
    rng = np.random.default_rng(0)
    one = ConceptTable(tuple(f"row {k}" for k in range(40)), (Concept("red circle", "binary", np.arange(40) % 2),),
                       rng.integers(0, 2, 40))  # fmt: skip
    red = CallableClassifier(lambda images: [image[..., 1].mean() for image in images], fingerprint="red")
    result = permutation_importance(red, one, DrawerGenerator(), n_repeats=2)
    assert analysis(result, "placebo").message.startswith("There is none: no caption of this table names two concepts")
    assert not analysis(result, "placebo").table


def test_one_draw_says_that_it_cannot_be_split_two_draws_are() -> None:
    one, two = analysis(run(), "variance"), analysis(run(Pixels(noise=20), n_draws=2), "variance")
    assert "the generator's noise can't be told from the rows' own spread" in one.message and "`n_draws`" in one.advice
    assert "from_noise" not in one.table[0]
    assert "either takes twice the images" in two.message
    record = two.table[0]
    assert record["se"] ** 2 == pytest.approx(record["from_rows"] ** 2 + record["from_noise"] ** 2, rel=1e-6)
    assert record["from_noise"] > 0 and record["with_P_permutations"] > record["se"]


def test_scores_without_a_closed_form_say_so() -> None:
    rows = table()
    plan = make_plan(rows, 0)
    audit = Audit(rows, plan, rows.labels, get_scoring("f1"), np.zeros(plan.n_images), None, None, None, 0.95, 0)
    assert "'f1' has no closed form" in variance(audit).message


def test_a_threshold_shows_in_the_dose_response() -> None:
    result = run(doses={"a": [20, 40, 50, 60, 80]})
    found = analysis(result, "doses")
    score = {record["value"]: record["score"] for record in found.table}
    assert score[50] - score[20] == pytest.approx(0.03) and score[60] - score[50] == pytest.approx(3.01)
    assert "a: the score doesn't follow a line" in found.message and "lowest at 20" in found.message
    assert all(0 < record["probability"] < 1 for record in found.table)
    own = np.array(table().concepts[0].values)
    at_20 = next(record for record in found.table if record["value"] == 20)
    assert at_20["score_change"] == pytest.approx(np.mean(3.0 * (20 > 55) + 0.02 - 3.0 * (own > 55) - 0.001 * own))
    assert result.settings["doses"] == {"a": [20, 40, 50, 60, 80]}


def test_few_rows_may_have_doses() -> None:
    all_rows, some = run(doses=3, placebo_rows=0), run(doses=3, dose_rows=20, placebo_rows=0)
    assert all_rows.n_images > some.n_images
    assert len(analysis(some, "doses").table) == len(analysis(all_rows, "doses").table) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"doses": {"a": [0, 50]}}, "`doses` of 'a' must lie within what the table has"),
        ({"dose_rows": 20}, "`dose_rows`=20 has no effect without `doses`"),
        ({"placebo_rows": -1}, "`placebo_rows` must be an integer >= 0; got -1"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(**options)


def test_the_effects_by_row_are_those_of_the_model() -> None:
    result = run()
    rows = table()
    hat, tie = rows.concept("b").values, rows.concept("c").values
    frame = result.row_effects()
    assert list(frame.columns) == ["row_id", "concept", "own", "effect"]
    b = frame[frame["concept"] == "b"].reset_index(drop=True)
    np.testing.assert_allclose(b["effect"], 2.0 * tie)
    assert b["row_id"].tolist() == list(rows.row_ids)
    assert b["own"].tolist() == [("off", "on")[value] for value in hat]
    assert frame[frame["concept"] == "a"]["own"].iloc[0] == f"{rows.concept('a').values[0]:g}"
    record = next(record for record in analysis(result, "effects").table if record["concept"] == "b")
    assert record["mean_effect"] == pytest.approx(2 * tie.mean())
    assert (record["lowest_5%"], record["highest_5%"]) == pytest.approx((0.0, 2.0), abs=1e-6)
    assert record["q_value"] < 1e-6
    old = np.array(rows.concept("a").values) > 55  # decided by age alone: -1.5 or 1.5, plus a little
    assert record["share_flipped"] == pytest.approx(np.mean(~old & (tie == 1)))
    assert "Rows differ in the effect of b and c" in analysis(result, "effects").message


def test_concepts_that_act_only_together_interact() -> None:
    found = analysis(run(), "interactions")
    assert found.labels == ["b", "c"]
    assert found.matrix is not None
    assert found.matrix[0][1] == pytest.approx(2.0) and found.matrix[1][0] == pytest.approx(2.0)
    assert found.table[0]["interaction"] == pytest.approx(2.0) and found.table[0]["q_value"] < 1e-6
    assert found.message.startswith("The effect of b changes by +2.00")


def test_effects_and_analyses_come_back_from_disk(tmp_path) -> None:
    result = run(doses=3)
    result.save(tmp_path)
    again = ImportanceResult.load(tmp_path)
    assert again.row_effects().equals(result.row_effects())
    assert [item.code for item in again.analyses] == [item.code for item in result.analyses]
    assert analysis(again, "doses").chart == "curve" and analysis(again, "interactions").guide
    assert "Further analyses" in again.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
