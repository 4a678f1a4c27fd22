"""MIMIC-CXR-JPG and MIMIC-IV as distributed: joins by hand, and one clear line for everything that is missing."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from mimic_files import CHEXPERT, METADATA, OMR, PATIENTS, SPLIT, gz, write_mimic

from genlens.concepts import ConceptTable
from genlens.datasets.mimic_cxr import LABELS, MimicOptions, MimicStudies, read_mimic_cxr, write_mimic_cxr
from genlens.errors import UserError


@pytest.fixture
def mimic(tmp_path: Path) -> tuple[Path, Path]:
    return write_mimic(tmp_path)


def read(mimic: tuple[Path, Path], **options: object) -> MimicStudies:
    cxr, hosp = mimic
    return read_mimic_cxr(cxr, hosp, hosp, options=MimicOptions(**options))  # type: ignore[arg-type]


def test_files_are_joined_as_by_hand(mimic: tuple[Path, Path]) -> None:
    frame = read(mimic).frame.set_index("study_id")
    assert frame.index.tolist() == ["50414267", "53189527", "57375967"]
    first, second, third = (frame.loc[study] for study in frame.index)
    assert (first["age"], first["sex"], first["bmi"]) == (52, "F", 18.8)
    assert (second["age"], second["bmi"]) == (52, 31.5)  # nearest in time, and 3150 is no BMI
    assert (third["Age"], third["BMI"], third["Sex"]) == (1, 0, 0)
    assert (second["Age"], second["BMI"], second["Sex"]) == (0, 1, 1)
    assert first["file_name"] == "files/p10/p10000032/s50414267/02aa804e-bde0afdd-112c0b34-7bc16630-4e384014.jpg"
    assert first["view"] == "PA"  # one image a study, the preferred view
    assert first["findings"].startswith("There is no focal consolidation, pleural effusion or pneumothorax.")
    assert first["impression"] == "No acute cardiopulmonary process."


@pytest.mark.parametrize(("policy", "edema", "studies"), [("zero", 0, 3), ("one", 1, 3), ("drop", None, 2)])
def test_uncertain_labels_follow_the_policy(
    mimic: tuple[Path, Path], policy: str, edema: int | None, studies: int
) -> None:
    found = read(mimic, uncertain=policy)
    frame = found.frame.set_index("study_id")
    assert len(frame) == studies
    if edema is not None:
        assert frame.loc["53189527", ["Pneumonia", "Edema", "Fracture", "Atelectasis"]].tolist() == [1, edema, 0, 0]
    else:
        assert found.lines() == ["1 study was left out: a label is uncertain (-1), such as s53189527."]


def test_written_folder_is_an_imagefolder(mimic: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "data"
    found = read(mimic, splits=("train", "test"))
    write_mimic_cxr(out, found, mimic[0])
    table = ConceptTable.from_metadata(
        out, ["Age", "Sex"], "Pneumonia", context="findings", cluster="subject_id", watch=["Edema", "Consolidation"]
    ) if found.frame["Edema"].any() else ConceptTable.from_metadata(
        out, ["Age", "Sex"], "Pneumonia", context="findings", cluster="subject_id", watch=["Consolidation"]
    )  # fmt: skip
    assert table.n_rows == 4
    assert table.clusters is not None and len(set(table.clusters.tolist())) == 3
    with pytest.raises(UserError, match="must not hold a data set yet"):
        write_mimic_cxr(out, found, mimic[0])


@pytest.mark.parametrize("name", ["split", "metadata", "chexpert"])
def test_a_missing_file_is_named(mimic: tuple[Path, Path], name: str) -> None:
    (mimic[0] / f"mimic-cxr-2.0.0-{name}.csv.gz").unlink()
    with pytest.raises(UserError, match=rf"There is no mimic-cxr-2.0.0-{name}.csv.gz or mimic-cxr-2.0.0-{name}.csv in"):
        read(mimic)


@pytest.mark.parametrize("name", ["patients", "omr"])
def test_a_missing_file_of_mimic_iv_is_named(mimic: tuple[Path, Path], name: str) -> None:
    (mimic[1] / f"{name}.csv.gz").unlink()
    with pytest.raises(UserError, match=rf"There is no {name}.csv.gz or {name}.csv in"):
        read(mimic)


@pytest.mark.parametrize(
    ("file", "header", "column"),
    [
        ("mimic-cxr-jpg/mimic-cxr-2.0.0-split", SPLIT, "split"),
        ("mimic-cxr-jpg/mimic-cxr-2.0.0-metadata", METADATA, "ViewPosition"),
        ("mimic-cxr-jpg/mimic-cxr-2.0.0-metadata", METADATA, "StudyDate"),
        ("mimic-cxr-jpg/mimic-cxr-2.0.0-chexpert", CHEXPERT, "Pleural Other"),
        ("hosp/patients", PATIENTS, "anchor_year"),
        ("hosp/omr", OMR, "result_value"),
    ],
)
def test_a_missing_column_is_named(
    mimic: tuple[Path, Path], tmp_path: Path, file: str, header: str, column: str
) -> None:
    path = tmp_path / f"{file}.csv.gz"
    text = gzip.decompress(path.read_bytes()).decode()
    path.write_bytes(gzip.compress(text.replace(column, "other", 1).encode()))
    assert column in header
    with pytest.raises(UserError, match=rf"`column` is '{column}', which is not a column of {path.name}"):
        read(mimic)


def test_plain_csv_files_are_read_as_well(mimic: tuple[Path, Path]) -> None:
    for path in (*mimic[0].glob("*.gz"), *mimic[1].glob("*.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert len(read(mimic).frame) == 3


def no_report(cxr: Path, _: Path) -> None:
    (cxr / "files/p10/p10000764/s57375967.txt").unlink()


def no_image(cxr: Path, _: Path) -> None:
    next((cxr / "files/p10/p10000764/s57375967").glob("*.jpg")).unlink()


def no_patient(_: Path, hosp: Path) -> None:
    gz(hosp / "patients.csv.gz", PATIENTS, ["10000032,F,52,2180,2014 - 2016,"])


def no_bmi(_: Path, hosp: Path) -> None:
    gz(hosp / "omr.csv.gz", OMR, ["10000032,2180-06-20,1,BMI (kg/m2),31.5"])


def no_label(cxr: Path, _: Path) -> None:
    gz(cxr / "mimic-cxr-2.0.0-chexpert.csv.gz", CHEXPERT, [f"10000032,{s}" + "," * len(LABELS)
                                                          for s in ("50414267", "53189527")])  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (no_report, "no report file"),
        (no_image, "no image file"),
        (no_patient, "not in patients.csv, or without a sex there"),
        (no_bmi, "no BMI in omr.csv within 365 days"),
        (no_label, "not in mimic-cxr-2.0.0-chexpert.csv.gz"),
    ],
)
def test_an_unmatched_study_is_counted_and_named(
    mimic: tuple[Path, Path], spoil: Callable[[Path, Path], None], reason: str
) -> None:
    spoil(*mimic)
    found = read(mimic)
    assert found.frame["study_id"].tolist() == ["50414267", "53189527"]
    assert found.lines() == [f"1 study was left out: {reason}, such as s57375967."]


def test_no_study_left_is_an_error(mimic: tuple[Path, Path]) -> None:
    gz(mimic[1] / "patients.csv.gz", PATIENTS, ["7,F,52,2180,2014 - 2016,"])
    with pytest.raises(UserError, match=r"No study is left: 3 not in patients.csv"):
        read(mimic)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("mimic-cxr-jpg/mimic-cxr-2.0.0-metadata", "21321015", "213210x5", "'213210x5' in column 'StudyDate'"),
        ("hosp/omr", "27.1", "heavy", "'heavy' in column 'result_value'"),
        ("hosp/patients", ",86,", ",old,", "'old' in column 'anchor_age'"),
        ("mimic-cxr-jpg/mimic-cxr-2.0.0-chexpert", "-1.0", "2.0", "a label that isn't 1, 0, -1 or blank in row 2"),
    ],
)
def test_values_that_cannot_be_read_are_named(
    mimic: tuple[Path, Path], tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    path = tmp_path / f"{file}.csv.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).decode().replace(old, new, 1).encode()))
    with pytest.raises(UserError, match=message):
        read(mimic)


def test_damaged_gzip_is_one_line(mimic: tuple[Path, Path]) -> None:
    path = mimic[1] / "omr.csv.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(UserError, match="is a damaged gzip file"):
        read(mimic)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": ("dev",)}, "`splits` must be among"),
        ({"views": ()}, "`views` must name"),
        ({"uncertain": "half"}, "`uncertain` must be one of"),
        ({"max_days": -1}, "`max_days` must be an integer >= 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        MimicOptions(**options)  # type: ignore[arg-type]


def test_no_image_of_the_wanted_view(mimic: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="has the view LL"):
        read(mimic, views=("LL",))
