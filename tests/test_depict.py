"""The whole path, from a table to a ranking: exact numbers, negative controls, what is kept and what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.inspection import permutation_importance as sklearn_importance
from sklearn.metrics import roc_auc_score

from genlens.captions import FieldsTemplate, ListTemplate, caption, reference_captions
from genlens.classifiers import CallableClassifier, Classifier, load_demo_target, load_shapes_checker
from genlens.concepts import Concept, ConceptTable
from genlens.datasets.shapes import CONCEPTS, DEFAULT_WEIGHTS
from genlens.depict import permutation_importance
from genlens.errors import CaptionError, UserError
from genlens.generators.drawer import DrawerGenerator
from genlens.plans.placebo import placebo_rows
from genlens.seeds import row_seed

Images = Sequence[NDArray[np.uint8]]


def redness(images: Images) -> NDArray[np.float64]:
    """How much red and, less so, blue there is."""
    return np.array([[(255 - image.astype(float)) @ (0.1, 0.5, 0.3)] for image in images]).mean(axis=(1, 2, 3))


def red_model() -> Classifier:
    return CallableClassifier(redness, fingerprint="redness")


class Counting:
    """A generator that counts its images."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.rendered = inner, 0

    @property
    def fingerprint(self) -> str:
        return str(self.inner.fingerprint)

    def check_captions(self, captions: Sequence[str]) -> None:
        self.inner.check_captions(captions)

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        self.rendered += len(captions)
        images: NDArray[np.uint8] = self.inner.generate(captions, seeds)
        return images


class FieldPixels:
    """The identity generator: a caption "a: 1, b: 0" becomes one pixel row whose channels hold the values."""

    fingerprint = "field pixels"

    def check_captions(self, captions: Sequence[str]) -> None:
        """Nothing is too long."""

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        rows = [[int(field.split(": ")[1]) for field in text.split(", ")] for text in captions]
        return np.array(rows, dtype=np.uint8)[:, None, None, :]


def small_table(n: int, seed: int, names: Sequence[str] = CONCEPTS[:2]) -> ConceptTable:
    rng = np.random.default_rng(seed)
    values = np.stack([rng.permutation(np.arange(n) % 2) for _ in names])
    labels = rng.permutation(np.arange(n) % 2)
    concepts = tuple(Concept(name, "binary", row) for name, row in zip(names, values, strict=True))
    return ConceptTable(tuple(f"row {i}" for i in range(n)), concepts, labels, caption_template=ListTemplate())


def test_the_importance_is_the_mean_over_all_permutations_with_a_perfect_generator() -> None:
    table, drawer = small_table(6, 3), DrawerGenerator()
    result = permutation_importance(red_model(), table, drawer, n_repeats=3)
    seeds = [row_seed(0, row_id) for row_id in table.row_ids]
    labels = np.asarray(table.labels)
    reference = roc_auc_score(labels, redness(drawer.generate(reference_captions(table), seeds)))
    for j, concept in enumerate(table.concepts):
        drops = []
        for order in itertools.permutations(range(6)):
            texts = [caption(table, i, {concept.name: concept.values[k]}) for i, k in enumerate(order)]
            drops.append(reference - roc_auc_score(labels, redness(drawer.generate(texts, seeds))))
        assert result.importance[j] == pytest.approx(np.mean(drops), abs=1e-9)
    assert np.ptp(result.importance) > 0.01, "the problem is too flat to tell anything"


