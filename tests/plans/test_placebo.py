"""The placebo: which captions are edited, and how."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.captions import FieldsTemplate, FormatTemplate, ListTemplate, reference_captions
from genlens.concepts import Concept, ConceptTable
from genlens.plan import make_plan
from genlens.plans.placebo import FULL_STOP, REVERSED, placebo_edits, placebo_extra, placebo_rows
from genlens.seeds import row_seed

CUP, BED, TV = (np.array(values) for values in ([1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]))


def table(template: object, **fields: object) -> ConceptTable:
    concepts = tuple(
        Concept(name, "binary", values) for name, values in (("cup", CUP), ("bed", BED), ("tv", TV))
    )
    return ConceptTable(tuple("abcd"), concepts, caption_template=template, **fields)  # type: ignore[arg-type]


def test_lists_and_fields_are_read_backwards_their_context_stays() -> None:
    kind, edited = placebo_edits(table(ListTemplate(), context=("at home",) * 4))
    assert (kind, edited) == (REVERSED, ("tv, bed, cup, at home", "cup, at home", "bed, at home", "tv, at home"))
    kind, edited = placebo_edits(table(FieldsTemplate(), context=("clear",) * 4))
    assert (kind, edited[1]) == (REVERSED, "tv: 0, bed: 0, cup: 1, Findings: clear")


def test_texts_of_rows_go_with_their_concept() -> None:
    texts = np.array([f"cup at {k}" for k in range(4)], dtype=object)
    concepts = (Concept("cup", "binary", CUP, texts), Concept("bed", "binary", BED))
    assert placebo_edits(ConceptTable(tuple("abcd"), concepts))[1][0] == "bed, cup at 0"


@pytest.mark.parametrize(
    ("sentence", "first"), [("a {cup} {bed} {tv}", "a cup bed tv."), ("a {cup} {bed} {tv}.", "a cup bed tv")]
)
def test_sentences_get_or_lose_their_full_stop(sentence: str, first: str) -> None:
    kind, edited = placebo_edits(table(FormatTemplate(sentence)))
    assert (kind, edited[0]) == (FULL_STOP, first)


def test_empty_sentences_are_left_as_they_are() -> None:
    kind, edited = placebo_edits(table(FormatTemplate("{cup}{bed}{tv}")))
    assert kind == FULL_STOP and edited[0] == "cupbedtv."
    cup = Concept("cup", "binary", np.array([0, 1]))
    empty = ConceptTable(("a", "b"), (cup,), caption_template=FormatTemplate("{cup}"))
    assert placebo_edits(empty)[1] == ("", "cup.")
    assert placebo_rows(empty, 0).tolist() == [1]


def test_only_rows_whose_caption_changes_take_part() -> None:
    assert placebo_rows(table(ListTemplate()), 0).tolist() == [0]
    assert placebo_rows(table(FieldsTemplate()), 0).tolist() == [0, 1, 2, 3]


def test_a_table_of_single_concepts_has_no_placebo() -> None:
    single = ConceptTable(("a", "b"), (Concept("cup", "binary", np.array([0, 1])),))
    plan = make_plan(single, 0, extras={"placebo": placebo_extra()})
    assert plan.extras["placebo"] == () and plan.n_images == 4


def many(n: int) -> ConceptTable:
    rng = np.random.default_rng(0)
    concepts = tuple(Concept(name, "binary", rng.integers(0, 2, n)) for name in ("cup", "bed", "tv", "sink"))
    return ConceptTable(tuple(f"row {k}" for k in range(n)), concepts)


@pytest.mark.parametrize("noise", ["common", "fresh"])
def test_the_first_slot_is_the_reference_image_the_second_the_edited_caption(noise) -> None:
    rows = many(40)
    plan = make_plan(rows, 5, n_draws=2, noise=noise, extras={"placebo": placebo_extra(10)})
    (states,) = plan.extras["placebo"]
    chosen = placebo_rows(rows, 5, 10)
    assert states.index.shape == (10, 2, 2) and (states.counts.tolist(), states.stratum.tolist()) == ([10], [0, 0])
    assert np.array_equal(states.index[:, 0], plan.reference[chosen])
    texts, (_, edited) = reference_captions(rows), placebo_edits(rows)
    for i, row in enumerate(chosen):
        assert [plan.captions[k] for k in states.index[i, :, 0]] == [texts[row], edited[row]]
        seeds = plan.seeds[states.index[i]]
        assert (seeds[0] == seeds[1]).all() == (noise == "common")
        assert seeds[0].tolist() == [row_seed(5, rows.row_ids[row], draw) for draw in range(2)]


def test_other_images_stay_as_they_are_and_few_are_added() -> None:
    plain, probed = make_plan(many(100), 0), make_plan(many(100), 0, extras={"placebo": placebo_extra(30)})
    assert probed.captions[: plain.n_images] == plain.captions
    assert probed.n_images == plain.n_images + 30


def test_the_rows_hang_on_ids_not_on_their_order() -> None:
    rows = many(60)
    turned = rows.take(np.arange(60)[::-1])
    one, other = ({some.row_ids[k] for k in placebo_rows(some, 1, 12)} for some in (rows, turned))
    assert one == other
    assert placebo_rows(rows, 1, 12).tolist() != placebo_rows(rows, 2, 12).tolist()
