"""Captions of the three templates, and templates as data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from genlens.captions import (
    FieldsTemplate,
    FormatTemplate,
    ListTemplate,
    caption,
    plain,
    reference_captions,
    template_from_spec,
)
from genlens.concepts import Concept, ConceptTable
from genlens.errors import CaptionError, UserError


def objects(*values: Any) -> np.ndarray:
    return np.array(values, dtype=object)


def make_table(template: Any = None, context: tuple[str, ...] | None = None) -> ConceptTable:
    concepts = (
        Concept("couch", "binary", np.array([1, 0, 0])),
        Concept("person", "count", np.array([2, 0, 0])),
        Concept("style", "category", objects("oil", "ink", "ink")),
        Concept("age", "number", np.array([30.0, 41.5, 41.5])),
        Concept("cup", "segment", objects("cup (3, 4) 5", "", "")),
    )
    options = {} if template is None else {"caption_template": template}
    return ConceptTable(("a", "b", "c"), concepts, context=context, **options)


def test_lists_leave_out_what_is_absent() -> None:
    assert reference_captions(make_table())[:2] == ("couch, 2 person, oil, age 30, cup (3, 4) 5", "ink, age 41.5")


def test_captions_of_the_paper() -> None:
    counts = tuple(Concept(name, "count", np.array(v)) for name, v in {"person": [2, 0], "couch": [1, 0]}.items())
    assert reference_captions(ConceptTable(("a", "b"), counts)) == ("2 person, 1 couch", "")
    binary = tuple(Concept(name, "binary", np.array(v)) for name, v in {"Age": [1, 0], "BMI": [0, 1]}.items())
    table = ConceptTable(("a", "b"), binary, context=("no effusion", ""), caption_template=FieldsTemplate())
    assert reference_captions(table) == ("Age: 1, BMI: 0, Findings: no effusion", "Age: 0, BMI: 1")
    slots = objects("red circle (12, 40) 9", "red circle (3, 4) 6")
    shapes = (Concept("red circle", "binary", np.array([1, 0]), slots),)
    assert reference_captions(ConceptTable(("a", "b"), shapes)) == ("red circle (12, 40) 9", "")


def test_an_override_replaces_one_value() -> None:
    table = make_table()
    assert caption(table, 1, {"couch": 1}) == "couch, ink, age 41.5"
    assert caption(table, 0, {"couch": 0, "cup": "", "person": 0}) == "oil, age 30"
    assert caption(table, 0, {"style": "ink", "age": 7.25}) == "couch, 2 person, ink, age 7.25, cup (3, 4) 5"


def test_a_concept_switched_on_has_the_text_of_its_row() -> None:
    concept = Concept("cup", "binary", np.array([1, 0]), objects("cup one", "cup two"))
    table = ConceptTable(("a", "b"), (concept,))
    assert caption(table, 1, {"cup": 1}) == "cup two"
    presence = ConceptTable(("a", "b"), (concept,), caption_template=ListTemplate(texts=False))
    assert caption(presence, 1, {"cup": 1}) == "cup"


@pytest.mark.parametrize(
    ("place", "expected"),
    [("after", "couch; a room"), ("before", "a room; couch"), ("none", "couch")],
)
def test_context_has_its_place(place: Any, expected: str) -> None:
    concept = Concept("couch", "binary", np.array([1, 0]))
    template = ListTemplate(context=place, separator="; ")
    table = ConceptTable(("a", "b"), (concept,), context=("a room", ""), caption_template=template)
    assert reference_captions(table) == (expected, "")


def test_patterns_choose_the_words() -> None:
    template = ListTemplate(binary="1 {name}", count="{value}x {name}", number="{name}={value}", category="in {value}")
    assert caption(make_table(template), 0) == "1 couch, 2x person, in oil, age=30, cup (3, 4) 5"


def test_fields_say_every_value() -> None:
    table = make_table(FieldsTemplate(separator="; ", context_field="Seen"), context=("x", "", "{name}"))
    assert reference_captions(table) == (
        "couch: 1; person: 2; style: oil; age: 30; cup: cup (3, 4) 5; Seen: x",
        "couch: 0; person: 0; style: ink; age: 41.5; cup: none",
        "couch: 0; person: 0; style: ink; age: 41.5; cup: none; Seen: {name}",
    )


def test_sentences_join_what_is_absent() -> None:
    template = FormatTemplate("{style} of {couch} {cup} and {person}, aged {age} {context}.")
    table = make_table(template, ("at home", "", ""))
    assert reference_captions(table)[:2] == (
        "oil of couch cup (3, 4) 5 and 2, aged 30 at home.",
        "ink of and, aged 41.5.",
    )


def test_sentences_take_names_with_blanks_and_dots() -> None:
    concepts = (Concept("red circle", "binary", np.array([1, 0])), Concept("a.b", "count", np.array([3, 0])))
    table = ConceptTable(("a", "b"), concepts, caption_template=FormatTemplate("see {red circle}, {a.b}"))
    assert caption(table, 0) == "see red circle, 3"


def test_sentences_must_fit_the_table() -> None:
    concepts = (Concept("tv", "binary", np.array([1, 0])),)
    table = ConceptTable(("a", "b"), concepts, caption_template=FormatTemplate("a {sofa} and {tv}"))
    with pytest.raises(CaptionError, match=r"^`sentence` names 'sofa', which is no concept\. Concepts: context, tv\.$"):
        caption(table, 0)
    lacking = ConceptTable(("a", "b"), concepts, caption_template=FormatTemplate("a room"))
    with pytest.raises(CaptionError, match=r"^`sentence` lacks the concept 'tv'; put it in braces somewhere\.$"):
        caption(lacking, 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (3.0, "3"), (2.5, "2.5"), (1234567.0, "1234567"), (np.int8(1), "1"), ("3.0", "3.0"), (1e-7, "1e-07")],
)
def test_values_are_written_plainly(value: Any, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    "template",
    [
        ListTemplate(),
        ListTemplate(binary="1 {name}", separator="; ", context="before", texts=False),
        FieldsTemplate(field="{name}={value}", absent="no"),
        FormatTemplate("a photo of {tv}"),
    ],
)
def test_specs_make_the_same_template(template: Any) -> None:
    assert template_from_spec(template.spec()) == template


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("list", ListTemplate()),
        ("list:1 {name}", ListTemplate(binary="1 {name}")),
        ("presence", ListTemplate(texts=False)),
        ("presence:a {name}", ListTemplate(binary="a {name}", texts=False)),
        ("fields", FieldsTemplate()),
        ("fields:{name}: {value}!", FieldsTemplate(field="{name}: {value}!")),
        ("format:a {tv}: nice", FormatTemplate("a {tv}: nice")),
    ],
)
def test_templates_have_short_texts(text: str, template: Any) -> None:
    assert template_from_spec(text) == template


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("lists", r"^`caption` must be list, list:PATTERN, presence, .*; got 'lists'\.$"),
        ({"template": "lists"}, r"^`caption` must be list"),
        ({"template": "list", "colour": 1}, r"^`caption` \{.*\} doesn't fit the template 'list'"),
        ("format", r"^`caption` 'format' doesn't fit the template 'format'"),
        ("list:{nam}", r"^`binary` may use the fields \{name\} and \{value\} only; got '\{nam\}'\.$"),
        ("list:{name", r"^`binary` must be text with names in braces; got '\{name' "),
        ("list:{name.__class__}", r"^`binary` may use the fields"),
        ("fields:{0}", r"^`field` may use the fields"),
        ("format:{tv", r"^`sentence` must be text with names in braces"),
    ],
)
def test_bad_templates_are_refused(spec: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        template_from_spec(spec)


def test_bad_context_place_is_refused() -> None:
    with pytest.raises(UserError, match=r"^`context` must be one of after, before, none; got 'under'\.$"):
        ListTemplate(context="under")  # type: ignore[arg-type]


@pytest.mark.parametrize("spec", ["list", "list:1 {name}", "presence", "fields", "format:{a b}, {n}, {kind} {context}"])
def test_the_writer_writes_what_the_template_writes(spec: str) -> None:
    import pandas as pd

    from genlens.captions import CaptionWriter
    from genlens.concepts import ConceptTable

    frame = pd.DataFrame(
        {"file_name": list("xyz"), "a b": [1, 0, 1], "n": [2.0, 0.5, 3.0], "kind": list("uvv"), "c": ["", "in", "on"]}
    )
    table = ConceptTable.from_frame(frame, ["a b", "n", "kind"], context="c", template=template_from_spec(spec))
    writer = CaptionWriter(table)
    for row in range(3):
        for change in ({}, {"a b": 0}, {"a b": 1, "n": 7.0}, {"kind": "w", "nobody": 1}):
            assert writer.text(row, change) == table.caption_template(table, row, change)


def test_the_writer_calls_a_template_of_the_users_own() -> None:
    import pandas as pd

    from genlens.captions import CaptionWriter
    from genlens.concepts import ConceptTable

    class Mine:
        def spec(self) -> dict[str, str]:
            return {"template": "mine"}

        def __call__(self, table: object, row: int, overrides: object = ()) -> str:
            return f"{row} {overrides}"

    frame = pd.DataFrame({"file_name": list("xy"), "a": [1, 0]})
    table = ConceptTable.from_frame(frame, ["a"], template=Mine())  # type: ignore[arg-type]
    assert CaptionWriter(table).text(1, {"a": 1}) == "1 {'a': 1}"
