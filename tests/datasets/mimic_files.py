"""Writes files of exactly the shape of MIMIC-CXR-JPG 2.0.0 and MIMIC-IV, with invented patients."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from PIL import Image

from genlens.datasets.mimic_cxr import LABELS

SPLIT = "dicom_id,study_id,subject_id,split"
METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
    "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
)
CHEXPERT = "subject_id,study_id," + ",".join(LABELS)
PATIENTS = "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod"
OMR = "subject_id,chartdate,seq_num,result_name,result_value"
REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with new onset ascites  // eval for infection

 COMPARISON:  None.

 FINDINGS:

 There is no focal consolidation, pleural effusion or pneumothorax.  Bilateral
 nodular opacities that most likely represent nipple shadows.

 IMPRESSION:

 No acute cardiopulmonary process.
"""
STUDIES = [  # subject, study, dicom, view, date, split
    ("10000032", "50414267", "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014", "PA", "21800506", "test"),
    ("10000032", "50414267", "174413ec-4ec4c1f7-34ea26b7-c5f994f8-79ef1962", "LATERAL", "21800506", "test"),
    ("10000032", "53189527", "2a2277a9-b0ded155-c0de8eb9-c124d10e-82c5caab", "AP", "21800626", "test"),
    ("10000764", "57375967", "096052b7-d256dc40-453a102b-fa7d01c6-1b22c6b4", "AP", "21321015", "test"),
    ("10000898", "50771383", "2a280266-c8bae121-54d75383-cac046f4-ca37aa16", "PA", "21880326", "train"),
]
LABELLED = {"50414267": {"No Finding": "1.0"}, "53189527": {"Pneumonia": "1.0", "Edema": "-1.0", "Fracture": "0.0"},
            "57375967": {"Consolidation": "1.0"}, "50771383": {"No Finding": "1.0"}}  # fmt: skip


def gz(path: Path, header: str, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join([header, *rows, ""]).encode()))


def write_mimic(folder: Path) -> tuple[Path, Path]:
    """The two data sets: folders of MIMIC-CXR-JPG (with the reports) and of MIMIC-IV's hosp."""
    cxr, hosp = folder / "mimic-cxr-jpg", folder / "hosp"
    gz(cxr / "mimic-cxr-2.0.0-split.csv.gz", SPLIT, [f"{d},{s},{p},{split}" for p, s, d, _, _, split in STUDIES])
    gz(cxr / "mimic-cxr-2.0.0-metadata.csv.gz", METADATA, [
        f'{d},{p},{s},"CHEST (PA AND LAT)",{view},3056,2544,{date},213014.531,"CHEST (PA AND LAT)",frontal,Erect'
        for p, s, d, view, date, _ in STUDIES
    ])  # fmt: skip
    subjects = {s: p for p, s, *_ in STUDIES}
    rows = [f"{p},{s}," + ",".join(LABELLED[s].get(name, "") for name in LABELS) for s, p in subjects.items()]
    gz(cxr / "mimic-cxr-2.0.0-chexpert.csv.gz", CHEXPERT, rows)
    gz(hosp / "patients.csv.gz", PATIENTS, [
        "10000032,F,52,2180,2014 - 2016,2180-09-09", "10000764,M,86,2132,2014 - 2016,",
        "10000898,F,79,2188,2011 - 2013,",
    ])  # fmt: skip
    gz(hosp / "omr.csv.gz", OMR, [
        "10000032,2180-04-27,1,Blood Pressure,110/65", "10000032,2180-04-27,1,Weight (Lbs),94",
        "10000032,2180-04-27,1,BMI (kg/m2),18.8", "10000032,2180-06-20,1,BMI (kg/m2),31.5",
        "10000032,2180-06-25,1,BMI (kg/m2),3150", "10000764,2132-10-01,1,BMI (kg/m2),27.1",
        "10000898,2188-01-01,1,BMI (kg/m2),25.0",
    ])  # fmt: skip
    for p, s, d, *_ in STUDIES:
        study = cxr / "files" / f"p{p[:2]}" / f"p{p}"
        (study / f"s{s}").mkdir(parents=True, exist_ok=True)
        (study / f"s{s}.txt").write_text(REPORT)
        Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(study / f"s{s}" / f"{d}.jpg")
    return cxr, hosp