@pytest.mark.parametrize("scoring", ["roc_auc", "neg_mean_squared_error"])
def test_an_identity_generator_gives_the_numbers_of_scikit_learn_bit_for_bit(scoring: str) -> None:
    names = ("a", "b", "c")
    table = small_table(40, 5, names)
    table = ConceptTable(table.row_ids, table.concepts, table.labels, caption_template=FieldsTemplate())
    weights = np.array([1.0, 0.5, 0.25])

    class Linear:
        """scikit-learn's view of the same model."""

        classes_ = np.array([0, 1])
        _estimator_type = "regressor"

        def fit(self, *_: Any) -> None:
            """Nothing to learn."""

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def __sklearn_tags__(self) -> Any:
            from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

            mixin = ClassifierMixin if scoring == "roc_auc" else RegressorMixin
            return type("Tagged", (mixin, BaseEstimator), {})().__sklearn_tags__()

        def predict(self, matrix: NDArray[Any]) -> NDArray[np.float64]:
            return np.asarray(matrix @ weights)

        decision_function = predict

    model = CallableClassifier(lambda images: images.reshape(-1, 3) @ weights, fingerprint="linear")
    ours = permutation_importance(model, table, FieldPixels(), scoring=scoring, n_repeats=7, seed=11)
    matrix = np.stack([concept.values for concept in table.concepts], axis=1).astype(float)
    theirs = sklearn_importance(Linear(), matrix, table.labels, scoring=scoring, n_repeats=7, random_state=11)
    np.testing.assert_array_equal(ours.repeats, theirs.importances)


def test_the_demo_target_is_explained_truly_by_a_perfect_generator(shapes_table: ConceptTable) -> None:
    target = load_demo_target()
    result = permutation_importance(target, shapes_table, DrawerGenerator(), concept_classifier=load_shapes_checker())
    assert np.corrcoef(result.reliance, DEFAULT_WEIGHTS)[0, 1] > 0.999
    np.testing.assert_allclose(result.reliance_signed, DEFAULT_WEIGHTS, atol=0.01)
    assert result.real_score == pytest.approx(result.reference_score, abs=0.01)
    n_placebo = len(placebo_rows(shapes_table, 0))
    assert (result.n_images, result.n_naive) == (64 * 7 + n_placebo, 64 * (1 + 6 * 500))
    assert [picture.state for picture in result.gallery[:2]] == ["off", "on"]


HARMS: dict[str, dict[str, Any]] = {
    "none": {},
    "effective-generation": {"blur": 6.0},
    "independent-permutation": {"ignore_flips": 0.4},
    "independent-permutation (leak)": {"leak": ("red circle", "green rectangle", 0.6)},
    "reproducible-generation": {"fresh_noise": True},
}


@pytest.mark.parametrize("caught", list(HARMS))
def test_each_harm_is_caught_by_its_check_and_by_no_other(caught: str, tmp_path: Path) -> None:
    from genlens.datasets.shapes import write_imagefolder

    write_imagefolder(tmp_path / "data", 400, 8)
    table = ConceptTable.from_metadata(tmp_path / "data", CONCEPTS, "label")
    references = {
        row_seed(0, row_id): text for row_id, text in zip(table.row_ids, reference_captions(table), strict=True)
    }
    generator = DrawerGenerator(**HARMS[caught], references=references)
    checker = load_shapes_checker()
    result = permutation_importance(load_demo_target(), table, generator, concept_classifier=checker, n_repeats=2)
    verdicts = {check.code: check.verdict for check in result.checks}
    failed = {code for code, verdict in verdicts.items() if verdict == "failed"}
    assert failed == ({caught.split(" (")[0]} if caught != "none" else set()), verdicts
    if caught == "none":
        assert set(verdicts.values()) == {"passed"}


def test_a_second_classifier_renders_nothing_and_the_same_seed_repeats_every_number(tmp_path: Path) -> None:
    table, generator = small_table(16, 1), Counting(DrawerGenerator())
    first = permutation_importance(red_model(), table, generator, store=tmp_path / "run", n_repeats=5)
    rendered = generator.rendered
    assert rendered == first.n_images + 16  # 16 images are rendered twice, for the check of the seeds
    other = CallableClassifier(lambda images: -redness(images), fingerprint="other")
    second = permutation_importance(other, table, generator, store=tmp_path / "run", n_repeats=5)
    again = permutation_importance(red_model(), table, generator, store=tmp_path / "run", n_repeats=5)
    assert generator.rendered == rendered
    np.testing.assert_allclose(second.importance, -first.importance, atol=1e-12)
    assert again.ranking().equals(first.ranking())


