"""What the other concepts say of one: strata, models, their influence, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from genlens.columns import Concept
from genlens.errors import UserError
from genlens.importance.given import (
    check_given,
    codes,
    design,
    folds_of,
    given_columns,
    given_model,
    given_strata,
    still_rows,
    within_cells,
)


def binary(name, values):
    return Concept(name, "binary", np.asarray(values))


def follows(n, chance, seed):
    """Two binary concepts; the second is the first with probability `chance`, else its opposite."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 2, n)
    return binary("cup", first), binary("tv", np.where(rng.random(n) < chance, first, 1 - first))


def test_strata_give_frequencies_among_rows_that_agree():
    cup, tv = binary("cup", [0, 0, 0, 1, 1]), binary("tv", [0, 1, 1, 1, 1])
    given = given_strata(tv.values.astype(np.int64), 2, [cup])
    np.testing.assert_allclose(given.probabilities[:, 1], [2 / 3, 2 / 3, 2 / 3, 1, 1])
    assert still_rows(given).tolist() == [False, False, False, True, True]


def test_numbers_and_large_counts_are_cut_into_quarters():
    age = Concept("age", "number", np.arange(12.0))
    many = Concept("cars", "count", np.arange(12))
    for concept in (age, many):
        code, names = codes(concept)
        assert np.bincount(code).tolist() == [3, 3, 3, 3]
        assert names[0] == f"{concept.name} in part 1"
    style = Concept("style", "category", np.array(["ink", "oil", "ink"], dtype=object))
    assert (codes(style)[0].tolist(), codes(style)[1]) == ([0, 1, 0], ["style=ink", "style=oil"])


@pytest.mark.parametrize("model", ["model", "boosting", RandomForestClassifier(20, random_state=0)])
def test_models_find_the_probability_given_the_other(model):
    cup, tv = follows(1500, 0.8, 0)
    folds = folds_of(np.random.default_rng(0).random(1500))
    given = given_model(tv.values.astype(np.int64), 2, [cup], folds, model)
    np.testing.assert_allclose(given.probabilities.sum(axis=1), 1)
    expected = np.where(cup.values == 1, 0.8, 0.2)
    np.testing.assert_allclose(given.probabilities[:, 1], expected, atol=0.04)
    assert (given.cells is None, given.design is not None) == (True, model == "model")


def test_no_row_is_predicted_by_a_model_that_saw_it():
    """Labels that are pure noise in as many columns as rows: a model that saw a row would know its value."""
    rng = np.random.default_rng(1)
    others = [binary(f"c{j}", rng.integers(0, 2, 60)) for j in range(40)]
    own = rng.integers(0, 2, 60)
    given = given_model(own, 2, others, folds_of(rng.random(60)))
    right = (given.probabilities.argmax(axis=1) == own).mean()
    assert right < 0.7


def test_a_value_that_a_fold_has_never_seen_has_probability_zero():
    own = np.array([0] * 9 + [1] * 10 + [2])
    cup = binary("cup", np.arange(20) % 2)
    given = given_model(own, 3, [cup], folds_of(np.arange(20)))
    assert given.probabilities[19, 2] == 0
    np.testing.assert_allclose(given.probabilities.sum(axis=1), 1)


def test_folds_hang_on_keys_and_keep_clusters_whole():
    keys = np.random.default_rng(0).random(50)
    order = np.random.default_rng(1).permutation(50)
    assert folds_of(keys)[order].tolist() == folds_of(keys[order]).tolist()
    assert np.bincount(folds_of(keys)).tolist() == [10] * 5
    clusters = np.arange(50) // 5
    folds = folds_of(keys, clusters)
    assert all(len(set(folds[clusters == cluster])) == 1 for cluster in range(10))


def test_the_design_has_one_column_a_value_but_the_first_and_standardised_numbers():
    style = Concept("style", "category", np.array(["ink", "oil", "pen", "ink"], dtype=object))
    age = Concept("age", "number", np.array([1.0, 2, 3, 4]))
    found = design([style, age])
    assert found[:, :2].tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]
    assert (found[:, 2].mean(), found[:, 2].std()) == (pytest.approx(0), pytest.approx(1))


@pytest.mark.parametrize("how", ["strata", "model"])
def test_the_influence_is_the_spread_of_the_mean_probability_over_samples(how):
    """Mean of slopes * P(tv | cup) on many samples: its spread is what the influences say, the slopes being known."""

    def estimate(seed):
        cup, tv = follows(400, 0.75, seed)
        own = tv.values.astype(np.int64)
        if how == "strata":
            given = given_strata(own, 2, [cup])
        else:
            given = given_model(own, 2, [cup], folds_of(np.arange(400)))
        slopes = np.stack([np.zeros(400), 1.0 + 2 * cup.values], axis=1)
        parts = (given.probabilities * slopes).sum(axis=1)
        influence = given.influence(slopes) + parts - parts.mean()
        return parts.mean(), np.sqrt((influence**2).sum()) / 400

    found = np.array([estimate(seed) for seed in range(120)])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.2)


def test_probabilities_within_cells_have_no_influence_where_slopes_are_zero():
    given = within_cells(np.array([0, 1, 1, 0]), 2, np.array([0, 0, 1, 1]))
    assert given.influence(np.zeros((4, 2))).tolist() == [0, 0, 0, 0]


THREE = [binary("cup", [0, 1, 0, 1, 0, 1]), binary("tv", [0, 1, 1, 0, 0, 0]), binary("bed", [1, 1, 0, 0, 0, 0])]


def test_columns_are_those_named_without_the_concept_itself():
    assert [c.name for c in given_columns("others", "tv", THREE)] == ["cup", "bed"]
    assert [c.name for c in given_columns(["tv", "bed"], "tv", THREE)] == ["bed"]
    assert given_columns(["tv"], "tv", THREE) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("rows", "`given` must be 'model', 'boosting', 'others', a list of concepts or a scikit-learn classifier"),
        ([], r"`given` must name at least one concept, or be 'model' or 'others'; got \[\]"),
        (["sofa"], "`given` names 'sofa', which is no concept. Concepts: cup, tv, bed."),
        (["tv", "tv"], "`given` must name each concept once; got tv, tv"),
    ],
)
def test_a_given_that_makes_no_sense_is_refused(given, message):
    with pytest.raises(UserError, match=message):
        check_given(given, THREE)


def test_strata_in_which_nothing_can_move_are_refused_and_named():
    cup, tv = binary("cup", [0, 1, 0, 1, 0]), binary("tv", [0, 1, 0, 1, 0])
    with pytest.raises(UserError, match=r"No row can change 'cup' .* even the largest \(tv=0; 3 rows\) has one value"):
        check_given("others", [cup, tv])
    check_given("model", [cup, tv])
    with pytest.raises(UserError, match="needs at least two concepts; there is one only"):
        check_given("model", [cup])


@pytest.mark.parametrize("given", ["model", "boosting", "others", ["cup"], RandomForestClassifier()])
def test_good_ones_pass(given):
    check_given(given, [*follows(30, 0.8, 0), Concept("age", "number", np.arange(30.0))])
