"""The phantom in the layout of MIMIC-CXR-JPG and MIMIC-IV, to try every step without the credentialed data."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from genlens.datasets import xray
from genlens.datasets.mimic_cxr import LABELS, PREFIX
from genlens.datasets.mimic_patients import BMI_NAME
from genlens.datasets.xray_drawing import SIGNS
from genlens.errors import UserError

IMAGES, HOSP = "mimic-cxr-jpg", "mimic-iv/hosp"
_YEAR = 2150
_METADATA = (
    "dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition", "Rows", "Columns",
    "StudyDate", "StudyTime", "ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
)  # fmt: skip


def write_mimic_layout(out: Path, n: int, seed: int) -> None:
    """Write `n` invented patients with a study each: OUT/mimic-cxr-jpg (images, reports) and OUT/mimic-iv/hosp.

    The CheXpert columns say what the report says: 1 stated, 0 denied, blank where it isn't mentioned; pneumonia is the
    phantom's label.

    Raises:
        UserError: `n` or `seed` is out of range, or `out` holds such files already.
    """
    from PIL import Image

    folder, hosp = out / IMAGES, out / HOSP
    if folder.exists() or hosp.exists():
        found = IMAGES if folder.exists() else HOSP
        raise UserError(f"`out` must not hold a data set yet; got {out} with {found}. Choose another folder.")
    phantom = xray.sample(n, seed)
    rows: list[dict[str, Any]] = [_row(phantom, i) for i in range(n)]
    for row, image in zip(rows, phantom.images(), strict=True):
        patient = folder / "files" / f"p{row['subject_id'][:2]}" / f"p{row['subject_id']}"
        (patient / f"s{row['study_id']}").mkdir(parents=True)
        (patient / f"s{row['study_id']}.txt").write_text(row["report"], encoding="utf-8")
        Image.fromarray(image).save(patient / f"s{row['study_id']}" / f"{row['dicom_id']}.jpg", quality=95)
    _write(folder / f"{PREFIX}split.csv.gz", ("dicom_id", "study_id", "subject_id", "split"), rows)
    _write(folder / f"{PREFIX}metadata.csv.gz", _METADATA, rows)
    _write(folder / f"{PREFIX}chexpert.csv.gz", ("subject_id", "study_id", *LABELS), rows)
    patients = ("subject_id", "gender", "anchor_age", "anchor_year", "anchor_year_group", "dod")
    _write(hosp / "patients.csv.gz", patients, rows)
    names = ("Weight (Lbs)", BMI_NAME)
    measured = [row | {"result_name": name, "result_value": row[name]} for row in rows for name in names]
    _write(hosp / "omr.csv.gz", ("subject_id", "chartdate", "seq_num", "result_name", "result_value"), measured)


def _row(phantom: xray.Phantom, i: int) -> dict[str, Any]:
    """Every column of every file for one patient."""
    bodies, digest = phantom.bodies, blake2b(f"{phantom.seed}:{i}".encode(), digest_size=20).hexdigest()
    present = {sign: int(bodies.signs[i, k]) for k, sign in enumerate(SIGNS) if phantom.said[i, k]}
    labels = {sign: f"{value}.0" for sign, value in present.items()} | {"Pneumonia": f"{phantom.pneumonia[i]}.0"}
    if not any(bodies.signs[i]):
        labels["No Finding"] = "1.0"
    return {name: labels.get(name, "") for name in LABELS} | {
        "subject_id": str(10_000_000 + i),
        "study_id": str(50_000_000 + i),
        "dicom_id": "-".join(digest[k : k + 8] for k in range(0, 40, 8)),
        "split": "test",
        "PerformedProcedureStepDescription": "CHEST (PORTABLE AP)",
        "ViewPosition": "AP",
        "Rows": 64,
        "Columns": 64,
        "StudyDate": f"{_YEAR}0506",
        "StudyTime": "213014.531",
        "gender": "MF"[bodies.demographics[i, 2]],
        "anchor_age": round(float(bodies.ages[i])),
        "anchor_year": _YEAR,
        "anchor_year_group": "2014 - 2016",
        "chartdate": f"{_YEAR}-04-27",
        "seq_num": 1,
        "Weight (Lbs)": round(float(bodies.bmis[i]) * 6.4, 1),
        BMI_NAME: round(float(bodies.bmis[i]), 1),
        "report": phantom.reports[i],
    }


def _write(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
