"""Sentence selection: the rule by hand, whole sentences only, the same for all states of a row, never silent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from genlens.captions import FieldsTemplate, reference_captions
from genlens.columns import Concept
from genlens.concepts import ConceptTable
from genlens.errors import CaptionError
from genlens.long_captions import rank_sentences, select_sentences, split_sentences
from genlens.plan import make_plan


def count(captions: Sequence[str]) -> list[int]:
    return [len(caption.split()) for caption in captions]


def table(*texts: str) -> ConceptTable:
    concept = Concept("Age", "binary", np.arange(len(texts)) % 2)
    ids = tuple(f"r{i}" for i in range(len(texts)))
    return ConceptTable(ids, (concept,), context=texts, caption_template=FieldsTemplate())


def test_sentences_end_where_they_end() -> None:
    text = "Dr. Lee saw 2.5 cm. 1. No edema. Is it new? Yes; stable."
    assert split_sentences(text) == ["Dr. Lee saw 2.5 cm.", "1. No edema.", "Is it new?", "Yes;", "stable."]
    assert split_sentences("") == []


def test_stated_findings_come_before_denied_ones_and_those_before_the_rest() -> None:
    sentences = ["Comparison is made.", "No effusion.", "Left effusion.", "Thanks.", "Edema is worse."]
    assert rank_sentences(sentences) == [2, 4, 1, 0, 3]
    assert rank_sentences(sentences, ["thank"]) == [3, 0, 1, 2, 4]
    assert rank_sentences(sentences, []) == [0, 1, 2, 3, 4]


def test_what_fits_is_kept_in_the_order_of_the_text() -> None:
    rows = table("Prior exam seen. No edema. Left effusion is seen. Fracture.", "Fine.")
    found = select_sentences(rows, count, 9)  # "Age: 0, Findings:" takes 3
    assert found.table.context == ("No edema. Left effusion is seen.", "Fine.") or found.table.context == (
        "Left effusion is seen. Fracture.", "Fine.",
    )  # fmt: skip
    assert found.rows == (0,)


def test_a_sentence_that_does_not_fit_is_passed_over() -> None:
    rows = table("A very long sentence about an effusion that never ends. Edema.", "Fine.")
    found = select_sentences(rows, count, 6)
    assert found.table.context == ("Edema.", "Fine.")
    assert (found.dropped, found.sentences) == (1, 3)
    assert found.example == ("r0", "A very long sentence about an effusion that never ends.")


def test_captions_that_fit_are_left_alone() -> None:
    rows = table("Short.", "Fine.")
    found = select_sentences(rows, count, 50)
    assert found.table.context == rows.context and found.rows == ()


def test_every_state_of_a_row_fits_and_has_the_same_text() -> None:
    concepts = (
        Concept("hat", "binary", np.array([0, 1, 0, 1]), np.array(["a very big red hat"] * 4, dtype=object)),
        Concept("cups", "count", np.array([0, 1, 2, 12])),
    )
    rows = ConceptTable(tuple("abcd"), concepts, context=("One edema. Two. Three. Four five six.",) * 4)
    chosen = select_sentences(rows, count, 12).table
    plan = make_plan(chosen, 0)
    assert max(count(plan.captions)) <= 12
    own = chosen.context or ()
    for states in plan.states:
        for row, numbers in enumerate(states.index[:, :, 0]):
            assert all(plan.captions[number].endswith(own[row]) for number in numbers)


def test_a_caption_too_long_without_any_text_is_refused() -> None:
    with pytest.raises(CaptionError, match=r"row 1 \('r0'\) takes 2 tokens without any of its text; the limit is 1"):
        select_sentences(table("Some text here.", "Fine."), count, 1)


def test_without_context_there_is_nothing_to_select() -> None:
    rows = ConceptTable(("a", "b"), (Concept("Age", "binary", [0, 1]),))
    assert select_sentences(rows, count, 1).table is rows
    assert len(reference_captions(rows)) == 2
