"""Age, sex and BMI of MIMIC-IV's patients at the time of a study, from `patients.csv` and `omr.csv`."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from genlens.datasets.tables import unknown_column
from genlens.errors import UserError

BMI_NAME = "BMI (kg/m2)"
"""`result_name` of the rows of omr.csv that are read."""
BMI_RANGE = (10.0, 100.0)
"""kg/m2; values outside are slips of the pen and left out."""
_CHUNK = 500_000


def find_file(folder: Path, name: str) -> Path:
    """A file as it is distributed: `name` or `name`.gz in `folder`, or `folder` itself where it is a file.

    Raises:
        UserError: there is none.
    """
    if folder.is_file():
        return folder
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise UserError(f"There is no {name}.gz or {name} in {folder}. Check the path, or download the file.")


def read_columns(path: Path, columns: Sequence[str], where: tuple[str, str] | None = None) -> pd.DataFrame:
    """Columns of a csv or csv.gz file as text, "" where a cell is empty.

    Args:
        path: the file.
        columns: those wanted.
        where: (column, value): only rows with that value.

    Raises:
        UserError: the file lacks a column, has no rows, or can't be read as csv.
    """
    parts: list[pd.DataFrame] = []
    try:
        reader = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", chunksize=_CHUNK)
        for chunk in reader:
            names = [str(name).strip() for name in chunk.columns]
            for column in columns:
                if column not in names:
                    raise unknown_column("column", column, path.name, names)
            named = chunk.set_axis(names, axis=1)[list(columns)]
            parts.append(named if where is None else named[named[where[0]].str.strip() == where[1]])
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UserError(f"{path} is a damaged gzip file: {error}. Download it again.") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise UserError(f"{path} can't be read as csv: {reason}. Download it again.") from error
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns))
    if found.empty:
        wanted = "" if where is None else f" with {where[0]} {where[1]!r}"
        raise UserError(f"{path} has no rows{wanted}. Check that it is the right file.")
    return found


def numbers(frame: pd.DataFrame, column: str, path: Path) -> pd.Series[float]:
    """A column as numbers, NaN where it is empty.

    Raises:
        UserError: a cell is no number.
    """
    text = frame[column].str.strip()
    found = pd.to_numeric(text, errors="coerce")
    bad = np.flatnonzero(found.isna().to_numpy() & (text != "").to_numpy())
    if len(bad):
        raise UserError(f"{path.name} has {text.iloc[bad[0]]!r} in column {column!r}, which must hold numbers.")
    return found.astype(float)


def with_age_and_sex(studies: pd.DataFrame, patients: Path) -> pd.DataFrame:
    """Add `age` (years) and `sex` (F or M) to studies with `subject_id` and `date`.

    The age is anchor_age + year of the study - anchor_year; MIMIC-IV gives ages above 89 as 91.

    Args:
        studies: the rows.
        patients: patients.csv(.gz), or its folder.

    Raises:
        UserError: the file or a column is missing, or a cell is no number.
    """
    path = find_file(patients, "patients.csv")
    frame = read_columns(path, ("subject_id", "gender", "anchor_age", "anchor_year"))
    known = pd.DataFrame(
        {
            "subject_id": frame["subject_id"].str.strip(),
            "sex": frame["gender"].str.strip().str.upper(),
            "born": numbers(frame, "anchor_year", path) - numbers(frame, "anchor_age", path),
        }
    ).drop_duplicates("subject_id")
    joined = studies.merge(known, on="subject_id", how="left")
    joined["age"] = joined["date"].dt.year - joined["born"]
    return joined.drop(columns="born")


def with_bmi(studies: pd.DataFrame, omr: Path, max_days: int) -> pd.DataFrame:
    """Add `bmi` (kg/m2), measured nearest to the study and at most `max_days` before or after it; else NaN.

    Args:
        studies: rows with `subject_id` and `date`.
        omr: omr.csv(.gz), or its folder.
        max_days: days between measurement and study at most.

    Raises:
        UserError: the file or a column is missing, it has no BMI, or a date or value can't be read.
    """
    path = find_file(omr, "omr.csv")
    columns = ("subject_id", "chartdate", "result_name", "result_value")
    frame = read_columns(path, columns, ("result_name", BMI_NAME))
    measured = pd.DataFrame(
        {
            "subject_id": frame["subject_id"].str.strip(),
            "measured": dates(frame, "chartdate", path),
            "bmi": numbers(frame, "result_value", path),
        }
    ).dropna()
    measured = measured[measured["bmi"].between(*BMI_RANGE)]
    pairs = studies[["subject_id", "date"]].reset_index().merge(measured, on="subject_id")
    pairs["days"] = (pairs["date"] - pairs["measured"]).dt.days.abs()
    near = pairs[pairs["days"] <= max_days].sort_values(["index", "days", "measured"]).drop_duplicates("index")
    return studies.join(near.set_index("index")["bmi"])


def dates(frame: pd.DataFrame, column: str, path: Path) -> pd.Series[pd.Timestamp]:
    """A column of dates, 21800506 or 2180-05-06.

    Raises:
        UserError: a cell is no date.
    """
    text = frame[column].str.strip().str.replace("-", "", regex=False).str.removesuffix(".0")
    found = pd.to_datetime(text, format="%Y%m%d", errors="coerce")
    bad = np.flatnonzero(found.isna().to_numpy())
    if len(bad):
        raise UserError(f"{path.name} has {frame[column].iloc[bad[0]]!r} in column {column!r}, which must hold dates.")
    return found
