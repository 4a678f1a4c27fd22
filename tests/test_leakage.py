"""Mentions of permuted concepts in fixed text: found, counted, shown, masked and rewritten; negative controls stay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from genlens.analyses.mentions import mentions_analysis
from genlens.captions import FieldsTemplate, reference_captions
from genlens.columns import Concept
from genlens.concepts import ConceptTable
from genlens.errors import UserError
from genlens.leakage import (
    MentionRule,
    apply_mentions,
    built_in_rules,
    find_mentions,
    read_rules,
    rewritten,
    tidy,
)


def table(*texts: str, names: tuple[str, ...] = ("Age", "Sex", "BMI")) -> ConceptTable:
    n = len(texts)
    concepts = tuple(Concept(name, "binary", np.arange(n) % 2) for name in names)
    return ConceptTable(tuple(f"r{i}" for i in range(n)), concepts, context=texts, caption_template=FieldsTemplate())


def found(concept: str, text: str) -> list[str]:
    return [match[0] for rule in built_in_rules(concept) for match in rule.compiled.finditer(text)]


@pytest.mark.parametrize(
    ("concept", "text"),
    [
        ("Age", "72-year-old with cough"), ("Age", "A 5 year old"), ("age > 60", "85 yo M"), ("Age", "aged 44"),
        ("Age", "89 y/o"), ("patient_age", "Elderly patient"), ("Age", "age-related changes"), ("Age", "72F, cough"),
        ("Sex", "woman"), ("gender", "Mr. ___ has"), ("sex = Female", "She was"), ("female", "her lungs"),
        ("Sex", "___F with"), ("Sex", "bilateral breast implants"), ("Sex", "status post mastectomy"), ("Sex", "72 M"),
        ("BMI", "morbidly obese"), ("BMI > 30", "due to body habitus"), ("body mass index", "BMI 41"),
        ("obese", "cachectic"),
    ],
)  # fmt: skip
def test_built_in_rules_find(concept: str, text: str) -> None:
    assert found(concept, text)


@pytest.mark.parametrize(
    ("concept", "text"),
    [
        ("Age", "No acute fracture. Stage 2."), ("Age", "image of the chest, average volumes"), ("Age", "2 months ago"),
        ("Age", "___-year-old"), ("Sex", "the heart is normal; mediastinum, hilum"), ("Sex", "There is here another"),
        ("Sex", "T5 vertebral body"), ("BMI", "small effusion, heavy calcification"), ("Sex", "normal humeral head"),
    ],
)  # fmt: skip
def test_other_text_is_left_alone(concept: str, text: str) -> None:
    assert found(concept, text) == []


def test_any_other_concept_is_found_by_its_name_with_plural() -> None:
    assert found("wine glass", "two wine glasses and a Wine Glass") == ["wine glasses", "Wine Glass"]
    assert found("cat", "a category") == []
    assert built_in_rules("cat")[0].replacement is None


def test_mentions_are_counted_with_examples() -> None:
    rows = table("72-year-old woman with cough.", "No effusion.", "She is obese.", "A 72-year-old man.")
    age, sex, bmi = find_mentions(rows)
    assert (age.rows, sex.rows, bmi.rows) == ((0, 3), (0, 2, 3), (2,))
    assert age.words == {"72-year-old": 2}
    assert age.examples == (("r0", "72-year-old woman with cough."), ("r3", "A 72-year-old man."))


def test_own_words_of_other_concepts_are_fixed_text_too() -> None:
    texts = np.array(["a woman's hat", "a hat"], dtype=object)
    concepts = (Concept("sex", "binary", [0, 1]), Concept("hat", "binary", [1, 0], texts))
    rows = ConceptTable(("a", "b"), concepts)
    assert [one.rows for one in find_mentions(rows)] == [(0,), ()]  # the hat of row b is off; its own text is its own


def test_masking_leaves_no_mention_and_nothing_else_changes() -> None:
    rows = table("72-year-old woman with cough. No effusion.", "Obese. Edema.", "No effusion.")
    masked, rules, changed = apply_mentions(rows, "mask")
    assert masked.context == ("patient with cough. No effusion.", "Edema.", "No effusion.")
    assert (rules, changed) == ((), 2)
    assert all(not one.rows for one in find_mentions(masked))
    assert reference_captions(masked)[2] == reference_captions(rows)[2]


def test_report_changes_nothing() -> None:
    rows = table("72-year-old woman.", "No effusion.")
    assert apply_mentions(rows, "report") == (rows, (), 0)


def test_rules_of_ones_own_rewrite_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps([
        {"concept": "Age", "pattern": r"(\d\d)-year-old", "replacement": "adult"},
        {"concept": "BMI", "pattern": "portly"},
    ]))  # fmt: skip
    rows = table("72-year-old, portly.", "Fine.")
    changed, rules, n = apply_mentions(rows, str(path))
    assert (changed.context, n, len(rules)) == (("adult, portly.", "Fine."), 1, 2)
    assert [one.rows for one in find_mentions(changed, rules)] == [(), (), (0,)]
    assert [one.rows for one in find_mentions(changed)] == [(), (), ()]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{}", "must hold a list of rules"), ("[", "can't be read as JSON"), ('[{"concept": "Age"}]', "Rule 1 of"),
        ('[{"concept": "Age", "pattern": 3}]', "must have texts as values"),
        ('[{"concept": "Age", "pattern": "("}]', "can't be used"),
        ('[{"concept": "Age", "pattern": "x*"}]', "matches the empty text"),
        ('[{"concept": "Age", "pattern": "x", "replacement": "\\\\2"}]', "can't be used"),
        ('[{"concept": "Height", "pattern": "tall", "replacement": ""}]', "which isn't permuted"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_used_are_one_line(tmp_path: Path, data: str, message: str) -> None:
    path = tmp_path / "rules.json"
    path.write_text(data)
    with pytest.raises(UserError, match=message):
        apply_mentions(table("a", "b"), str(path))


def test_a_missing_file_of_rules_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must be report, mask or a file of rules"):
        read_rules(tmp_path / "none.json")


def test_without_context_nothing_is_rewritten() -> None:
    rows = ConceptTable(("a", "b"), (Concept("Age", "binary", [0, 1]),))
    assert rewritten(rows, [MentionRule("Age", "old", "")]) == (rows, 0)
    assert mentions_analysis(rows) is None


def test_tidy_joins_blanks_and_drops_marks_that_end_nothing() -> None:
    assert tidy(". The  patient , fine . . Edema;  ; clear.") == "The patient, fine. Edema; clear."


def test_the_analysis_warns_and_says_what_to_do() -> None:
    analysis = mentions_analysis(table("72-year-old.", "Clear."))
    assert analysis is not None
    assert analysis.message == "The text that stays mentions Age in 1 of 2 rows ('72-year-old.')."
    assert "--mentions mask" in analysis.advice
    assert analysis.table == [
        {"concept": "Age", "rows": 1, "share": 0.5, "words": "72-year-old", "example": "r0: 72-year-old."}
    ]
    clear = mentions_analysis(table("Fine.", "Clear."))
    assert clear is not None and not clear.advice and clear.message.startswith("No permuted concept is mentioned")
