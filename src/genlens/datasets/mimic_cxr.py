"""MIMIC-CXR-JPG as distributed, joined with MIMIC-IV -> an imagefolder's metadata, a row a study.

Read are mimic-cxr-2.0.0-split, -metadata and -chexpert (.csv or .csv.gz), the report files
files/p10/p10000032/s50414267.txt, the images files/p10/p10000032/s50414267/DICOM_ID.jpg, and of MIMIC-IV patients and
omr. Nothing of the data, which need a licence, comes with genlens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from genlens.columns import describe_rows
from genlens.datasets.mimic_patients import dates, find_file, numbers, read_columns, with_age_and_sex, with_bmi
from genlens.datasets.report_sections import sections
from genlens.errors import UserError, check_integer
from genlens.files import write_atomic

PREFIX = "mimic-cxr-2.0.0-"
LABELS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum", "Fracture", "Lung Lesion",
    "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other", "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
SPLITS = ("train", "validate", "test")
Uncertain = Literal["zero", "one", "drop"]
"""What -1 (uncertain) in the CheXpert file becomes: 0, 1, or the study is left out."""
OLD, HEAVY = 60, 30
"""Age is 1 above so many years, BMI above so many kg/m2 (DEPICT, section 4.3)."""


@dataclass(frozen=True)
class MimicOptions:
    """Which studies are taken, and how.

    Attributes:
        splits: among train, validate and test.
        views: view positions, the preferred one first; one image a study.
        uncertain: see `Uncertain`. A blank, a finding that the report doesn't mention, is 0 in any case.
        max_days: between a BMI's measurement and the study.

    Raises:
        UserError: a value out of its range.
    """

    splits: tuple[str, ...] = ("test",)
    views: tuple[str, ...] = ("PA", "AP")
    uncertain: Uncertain = "zero"
    max_days: int = 365

    def __post_init__(self) -> None:
        """Check the values."""
        strange = [name for name in self.splits if name not in SPLITS]
        if strange or not self.splits:
            raise UserError(f"`splits` must be among {', '.join(SPLITS)}; got {', '.join(strange) or 'none'}.")
        if not self.views:
            raise UserError("`views` must name at least one view position, such as PA.")
        if self.uncertain not in get_args(Uncertain):
            raise UserError(f"`uncertain` must be one of {', '.join(get_args(Uncertain))}; got {self.uncertain!r}.")
        check_integer("max_days", self.max_days, 0)


@dataclass
class MimicStudies:
    """Studies that have everything, and those that were left out.

    Attributes:
        frame: columns file_name, subject_id, study_id, dicom_id, split, view, Age, BMI, Sex (0 or 1), the fourteen
            labels, age, bmi, sex, findings, impression, report.
        left_out: reason -> study ids.
    """

    frame: pd.DataFrame
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """One line a reason, with the number of studies and the first of them."""
        return [
            f"{len(ids):,} {'study was' if len(ids) == 1 else 'studies were'} left out: {reason}, such as s{ids[0]}."
            for reason, ids in self.left_out.items()
        ]


def read_mimic_cxr(
    images: Path, patients: Path, omr: Path, reports: Path | None = None, options: MimicOptions | None = None
) -> MimicStudies:
    """Join the files.

    Args:
        images: folder of MIMIC-CXR-JPG, with the three csv files and the folder `files`.
        patients: MIMIC-IV's patients.csv(.gz), or the folder (hosp) it is in.
        omr: MIMIC-IV's omr.csv(.gz), or its folder.
        reports: folder with the reports' `files`; None: `images`.
        options: which studies, and how.

    Raises:
        UserError: a file or a column is missing, a value can't be read, or no study has everything.
    """
    chosen = options or MimicOptions()
    found = MimicStudies(_studies(images, chosen))
    found.frame = _with_labels(found, find_file(images, f"{PREFIX}chexpert.csv"), chosen.uncertain)
    found.frame = with_age_and_sex(found.frame, patients)
    _leave_out(found, ~found.frame["sex"].isin(["F", "M"]), "not in patients.csv, or without a sex there")
    found.frame = with_bmi(found.frame, omr, chosen.max_days)
    _leave_out(found, found.frame["bmi"].isna(), f"no BMI in omr.csv within {chosen.max_days} days")
    _with_files(found, images, images if reports is None else reports)
    frame = found.frame
    frame["Age"] = (frame["age"] > OLD).astype(int)
    frame["BMI"] = (frame["bmi"] > HEAVY).astype(int)
    frame["Sex"] = (frame["sex"] == "F").astype(int)
    columns = ["file_name", "subject_id", "study_id", "dicom_id", "split", "view", "Age", "BMI", "Sex", *LABELS]
    found.frame = frame[[*columns, "age", "bmi", "sex", "findings", "impression", "report"]]
    return found


def _studies(folder: Path, chosen: MimicOptions) -> pd.DataFrame:
    """One image a study of the chosen splits and views, with its date."""
    ids = ("dicom_id", "study_id", "subject_id")
    split = read_columns(find_file(folder, f"{PREFIX}split.csv"), (*ids, "split"))
    path = find_file(folder, f"{PREFIX}metadata.csv")
    metadata = read_columns(path, ("dicom_id", "ViewPosition", "StudyDate"))
    joined = split[split["split"].isin(chosen.splits)].merge(metadata, on="dicom_id")
    joined = joined.rename(columns={"ViewPosition": "view"})
    joined = joined[joined["view"].isin(chosen.views)]
    if joined.empty:
        views, splits = ", ".join(chosen.views), ", ".join(chosen.splits)
        raise UserError(f"No image of the split {splits} has the view {views} in {path.name}. Choose others.")
    joined["date"] = dates(joined, "StudyDate", path)
    joined["preferred"] = joined["view"].map(chosen.views.index)
    order = joined.sort_values(["subject_id", "study_id", "preferred", "dicom_id"])
    return order.drop_duplicates("study_id").drop(columns="preferred").reset_index(drop=True)


def _with_labels(found: MimicStudies, path: Path, uncertain: Uncertain) -> pd.DataFrame:
    """Add the fourteen labels as 0 and 1."""
    frame = read_columns(path, ("study_id", *LABELS))
    labels = pd.DataFrame({name: numbers(frame, name, path) for name in LABELS})
    strange = labels.notna() & ~labels.isin([-1, 0, 1])
    if strange.any(axis=None):
        row = int(strange.any(axis=1).to_numpy().argmax())
        raise UserError(f"{path.name} has a label that isn't 1, 0, -1 or blank in {describe_rows([row], None)}.")
    labels["study_id"] = frame["study_id"].str.strip()
    found.frame = found.frame.merge(labels.drop_duplicates("study_id"), on="study_id", how="left", indicator=True)
    _leave_out(found, found.frame["_merge"] != "both", f"not in {path.name}")
    if uncertain == "drop":
        doubtful = (found.frame[list(LABELS)] == -1).any(axis=1)
        _leave_out(found, doubtful, "a label is uncertain (-1)")
    values = found.frame[list(LABELS)].fillna(0).replace(-1, 1 if uncertain == "one" else 0).astype(int)
    return found.frame.drop(columns=["_merge", *LABELS]).join(values)


def _with_files(found: MimicStudies, images: Path, reports: Path) -> None:
    """Add file names and texts; studies without image or report are left out."""
    frame = found.frame
    folders = [f"files/p{subject[:2]}/p{subject}" for subject in frame["subject_id"]]
    studies = list(zip(folders, frame["study_id"], frame["dicom_id"], strict=True))
    frame["file_name"] = [f"{folder}/s{study}/{dicom}.jpg" for folder, study, dicom in studies]
    missing = pd.Series([not (images / name).is_file() for name in frame["file_name"]], index=frame.index)
    paths = [reports / folder / f"s{study}.txt" for folder, study, _ in studies]
    frame["report"] = [path.read_text(encoding="utf-8", errors="replace") if path.is_file() else "" for path in paths]
    _leave_out(found, missing, "no image file")
    _leave_out(found, found.frame["report"].str.strip() == "", "no report file")
    parts = [sections(report) for report in found.frame["report"]]
    found.frame["findings"] = [part.get("findings", "") for part in parts]
    found.frame["impression"] = [part.get("impression", "") for part in parts]


def _leave_out(found: MimicStudies, rows: pd.Series[bool], reason: str) -> None:
    """Drop rows, keep their study ids.

    Raises:
        UserError: no study is left.
    """
    if not rows.any():
        return
    ids = found.frame.loc[rows, "study_id"].tolist()
    found.left_out[reason] = ids
    found.frame = found.frame.loc[~rows].reset_index(drop=True)
    if found.frame.empty:
        raise UserError(f"No study is left: {len(ids):,} {reason}, such as s{ids[0]}. Check the paths of the files.")


def write_mimic_cxr(out: Path, studies: MimicStudies, images: Path) -> None:
    """Write OUT/metadata.csv and link OUT/files to the images' folder, so that OUT is an imagefolder.

    Raises:
        UserError: `out` holds a metadata.csv already, or something else is called `files` there.
    """
    if (out / "metadata.csv").exists():
        raise UserError(f"`out` must not hold a data set yet; got {out} with a metadata.csv. Choose another folder.")
    link = out / "files"
    if link.exists() and link.resolve() != (images / "files").resolve():
        raise UserError(f"{link} is there already and isn't the images' folder. Choose another folder.")
    out.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to((images / "files").resolve(), target_is_directory=True)
    write_atomic(out / "metadata.csv", studies.frame.to_csv(index=False, lineterminator="\n").encode())
