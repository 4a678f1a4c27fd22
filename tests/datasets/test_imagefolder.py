"""Imagefolders as users have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from genlens.captions import reference_captions
from genlens.concepts import ConceptTable
from genlens.datasets import shapes
from genlens.datasets.imagefolder import find_metadata, read_metadata
from genlens.errors import UserError

ROWS = [
    {"file_name": "001.png", "tv": 1, "dining table": 0, "home": "yes"},
    {"file_name": "sub dir/002.PNG", "tv": 0, "dining table": 2, "home": "no"},
    {"file_name": "003.JPG", "tv": 1, "dining table": 5, "home": "yes"},
]
CSV = "file_name,tv,dining table,home\n001.png,1,0,yes\nsub dir/002.PNG,0,2,no\n003.JPG,1,5,yes\n"


def write_images(folder: Path, names: list[str] | None = None) -> None:
    for name in names or [row["file_name"] for row in ROWS]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name)


def write_folder(folder: Path, metadata: str | bytes = CSV, name: str = "metadata.csv") -> Path:
    write_images(folder)
    (folder / name).write_bytes(metadata if isinstance(metadata, bytes) else metadata.encode())
    return folder


def read(folder: Path, *concepts: str, **options: Any) -> ConceptTable:
    options = {"label": "home", **options}
    return ConceptTable.from_metadata(folder, concepts=list(concepts) or ["tv", "dining table"], **options)


def write_kind(folder: Path, kind: str) -> None:
    write_images(folder)
    path = folder / f"metadata.{kind}"
    if kind == "csv":
        path.write_text(CSV)
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n")
    else:
        pd.DataFrame(ROWS).to_parquet(path)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_all_three_formats_give_the_same_table(tmp_path: Path, kind: str) -> None:
    write_kind(tmp_path, kind)
    table = read(tmp_path)
    assert table.row_ids == ("001.png", "sub dir/002.PNG", "003.JPG")
    assert [(c.name, c.kind, c.values.tolist()) for c in table.concepts] == [
        ("tv", "binary", [1, 0, 1]),
        ("dining table", "count", [0, 2, 5]),
    ]
    assert table.labels is not None and table.labels.tolist() == [1, 0, 1]
    assert table.image_paths == tuple(tmp_path / row["file_name"] for row in ROWS)
    assert (table.source, table.skipped) == (f"metadata.{kind}", ())


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + CSV.encode(),
        CSV.replace("\n", "\r\n").encode(),
        CSV.replace(",", ", ").encode(),
        (CSV + "\n\n").encode(),
        CSV.rstrip().encode(),
        CSV.replace("001.png", '"001.png"').encode(),
    ],
    ids=["byte order mark", "crlf", "blanks", "blank lines", "no last newline", "quotes"],
)
def test_csv_as_programs_write_it(tmp_path: Path, text: bytes) -> None:
    table = read(write_folder(tmp_path, text))
    assert table.names == ("tv", "dining table")
    assert table.concepts[1].values.tolist() == [0, 2, 5]


def test_jsonl_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    text = "\ufeff" + "\n\n".join(json.dumps(row) for row in ROWS)
    assert read(write_folder(tmp_path, text, "metadata.jsonl")).n_rows == 3


def test_names_like_numbers_and_words_like_nulls_stay_text(tmp_path: Path) -> None:
    csv = "id,style,n\n007,None,12345678901234567890\n008,NA,1\n009,none,2\n"
    (tmp_path / "x.csv").write_text(csv)
    frame = read_metadata(tmp_path / "x.csv")
    table = ConceptTable.from_frame(frame, ["style"], row_id="id")
    assert table.row_ids == ("007", "008", "009")
    assert table.concepts[0].values.tolist() == ["None", "NA", "none"]
    with pytest.raises(UserError, match=r"^Concept 'n' holds 12345678901234567\d* in row 1 \('007'\), which is no"):
        ConceptTable.from_frame(frame, ["n"], row_id="id")


def test_truth_values_as_words(tmp_path: Path) -> None:
    csv = "file_name,tv,home\n001.png,True,FALSE\nsub dir/002.PNG,False,TRUE\n003.JPG,True,TRUE\n"
    table = read(write_folder(tmp_path, csv), "tv")
    assert (table.concepts[0].kind, table.concepts[0].values.tolist()) == ("binary", [1, 0, 1])
    assert table.labels is not None and table.labels.tolist() == [0, 1, 1]


def test_segments_with_commas_are_carried_in_quotes(tmp_path: Path) -> None:
    csv = 'file_name,cup,home\n001.png,"cup (1, 2) 3",1\nsub dir/002.PNG,,0\n003.JPG,"cup (4, 5) 6",1\n'
    table = read(write_folder(tmp_path, csv), "cup")
    cup = table.concept("cup")
    assert (cup.kind, cup.values.tolist()) == ("segment", ["cup (1, 2) 3", "", "cup (4, 5) 6"])


def test_slots_and_masks_are_found_by_their_columns(tmp_path: Path) -> None:
    csv = (
        "file_name,cup,cup slot,cup mask,home\n001.png,1,cup (1 2) 3,m/1.png,1\n"
        "sub dir/002.PNG,0,cup (9 9) 2,,0\n003.JPG,1,cup (4 5) 6,m/3.png,1\n"
    )
    write_images(tmp_path, ["m/1.png"])
    Image.fromarray(np.eye(4, dtype=np.uint8) * 255).save(tmp_path / "m/3.png")
    table = read(write_folder(tmp_path, csv), "cup")
    assert table.concepts[0].texts is not None and table.concepts[0].texts[1] == "cup (9 9) 2"
    assert table.masks is not None
    assert [table.masks(row).sum() for row in range(3)] == [0, 0, 4]
    assert table.masks(1).shape == (1, 4, 4) and table.masks(1).dtype == bool


def test_the_shapes_data_set_is_read_like_any_other(shapes_folder: Path) -> None:
    concepts = [shapes.CONCEPTS[j] for j in (4, 0, 2)]
    table = read(shapes_folder, *concepts, label="label")
    presence, slots = shapes.sample_presence(64, 0)[:, [4, 0, 2]], shapes.sample_slots(64, 0).params
    assert (table.presence() == presence).all()
    assert reference_captions(table)[:8] == tuple(
        ", ".join(shapes.segment(j, slots[i, j]) for j, on in zip((4, 0, 2), presence[i], strict=True) if on)
        for i in range(8)
    )
    assert table.masks is not None
    truth = shapes.masks(shapes.sample_presence(64, 0), slots)
    turned = table.take(np.arange(63, -1, -1))
    assert turned.masks is not None
    for row in (0, 5, 63):
        assert (table.masks(row) == truth[row, [4, 0, 2]]).all()
        assert (turned.masks(63 - row) == table.masks(row)).all()


def test_a_metadata_file_of_any_name_can_be_given(tmp_path: Path) -> None:
    write_folder(tmp_path, name="test split.csv")
    assert read(tmp_path / "test split.csv").source == "test split.csv"


@pytest.mark.parametrize(
    ("concepts", "options", "message"),
    [
        (
            ["sofa"],
            {},
            r"^`concepts` contains 'sofa', which is not a column of metadata\.csv\. Columns: file_name, tv, dining",
        ),
        (["tv"], {"label": "house"}, r"^`label` is 'house', which is not a column of metadata\.csv\. Did you mean"),
    ],
)
def test_unknown_columns_are_named(tmp_path: Path, concepts: list[str], options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(write_folder(tmp_path), *concepts, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("sub dir/002.PNG,0", "sub dir/002.PNG,1"), r"^Concept 'tv' is constant \(all 1\), so permuting it changes"),
        ((",2,no", ",2,yes"), r"^Label 'home' has one class only \(all 1\), so nothing can be scored"),
        (("PNG,0,", "PNG,,"), r"^Concept 'tv' has no value in row 2 \('sub dir/002\.PNG'\)\. Fill it in or drop such"),
        (("PNG,0,", "PNG,NaN,"), r"^Concept 'tv' has no value in row 2 \('sub dir/002\.PNG'\)"),
        ((",5,yes", ",5,"), r"^Label 'home' has no value in row 3 \('003\.JPG'\)"),
        ((",5,yes", ""), r"^Concept 'dining table' has no value in row 3 \('003\.JPG'\)"),
        (("003.JPG", "001.png"), r"^`file_name` of metadata\.csv has '001\.png' in rows 1 and 3\. Each row needs a"),
        (("003.JPG", "./001.png"), r"^`file_name` of metadata\.csv has '001\.png' in rows 1 and 3"),
        (("003.JPG", "004.png"), r"^Image .*004\.png doesn't exist\. Check the file name, or pass"),
        (("003.JPG", "../003.JPG"), r"^The file name '\.\./003\.JPG' in row 3 must stay inside .*\. Use a path"),
        (("003.JPG", "a\\..\\..\\b.png"), r"^The file name 'a.*b\.png' in row 3 must stay inside"),
        (("003.JPG", "/etc/x.png"), r"^The file name '/etc/x\.png' in row 3 must stay inside"),
        (("003.JPG", "C:\\x.png"), r"^The file name 'C:.*x\.png' in row 3 must stay inside"),
        (("003.JPG", ""), r"^Column 'file_name' of metadata\.csv has no value in row 3\."),
        (("dining table", "tv"), r"^metadata\.csv has the column 'tv' more than once\. Rename or drop one\.$"),
        ((",5,yes", ",5,yes,6"), r"metadata\.csv can't be read as csv: Expected 4 fields in line 4, saw 5\. Quote"),
        ((CSV, CSV.replace(",", ";")), r"metadata\.csv is separated by semicolons\. Save it with commas\.$"),
        ((CSV, "file_name,tv\n"), r"^metadata\.csv has no rows\. Add some\.$"),
        ((CSV, ""), r"metadata\.csv is empty\. It needs a line of column names and a line a row\.$"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    folder = write_folder(tmp_path, CSV.replace(*change))
    with pytest.raises(UserError, match=message):
        read(folder)


def test_an_empty_jsonl_has_no_rows(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^metadata\.jsonl has no rows\."):
        read(write_folder(tmp_path, "\n", "metadata.jsonl"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.csv", b"file_name,tv\n\xff\xfe.png,1\n", r"metadata\.csv isn't UTF-8 text \(byte \d+\)\. Save it"),
        ("metadata.jsonl", b'{"a": 1}\n{"a": 2\n', r"metadata\.jsonl, line 2 isn't JSON: .* \(column \d+\)\.$"),
        ("metadata.jsonl", b"[1, 2]\n", r"metadata\.jsonl, line 1 must be an object such as .*; got '\[1, 2\]'\.$"),
        ("metadata.jsonl", b'{"a": "\xff"}\n', r"metadata\.jsonl isn't UTF-8 text"),
        ("metadata.parquet", b"PAR1 no", r"metadata\.parquet can't be read as parquet: "),
        ("metadata.parquet", b"", r"metadata\.parquet can't be read as parquet: "),
    ],
)
def test_damaged_metadata_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(write_folder(tmp_path, content, name))


def test_the_folder_must_have_one_metadata_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^The data folder .*gone doesn't exist\. Check the path\.$"):
        find_metadata(tmp_path / "gone")
    with pytest.raises(UserError, match=r"has no metadata\.csv, metadata\.jsonl or metadata\.parquet\. Add one\.$"):
        find_metadata(tmp_path)
    (tmp_path / "metadata.csv").touch()
    (tmp_path / "metadata.jsonl").touch()
    with pytest.raises(UserError, match=r"has metadata\.csv and metadata\.jsonl\. Keep one, or pass the path of the"):
        find_metadata(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"notes\.txt must be a \.csv, \.jsonl or \.parquet file\.$"):
        read_metadata(tmp_path / "notes.txt")
    with pytest.raises(UserError, match=r"gone\.csv can't be read: No such file or directory\.$"):
        read_metadata(tmp_path / "gone.csv")


def test_unreadable_images_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    csv = CSV + "cut.png,0,1,no\ngone.png,0,1,no\n"
    folder = write_folder(tmp_path, csv)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / "cut.png")
    content = (folder / "cut.png").read_bytes()
    (folder / "cut.png").write_bytes(content[:1000])
    with pytest.raises(UserError, match=r"^Image .*gone\.png doesn't exist"):
        read(folder)
    table = read(folder, skip_unreadable=True)
    assert table.skipped == ("cut.png", "gone.png")
    assert table.row_ids == ("001.png", "sub dir/002.PNG", "003.JPG")
    assert table.image_paths is not None and len(table.image_paths) == 3
    assert read(write_folder(tmp_path), skip_unreadable=True).skipped == ()


def test_nothing_is_left_when_no_image_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text(CSV)
    message = r"^None of the 3 images of metadata\.csv can be read, the first because: Image .*001\.png doesn't exist"
    with pytest.raises(UserError, match=message):
        read(tmp_path, skip_unreadable=True)