def test_batches_and_the_order_of_rows_and_concepts_change_nothing(tmp_path: Path) -> None:
    table = small_table(16, 1)
    whole = permutation_importance(red_model(), table, DrawerGenerator(), n_repeats=5)
    single = permutation_importance(red_model(), table, DrawerGenerator(), n_repeats=5, batch_size=1)
    np.testing.assert_array_equal(whole.repeats, single.repeats)
    rows = np.random.default_rng(0).permutation(16)
    turned = permutation_importance(red_model(), table.take(rows), DrawerGenerator(), n_repeats=5)
    np.testing.assert_allclose(turned.importance, whole.importance, atol=1e-12)
    np.testing.assert_allclose(turned.reliance, whole.reliance, atol=1e-12)


def test_other_settings_on_a_run_folder_are_refused(tmp_path: Path) -> None:
    table = small_table(16, 1)
    permutation_importance(red_model(), table, DrawerGenerator(), store=tmp_path / "run", n_repeats=2)
    with pytest.raises(UserError, match=r"was written with seed=0; this run asks for seed=1\. Choose another folder"):
        permutation_importance(red_model(), table, DrawerGenerator(), store=tmp_path / "run", n_repeats=2, seed=1)
    permutation_importance(red_model(), table, DrawerGenerator(), store=tmp_path / "run", seed=1, overwrite=True)


def test_captions_that_are_too_long_are_refused_before_the_run_folder_is_made(tmp_path: Path) -> None:
    class Short(Counting):
        def check_captions(self, captions: Sequence[str]) -> None:
            raise CaptionError("3 of 9 captions are too long")

    with pytest.raises(CaptionError, match="3 of 9 captions are too long"):
        permutation_importance(red_model(), small_table(8, 1), Short(DrawerGenerator()), store=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_concept_classifier_of_other_concepts_is_refused() -> None:
    table = small_table(8, 1, ("person", "tv"))
    with pytest.raises(UserError, match=r"The concept classifier doesn't know 'person'\. It knows: red circle, "):
        permutation_importance(red_model(), table, DrawerGenerator(), concept_classifier=load_shapes_checker())
    two = CallableClassifier(lambda images: np.zeros((len(images), 3)), fingerprint="three")
    with pytest.raises(UserError, match="must have one output for each of the 2 concepts; got 3"):
        permutation_importance(red_model(), table, DrawerGenerator(), concept_classifier=two)


def test_labels_must_come_from_somewhere(shapes_table: ConceptTable) -> None:
    table = small_table(8, 1)
    bare = ConceptTable(table.row_ids, table.concepts)
    with pytest.raises(UserError, match="`table` has no labels"):
        permutation_importance(red_model(), bare, DrawerGenerator())
    with pytest.raises(UserError, match="`label_from_classifier` needs real images"):
        permutation_importance(red_model(), table, DrawerGenerator(), label_from_classifier=True)
    constant = CallableClassifier(lambda images: np.ones((len(images), 1)), fingerprint="one", outputs="logits")
    with pytest.raises(UserError, match="decides the same on every real image"):
        permutation_importance(constant, shapes_table, DrawerGenerator(), label_from_classifier=True)


def test_the_label_can_be_the_classifiers_own_decision(shapes_table: ConceptTable) -> None:
    result = permutation_importance(load_demo_target(), shapes_table, DrawerGenerator(), label_from_classifier=True)
    assert result.real_score == 1.0  # its score agrees with its own decision


def test_many_classes_are_scored_together_or_one_by_one() -> None:
    table = small_table(30, 2)
    labels = np.arange(30) % 3
    table = table.with_labels(labels, "kind")

    def three(images: Images) -> NDArray[np.float64]:
        score = redness(images) / 10
        return np.stack([np.zeros_like(score), score - score.mean(), score.mean() - score], axis=1)

    model = CallableClassifier(three, fingerprint="three", outputs="logits")
    together = permutation_importance(model, table, DrawerGenerator(), scoring="accuracy", n_repeats=4, batch_size=500)
    assert 0 <= together.reference_score <= 1
    one = permutation_importance(model, table, DrawerGenerator(), target_class=1, n_repeats=4, batch_size=500)
    assert one.target_class == 1
    with pytest.raises(UserError, match="must have two values for an AUROC; got 3"):
        permutation_importance(model, table, DrawerGenerator(), n_repeats=4)
