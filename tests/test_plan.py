"""The plan: few images, exact bookkeeping, nothing that hangs on order."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from genlens.captions import caption, reference_captions
from genlens.concepts import Concept, ConceptTable
from genlens.errors import UserError
from genlens.plan import ConceptStates, Plan, estimate, make_plan
from genlens.seeds import row_seed


def ids(n: int) -> tuple[str, ...]:
    return tuple(f"row {i}.png" for i in range(n))


def binary_table(n: int, d: int, seed: int = 0) -> ConceptTable:
    rng = np.random.default_rng(seed)
    return ConceptTable(ids(n), tuple(Concept(f"c{j}", "binary", rng.integers(0, 2, n)) for j in range(d)))


def segment_table(n: int, p: float = 0.5, seed: int = 0) -> ConceptTable:
    """Every present row has a text of its own, so a value tells its donor."""
    on = np.random.default_rng(seed).random(n) < p
    texts = np.array([f"cup at {i}" if on[i] else "" for i in range(n)], dtype=object)
    return ConceptTable(ids(n), (Concept("cup", "segment", texts),))


def pairs(plan: Plan, index: np.ndarray) -> list[tuple[str, int]]:
    return [(plan.captions[i], int(plan.seeds[i])) for i in index.ravel()]


def by_row(plan: Plan, row_ids: tuple[str, ...]) -> dict[str, Any]:
    """Everything a plan says of a row, whatever the row's and the concept's place."""
    return {
        row_id: (
            pairs(plan, plan.reference[row]),
            {states.concept: pairs(plan, states.index[row]) for states in plan.states},
        )
        for row, row_id in enumerate(row_ids)
    }


def test_thousand_rows_of_six_binary_concepts_need_seven_thousand_images() -> None:
    table = binary_table(1000, 6)
    start = time.perf_counter()
    plan = make_plan(table, 0)
    assert time.perf_counter() - start < 2
    assert plan.n_images == len(plan.seeds) == 7000
    assert plan.n_naive(500) == 3_001_000


def test_binary_states_are_off_and_on_and_one_is_the_reference() -> None:
    table = binary_table(50, 3)
    plan = make_plan(table, 7)
    texts = reference_captions(table)
    for concept, states in zip(table.concepts, plan.states, strict=True):
        assert (states.concept, states.strata) == (concept.name, ("absent", "present"))
        assert states.index.shape == (50, 2, 1)
        assert states.stratum.tolist() == [0, 1]
        assert states.own.tolist() == concept.values.tolist()
        assert states.counts.tolist() == [int((concept.values == v).sum()) for v in (0, 1)]
        for row in range(50):
            assert states.index[row, states.own[row], 0] == plan.reference[row, 0]
            for value in (0, 1):
                image = states.index[row, value, 0]
                assert plan.captions[image] == caption(table, row, {concept.name: value})
                assert plan.seeds[image] == row_seed(7, table.row_ids[row])
        assert [plan.captions[i] for i in plan.reference[:, 0]] == list(texts)


def test_pairs_are_distinct_and_all_are_used() -> None:
    plan = make_plan(segment_table(40), 0, n_draws=2)
    assert len(set(zip(plan.captions, plan.seeds.tolist(), strict=True))) == plan.n_images
    used = np.concatenate([plan.reference.ravel(), *(states.index.ravel() for states in plan.states)])
    assert set(used.tolist()) == set(range(plan.n_images))


def test_equal_captions_of_different_concepts_are_one_image() -> None:
    words = np.array(["a cup", "a cup"], dtype=object)
    twins = tuple(Concept(name, "binary", np.array([0, 1]), words) for name in ("cup", "mug"))
    plan = make_plan(ConceptTable(("a", "b"), twins), 0)
    cup, mug = plan.states
    assert cup.index[0, 1, 0] == mug.index[0, 1, 0]
    assert plan.n_images == 4


def test_draws_have_noise_of_their_own() -> None:
    table = binary_table(30, 2)
    plan = make_plan(table, 0, n_draws=3)
    assert (plan.reference.shape, plan.n_images) == ((30, 3), 3 * 30 * 3)
    assert plan.n_naive(10) == 30 * 3 * 21
    seeds = plan.seeds[plan.states[0].index]  # (N, S, R)
    assert (seeds[:, 0] == seeds[:, 1]).all()
    assert len(np.unique(seeds)) == 90


def test_fresh_noise_gives_every_state_its_own() -> None:
    plan = make_plan(binary_table(30, 2), 0, noise="fresh")
    assert plan.n_images == 30 * (1 + 2 * 2) == len(np.unique(plan.seeds))


def test_categories_and_small_counts_have_a_state_for_each_value() -> None:
    rng = np.random.default_rng(0)
    style = np.array(["ink", "oil", "pen"], dtype=object)[rng.integers(0, 3, 60)]
    count = np.array([0, 1, 2, 5])[rng.integers(0, 4, 60)]
    table = ConceptTable(ids(60), (Concept("style", "category", style), Concept("cup", "count", count)))
    plan = make_plan(table, 0)
    assert plan.states[0].strata == ("ink", "oil", "pen")
    assert plan.states[1].strata == ("0", "1", "2", "5")
    assert plan.states[1].states[0].tolist() == [0, 1, 2, 5]
    assert plan.n_images == 60 * (1 + 2 + 3)
    for concept, states in zip(table.concepts, plan.states, strict=True):
        own = states.states[np.arange(60), states.own]
        assert own.tolist() == concept.values.tolist()
        assert (states.index[np.arange(60), states.own, 0] == plan.reference[:, 0]).all()
        assert states.counts.sum() == 60


def donors_of(states: ConceptStates, values: np.ndarray) -> np.ndarray:
    """Row each present state was carried from (N, K), where values are unique."""
    source = {value: row for row, value in enumerate(values)}
    return np.array([[source[value] for value in row[states.stratum == states.stratum.max()]] for row in states.states])


@pytest.mark.parametrize("n_donors", [1, 2, 3])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_segments_are_absent_or_carried_evenly_from_other_rows(n_donors: int, p: float) -> None:
    table = segment_table(101, p)
    states = make_plan(table, 3, n_donors=n_donors).states[0]
    values = table.concepts[0].values
    assert states.strata == ("absent", "present")
    assert states.stratum.tolist() == [0] + [1] * n_donors
    assert (states.states[:, 0] == "").all()
    assert states.counts.tolist() == [int((values == "").sum()), int((values != "").sum())]
    donor = donors_of(states, values)
    assert (donor != np.arange(101)[:, None]).all(), "a row must never be its own donor"
    assert all(len(set(row)) == n_donors for row in donor.tolist())
    used = np.bincount(donor.ravel(), minlength=101)[values != ""]
    assert used.max() - used.min() <= 1


def test_donors_do_not_follow_the_row_order() -> None:
    table = segment_table(200)
    donor = donors_of(make_plan(table, 0).states[0], table.concepts[0].values)
    assert abs(np.corrcoef(np.arange(200), donor[:, 0])[0, 1]) < 0.2
    other = donors_of(make_plan(table, 1).states[0], table.concepts[0].values)
    assert (donor != other).mean() > 0.9


def test_absent_rows_keep_their_reference_image() -> None:
    table = segment_table(30)
    plan = make_plan(table, 0)
    absent = table.concepts[0].values == ""
    same = plan.states[0].index[:, 0, 0] == plan.reference[:, 0]
    assert same.tolist() == absent.tolist()


def test_numbers_and_segments_of_all_rows_have_one_stratum() -> None:
    number = Concept("age", "number", np.arange(20.0))
    segment = Concept("cup", "segment", np.array([f"cup {i}" for i in range(20)], dtype=object))
    plan = make_plan(ConceptTable(ids(20), (number, segment)), 0, n_donors=2)
    for states, name in zip(plan.states, ("any", "present"), strict=True):
        assert (states.strata, states.counts.tolist(), states.stratum.tolist()) == ((name,), [20], [0, 0])
        assert (states.own == 0).all()
        assert all(len(set(column)) == 20 for column in states.states.T.tolist())
    assert (plan.states[0].states != np.arange(20.0)[:, None]).all()


def test_counts_of_many_values_use_donors() -> None:
    values = np.arange(40) % 20
    states = make_plan(ConceptTable(ids(40), (Concept("cup", "count", values),)), 0).states[0]
    assert (states.strata, states.counts.tolist()) == (("absent", "present"), [2, 38])
    assert (states.states[:, 0] == 0).all()
    assert np.bincount(states.states[values > 0][:, 1:].astype(int).ravel())[1:].tolist() == [4] * 19


def test_more_donors_than_rows_are_cut() -> None:
    texts = np.array(["cup 1", "cup 2", "", ""], dtype=object)
    states = make_plan(ConceptTable(ids(4), (Concept("cup", "segment", texts),)), 0, n_donors=5).states[0]
    assert states.index.shape == (4, 2, 1)
    assert states.states[:2, 1].tolist() == ["cup 2", "cup 1"]
    alone = np.array(["cup 1", "", "", ""], dtype=object)
    states = make_plan(ConceptTable(ids(4), (Concept("cup", "segment", alone),)), 0).states[0]
    assert states.states[:, 1].tolist() == ["cup 1"] * 4


@pytest.mark.parametrize("noise", ["common", "fresh"])
def test_the_order_of_rows_changes_nothing(noise: Any) -> None:
    n = 60
    rng = np.random.default_rng(1)
    on = rng.integers(0, 2, n)
    table = ConceptTable(
        ids(n),
        (
            Concept("tv", "binary", on),
            Concept("cup", "segment", np.array([f"cup {i}" if on[-i] else "" for i in range(n)], dtype=object)),
            Concept("age", "number", rng.random(n)),
        ),
    )
    order = rng.permutation(n)
    here = make_plan(table, 5, noise=noise, n_draws=2)
    there = make_plan(table.take(order), 5, noise=noise, n_draws=2)
    assert by_row(here, table.row_ids) == by_row(there, table.take(order).row_ids)


def test_the_order_of_concepts_changes_words_only() -> None:
    table = binary_table(40, 3)
    turned = ConceptTable(table.row_ids, table.concepts[::-1])
    here, there = by_row(make_plan(table, 0), table.row_ids), by_row(make_plan(turned, 0), table.row_ids)

    def unordered(images: list[tuple[str, int]]) -> list[tuple[list[str], int]]:
        return [(sorted(text.split(", ")), seed) for text, seed in images]

    for row_id in table.row_ids:
        assert unordered(here[row_id][0]) == unordered(there[row_id][0])
        for name in table.names:
            assert unordered(here[row_id][1][name]) == unordered(there[row_id][1][name])


def test_a_concept_added_keeps_donors_and_seeds() -> None:
    table = segment_table(50)
    more = ConceptTable(table.row_ids, (*table.concepts, Concept("tv", "binary", np.arange(50) % 2)))
    assert make_plan(table, 0).states[0].states.tolist() == make_plan(more, 0).states[0].states.tolist()


def test_rows_without_concepts_have_empty_captions() -> None:
    plan = make_plan(ConceptTable(("a", "b"), (Concept("tv", "binary", np.array([0, 1])),)), 0)
    assert sorted(plan.captions) == ["", "", "tv", "tv"]


def test_estimate() -> None:
    plan = make_plan(binary_table(100, 2), 0)
    cost = estimate(plan, 50.0, n_repeats=25)
    assert (cost.n_images, cost.n_captions, cost.n_naive, cost.seconds) == (300, 4, 100 * 51, 6.0)
    assert estimate(plan).seconds is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, r"^`seed` must be an integer >= 0; got -1\.$"),
        ({"n_draws": 0}, r"^`n_draws` must be an integer >= 1; got 0\.$"),
        ({"n_donors": 1.5}, r"^`n_donors` must be an integer >= 1; got 1\.5\.$"),
        ({"noise": "none"}, r"^`noise` must be 'common' or 'fresh'; got 'none'\.$"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_plan(binary_table(10, 1), **{"seed": 0, **options})


@pytest.mark.parametrize(
    ("rate", "n_repeats", "message"),
    [
        (0.0, 5, r"^`images_per_second` must be > 0; got 0\.0\.$"),
        (float("nan"), 5, r"^`images_per_second` must be > 0; got nan\.$"),
        (1.0, 0, r"^`n_repeats` must be an integer >= 1; got 0\.$"),
    ],
)
def test_bad_estimates_are_refused(rate: float, n_repeats: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        estimate(make_plan(binary_table(10, 1), 0), rate, n_repeats)
