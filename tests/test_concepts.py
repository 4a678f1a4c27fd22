"""Tables: what is accepted, what it becomes, and one line for everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from genlens.columns import MAX_INFERRED_CATEGORIES, describe_rows, infer_kind
from genlens.concepts import Concept, ConceptTable
from genlens.errors import UserError
from genlens.labels import label_values

NAN = float("nan")


def make_table(**changes: Any) -> ConceptTable:
    given: dict[str, Any] = {
        "row_ids": ("a.png", "b.png", "c.png", "d.png"),
        "concepts": (Concept("tv", "binary", np.array([0, 1, 1, 0])), Concept("cup", "count", np.array([0, 3, 0, 1]))),
        "labels": np.array([0, 1, 1, 0]),
    }
    return ConceptTable(**{**given, **changes})


# kinds


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 1, 1], "binary"),
        ([True, False], "binary"),
        (["True", "false"], "binary"),
        (["yes", "no"], "binary"),
        (["0", "1.0"], "binary"),
        ([0.0, 1.0], "binary"),
        ([0, 2, 1], "count"),
        (["0", " 12"], "count"),
        ([1.5, 2.0], "number"),
        (["1e3", "0"], "number"),
        ([-1, 1], "number"),
        ([3.0, 4.0], "number"),
        (["red", "blue"], "category"),
        (["cup", "mug", None], "category"),
        (["cup 3", "", "a cup 4"], "segment"),
        (["cup 3", "cup 4"], "category"),
        ([0, None, 1], "binary"),
        (["1", "NA", "0"], "binary"),
        (["None", "None", "Some"], "category"),
    ],
)
def test_kind_is_inferred(values: list[Any], kind: str) -> None:
    assert infer_kind("cup", values) == kind


def test_free_text_must_say_its_kind() -> None:
    texts = [f"text {i}" for i in range(MAX_INFERRED_CATEGORIES + 1)]
    with pytest.raises(UserError, match=r"^Concept 'note' has 51 distinct texts.*kinds=\{'note': 'category'\} or 'seg"):
        infer_kind("note", texts)
    assert infer_kind("note", texts[:-1]) == "category"


@pytest.mark.parametrize(
    ("kind", "values", "expected", "dtype"),
    [
        ("binary", ["True", "0", 1.0], [1, 0, 1], np.int8),
        ("count", ["12", 0, 3.0], [12, 0, 3], np.int64),
        ("number", ["1.5", 2, "-1e3"], [1.5, 2.0, -1000.0], np.float64),
        ("category", [" a", "b", 3], ["a", "b", "3"], object),
        ("segment", ["x 1", None, NAN], ["x 1", "", ""], object),
    ],
)
def test_values_take_the_type_of_their_kind(kind: Any, values: list[Any], expected: list[Any], dtype: type) -> None:
    concept = Concept("x", kind, np.array(values, dtype=object))
    assert concept.values.tolist() == expected
    assert concept.values.dtype == dtype


@pytest.mark.parametrize(
    ("kind", "values", "present"),
    [
        ("binary", [0, 1], [False, True]),
        ("count", [0, 7], [False, True]),
        ("segment", ["", "x"], [False, True]),
        ("category", ["a", "b"], [True, True]),
        ("number", [0.0, 1.0], [True, True]),
    ],
)
def test_presence_by_kind(kind: Any, values: list[Any], present: list[bool]) -> None:
    assert Concept("x", kind, np.array(values, dtype=object)).present.tolist() == present


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("binary", [0, 0], r"^Concept 'tv' is constant \(all 0\), so permuting it changes nothing\. Drop it or add"),
        ("segment", ["", ""], r"^Concept 'tv' is constant \(absent in all rows\)"),
        ("count", [2, 2], r"^Concept 'tv' is constant \(all 2\)"),
        ("category", ["a", "a"], r"^Concept 'tv' is constant \(all a\)"),
        ("number", [], r"^Concept 'tv' is constant"),
        ("binary", [0, 2], r"^Concept 'tv' is of kind 'binary', so its values must be 0 or 1; got 2 in row 2\.$"),
        ("count", [0, -1], r"^Concept 'tv' is of kind 'count', so its values must be whole numbers >= 0; got -1 in"),
        ("count", [0, 1.5], r"must be whole numbers >= 0; got 1\.5 in row 2\.$"),
        ("count", [0, 2**60], r"^Concept 'tv' holds 1152921504606846976 in row 2, which is no count\. Use kind"),
        ("number", [0, "1.2.3"], r"^Concept 'tv' is of kind 'number', so it needs numbers; got '1\.2\.3' in row"),
        ("number", [0.0, float("inf")], r"^Concept 'tv' must have finite values; got inf in row 2\.$"),
        ("number", [0.0, NAN], r"^Concept 'tv' has no value in row 2\. Fill it in or drop such rows\.$"),
        ("binary", [0, None], r"^Concept 'tv' has no value in row 2\."),
        ("binary", ["1", "n/a"], r"^Concept 'tv' has no value in row 2\."),
        ("category", ["a", " "], r"^Concept 'tv' has no value in row 2\."),
        ("flag", [0, 1], r"^Concept 'tv' has the kind 'flag'; it must be one of binary, count, category, number,"),
    ],
)
def test_bad_values_are_refused(kind: Any, values: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Concept("tv", kind, np.array(values, dtype=object))


def test_missing_values_name_rows() -> None:
    values = np.array([1, None, 0, None, None, None], dtype=object)
    ids = [f"{letter}.png" for letter in "abcdef"]
    message = r"no value in rows 2 \('b.png'\), 4 \('d.png'\), 5 \('e.png'\) and 1 more\."
    with pytest.raises(UserError, match=message):
        Concept("tv", "binary", values, row_ids=ids)


def test_rows_are_described_shortly() -> None:
    assert describe_rows([0], None) == "row 1"
    assert describe_rows([0, 2], ["a", "b", "c"]) == "rows 1 ('a') and 3 ('c')"


def test_texts_are_for_binary_concepts_and_complete() -> None:
    on = np.array([0, 1])
    texts = Concept("x", "binary", on, np.array(["x 1", "x 2"])).texts
    assert texts is not None and texts.tolist() == ["x 1", "x 2"]
    with pytest.raises(UserError, match=r"^Concept 'x' has no text in row 1\. Text is needed where the concept is off"):
        Concept("x", "binary", on, np.array(["", "x 2"]))
    with pytest.raises(UserError, match=r"^`texts` is for binary concepts; 'x' is a count"):
        Concept("x", "count", on, np.array(["x 1", "x 2"]))
    with pytest.raises(UserError, match=r"^`texts` of 'x' must have 2 entries; got 1\.$"):
        Concept("x", "binary", on, np.array(["x 1"]))


def test_a_concept_needs_a_name() -> None:
    with pytest.raises(UserError, match=r"^A concept's name must be text; got ''\.$"):
        Concept("", "binary", np.array([0, 1]))


# labels


@pytest.mark.parametrize(
    ("values", "task", "found", "labels", "classes"),
    [
        ([0, 1], None, "binary", [0, 1], ("0", "1")),
        ([True, False], None, "binary", [1, 0], ("0", "1")),
        (["3", "7"], None, "binary", [0, 1], ("3", "7")),
        ([-1, 1], None, "binary", [0, 1], ("-1", "1")),
        (["office", "home"], None, "binary", [1, 0], ("home", "office")),
        ([3, 7], "multiclass", "multiclass", [3, 7], ("3", "7")),
        ([0, 5, 9], None, "multiclass", [0, 5, 9], ("0", "5", "9")),
        (["b", "a", "c"], None, "multiclass", [1, 0, 2], ("a", "b", "c")),
        ([0.5, 1, 2], None, "regression", [0.5, 1.0, 2.0], ()),
        ([20, 30, 41], "regression", "regression", [20.0, 30.0, 41.0], ()),
    ],
)
def test_labels_are_coded(
    values: list[Any], task: Any, found: str, labels: list[Any], classes: tuple[str, ...]
) -> None:
    result = label_values("home", values, task)
    assert result[0].tolist() == labels
    assert result[1:] == (found, classes)


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        ([1, 1], None, r"^Label 'home' has one class only \(all 1\), so nothing can be scored\. Add rows of"),
        (["a", "a"], None, r"^Label 'home' has one class only \(all a\)"),
        ([2.5, 2.5], "regression", r"^Label 'home' is constant \(all 2\.5\)"),
        ([1, NAN], None, r"^Label 'home' has no value in row 2\."),
        (["a", None], None, r"^Label 'home' has no value in row 2\."),
        ([0, 1, 2], "binary", r"^Label 'home' has 3 classes, which doesn't fit task='binary'\. Use"),
        ([0.5, 1.0], "multiclass", r"^Label 'home' must hold whole numbers >= 0 for task='multiclass'; got 0\.5\.$"),
        (["a", "b"], "regression", r"^Label 'home' is of kind 'number', so it needs numbers; got 'a' in row 1\.$"),
        ([0, 1], "ranking", r"^`task` must be one of binary, multiclass, regression; got 'ranking'\.$"),
    ],
)
def test_bad_labels_are_refused(values: list[Any], task: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        label_values("home", values, task)


# tables


def test_table_shapes() -> None:
    table = make_table()
    assert (table.n_rows, table.names, table.task, table.classes) == (4, ("tv", "cup"), "binary", ("0", "1"))
    assert table.presence().tolist() == [[False, False], [True, True], [True, False], [False, True]]
    assert table.concept("cup").values.tolist() == [0, 3, 0, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row_ids": ("a", "b", "a", "c")}, r"^`row_ids` must be unique; got 'a' in rows 1 and 3\."),
        ({"concepts": ()}, r"^`concepts` must name at least one concept; got none\.$"),
        ({"labels": np.array([0, 1])}, r"^labels must have one entry for each of 4 rows; got 2\.$"),
        ({"context": ("a",)}, r"^context must have one entry for each of 4 rows; got 1\.$"),
        ({"clusters": np.arange(3)}, r"^clusters must have one entry for each of 4 rows; got 3\.$"),
        ({"image_paths": ()}, r"^image_paths must have one entry for each of 4 rows; got 0\.$"),
        (
            {"concepts": (Concept("tv", "binary", np.array([0, 1, 1])),)},
            r"^concept 'tv' must have one entry for each of 4 rows; got 3\.$",
        ),
        (
            {"concepts": (Concept("tv", "binary", np.arange(4) % 2), Concept("tv", "count", np.arange(4)))},
            r"^`concepts` must be unique; got 'tv' twice\.",
        ),
    ],
)
def test_bad_tables_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_table(**changes)


def test_unknown_concept_is_named() -> None:
    with pytest.raises(UserError, match=r"^'sofa' is no concept of table\. Concepts: tv, cup\.$"):
        make_table().concept("sofa")


def test_take_keeps_everything_together() -> None:
    table = make_table(
        context=("w", "x", "y", "z"),
        clusters=np.array([0, 0, 1, 1]),
        image_paths=tuple(Path(f"{i}") for i in range(4)),
        masks=lambda row: np.full((2, 1, 1), row == 3),
    )
    taken = table.take([3, 1])
    assert taken.row_ids == ("d.png", "b.png")
    assert [concept.values.tolist() for concept in taken.concepts] == [[0, 1], [1, 3]]
    assert taken.labels is not None and taken.labels.tolist() == [0, 1]
    assert taken.clusters is not None and taken.clusters.tolist() == [1, 0]
    assert (taken.context, taken.image_paths) == (("z", "x"), (Path("3"), Path("1")))
    assert taken.masks is not None and taken.masks(0).all() and not taken.masks(1).any()
    again = taken.take(np.array([True, True])).masks
    assert again is not None and again(0).all() and not again(1).any()


def test_take_refuses_rows_that_cannot_be_ranked() -> None:
    with pytest.raises(UserError, match=r"^Concept 'tv' is constant \(all 1\)"):
        make_table().take([1, 2])
    labels = make_table(labels=np.array([0, 0, 0, 1]))
    with pytest.raises(UserError, match=r"^Label 'label' has one class only"):
        labels.take([0, 1, 2])


def test_take_keeps_the_codes_of_classes() -> None:
    table = make_table(labels=np.array(["a", "b", "c", "b"], dtype=object))
    taken = table.take([1, 2, 3])
    assert taken.labels is not None and taken.labels.tolist() == [1, 2, 1]
    assert (taken.classes, taken.task) == (("a", "b", "c"), "multiclass")


def test_labels_can_come_later() -> None:
    table = make_table(labels=None)
    assert table.task == "binary"
    labelled = table.with_labels(["home", "work", "home", "home"], "place")
    assert labelled.labels is not None and labelled.labels.tolist() == [0, 1, 0, 0]
    assert (labelled.label_name, labelled.classes) == ("place", ("home", "work"))
    assert labelled.with_labels([0.1, 0.2, 0.3, 0.4]).task == "regression"
    with pytest.raises(UserError, match=r"^Label 'place' has one class only \(all 1\)"):
        labelled.with_labels([1, 1, 1, 1], "place")


# from a DataFrame


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "file_name": ["a.png", "b.png", "c.png"],
            "tv": [0, 1, 1],
            "dining table": [2, 0, 1],
            "home": [True, False, True],
            "patient": ["p2", "p1", "p2"],
            "note": ["x", None, "z"],
        }
    )


def test_from_frame_reads_all_columns() -> None:
    table = ConceptTable.from_frame(frame(), ["tv", "dining table"], "home", context="note", cluster="patient")
    assert table.row_ids == ("a.png", "b.png", "c.png")
    assert [concept.kind for concept in table.concepts] == ["binary", "count"]
    assert table.labels is not None and table.labels.tolist() == [1, 0, 1]
    assert table.clusters is not None and table.clusters.tolist() == [1, 0, 1]
    assert table.context == ("x", "", "z")
    assert (table.label_name, table.source, table.image_paths, table.masks) == ("home", "the DataFrame", None, None)


def test_from_frame_takes_the_index_as_row_ids() -> None:
    table = ConceptTable.from_frame(frame(), ["tv"], row_id=None)
    assert table.row_ids == ("0", "1", "2")
    assert table.labels is None


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "category", "string", "float32", "int64[pyarrow]"])
def test_from_frame_reads_every_pandas_type(dtype: str) -> None:
    table = ConceptTable.from_frame(frame().astype({"tv": dtype}), ["tv"], "home")
    assert (table.concepts[0].kind, table.concepts[0].values.tolist()) == ("binary", [0, 1, 1])


def test_missing_in_a_nullable_column_is_named() -> None:
    data = frame().astype({"tv": "Int64"})
    data.loc[1, "tv"] = pd.NA
    with pytest.raises(UserError, match=r"^Concept 'tv' has no value in row 2 \('b\.png'\)\."):
        ConceptTable.from_frame(data, ["tv"], "home")


def test_texts_of_slots_are_found_beside_the_concept() -> None:
    data = frame().assign(**{"tv slot": ["tv 1", "tv 2", "tv 3"]})
    assert ConceptTable.from_frame(data, ["tv"]).concepts[0].texts is not None
    assert ConceptTable.from_frame(data, ["tv"], texts={}).concepts[0].texts is None
    assert ConceptTable.from_frame(data, ["tv"], kinds={"tv": "count"}).concepts[0].texts is None
    with pytest.raises(UserError, match=r"^`texts` is for binary concepts; 'tv' is a count"):
        ConceptTable.from_frame(data, ["tv"], texts={"tv": "tv slot"}, kinds={"tv": "count"})


@pytest.mark.parametrize(
    ("concepts", "options", "message"),
    [
        (
            ["sofa"],
            {},
            r"^`concepts` contains 'sofa', which is not a column of the DataFrame\. Columns: file_name, tv, dining",
        ),
        (["tv", "dining tabel"], {}, r"Did you mean 'dining table'\? Columns: "),
        (["tv"], {"label": "house"}, r"^`label` is 'house', which is not a column of the DataFrame\."),
        (["tv"], {"context": "findings"}, r"^`context` is 'findings', which is not a column"),
        (["tv"], {"cluster": "ward"}, r"^`cluster` is 'ward', which is not a column"),
        (["tv"], {"row_id": "id"}, r"^`row_id` is 'id', which is not a column"),
        (["tv"], {"texts": {"tv": "words"}}, r"^`texts` contains 'words', which is not a column"),
        (["tv"], {"texts": {"cup": "note"}}, r"^`texts` names 'cup', which is not in `concepts`\. Concepts: tv\.$"),
        (["tv"], {"kinds": {"cup": "count"}}, r"^`kinds` names 'cup', which is not in `concepts`"),
        (["tv"], {"label": "tv"}, r"^`label` 'tv' is one of the concepts\."),
        ("tv", {}, r"^`concepts` must be a list of column names; got 'tv'\.$"),
        ([], {}, r"^`concepts` must name at least one column; got none\.$"),
        (["tv", "tv"], {}, r"^`concepts` names 'tv' twice\."),
        (["tv"], {"row_id": "patient"}, r"^`patient` of the DataFrame has 'p2' in rows 1 and 3\. Each row needs a"),
        (["tv"], {"row_id": "note"}, r"^Column 'note' of the DataFrame has no value in row 2\."),
        (["tv"], {"cluster": "note"}, r"^`cluster` column 'note' has no value in row 2 \('b\.png'\)\."),
        (["tv"], {"image_root": "nowhere"}, r"^The image folder nowhere doesn't exist or isn't a folder\."),
    ],
)
def test_bad_options_are_refused(concepts: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ConceptTable.from_frame(frame(), concepts, **options)


def test_bad_frames_are_refused() -> None:
    with pytest.raises(UserError, match=r"^the DataFrame has no rows\."):
        ConceptTable.from_frame(frame().iloc[:0], ["tv"])
    with pytest.raises(UserError, match=r"^the DataFrame has the column 'tv' more than once\."):
        ConceptTable.from_frame(frame().rename(columns={"note": " tv"}), ["tv"])
    with pytest.raises(UserError, match=r"^Column 'note' of the DataFrame holds lists in rows 1, 2 and 3\."):
        ConceptTable.from_frame(frame().assign(note=[[1], [2], [3]]), ["note"])
    with pytest.raises(UserError, match=r"^`df` must be a pandas DataFrame; got dict\.$"):
        ConceptTable.from_frame({"tv": [0, 1]}, ["tv"])  # type: ignore[arg-type]


def test_long_column_lists_are_cut() -> None:
    wide = pd.DataFrame({f"c{i}": [0, 1] for i in range(100)})
    with pytest.raises(UserError, match=r"Columns: c0, .*, c29 and 70 more\.$"):
        ConceptTable.from_frame(wide, ["sofa"], row_id=None)
