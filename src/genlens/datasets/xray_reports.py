"""Reports of the drawn chest radiographs: sentences for findings, mentions of age, sex and BMI, and how to read them.

Every finding has sentences that state it and one that denies it. A report need not mention every finding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genlens.datasets.xray_drawing import SIGNS

STATED: dict[str, tuple[str, str]] = {
    "Enlarged Cardiomediastinum": ("The mediastinum is widened.", "Widened mediastinal contour."),
    "Cardiomegaly": ("The heart is enlarged.", "Cardiomegaly is present."),
    "Lung Opacity": ("Hazy opacity in the {side} lung.", "{Side} lung opacity."),
    "Lung Lesion": ("Nodule in the {side} lung.", "{Side} upper nodule."),
    "Edema": ("Pulmonary edema is present.", "Interstitial edema."),
    "Consolidation": ("{Side} lower consolidation.", "Consolidation on the {side}."),
    "Atelectasis": ("{Side} basal atelectasis.", "Atelectasis on the {side}."),
    "Pneumothorax": ("{Side} pneumothorax.", "Pneumothorax on the {side}."),
    "Pleural Effusion": ("{Side} pleural effusion.", "Effusion on the {side}."),
    "Pleural Other": ("{Side} pleural thickening.", "Thickened pleura on the {side}."),
    "Fracture": ("{Side} rib fracture.", "Fracture of a {side} rib."),
    "Support Devices": ("Pacemaker and tube in place.", "Lines and devices are present."),
}
"""Two ways to state each finding; {side} is left or right."""
DENIED: dict[str, str] = {
    "Enlarged Cardiomediastinum": "Mediastinal contours are normal.",
    "Cardiomegaly": "Heart size is normal.",
    "Lung Opacity": "No lung opacity.",
    "Lung Lesion": "No nodule.",
    "Edema": "No pulmonary edema.",
    "Consolidation": "No consolidation.",
    "Atelectasis": "No atelectasis.",
    "Pneumothorax": "No pneumothorax.",
    "Pleural Effusion": "No pleural effusion.",
    "Pleural Other": "No pleural thickening.",
    "Fracture": "No rib fracture.",
    "Support Devices": "No devices.",
}
DEMOGRAPHICS = ("Age", "BMI", "Sex")
"""Columns and caption fields: older than 60 years, body mass index above 30, female."""
COMPLAINTS = ("cough", "fever", "shortness of breath", "chest pain")

Sides = Mapping[int, int]
"""Index in `SIGNS` -> -1 (right) or 1 (left)."""

_SIDES = {-1: "right", 1: "left"}
_FIELD = re.compile(r"\b(Age|BMI|Sex):\s*([01])\b")
_YEARS = re.compile(r"\b(\d{1,3})[- ]year[- ]old\b", re.IGNORECASE)
_FEMALE, _MALE = re.compile(r"\b(woman|female)\b", re.IGNORECASE), re.compile(r"\b(man|male)\b", re.IGNORECASE)
_OBESE, _SLIM = re.compile(r"\bobes", re.IGNORECASE), re.compile(r"\bslender\b", re.IGNORECASE)


def _sentences() -> dict[str, tuple[int, int]]:
    """Sentence, in lower case and without its full stop -> finding's index and 0 (denied), -1 or 1 (its side)."""
    known: dict[str, tuple[int, int]] = {}
    for index, sign in enumerate(SIGNS):
        known[_plain(DENIED[sign])] = (index, 0)
        for pattern in STATED[sign]:
            for side, word in _SIDES.items():
                known[_plain(pattern.format(side=word, Side=word))] = (index, side)
    return known


def _plain(sentence: str) -> str:
    return " ".join(sentence.lower().strip(" .\n").split())


_KNOWN = _sentences()


def state(sign: int, side: int, variant: int) -> str:
    """A sentence that states a finding.

    Args:
        sign: index in `SIGNS`.
        side: -1 (right) or 1 (left).
        variant: 0 or 1, which of the two sentences.
    """
    word = _SIDES[int(side)]
    return STATED[SIGNS[sign]][variant].format(side=word, Side=word.capitalize())


def read_findings(text: str) -> dict[int, int]:
    """What a text says of the findings: index in `SIGNS` -> 0 (denied), -1 (right) or 1 (left).

    Sentences that aren't the phantom's are ignored; of two that disagree the last counts.
    """
    found: dict[int, int] = {}
    for sentence in re.split(r"\.(?:\s|$)", text):
        plain = _plain(sentence)
        for start in (plain, plain.rpartition(": ")[2]):
            if start in _KNOWN:
                index, value = _KNOWN[start]
                found[index] = value
                break
    return found


def read_fields(caption: str) -> dict[str, int]:
    """The fields "Age: 1", "BMI: 0", "Sex: 1" of a caption, by name."""
    return {name: int(value) for name, value in _FIELD.findall(caption)}


def read_mentions(text: str) -> dict[str, int]:
    """What the words of a text say of age, BMI and sex ("72-year-old woman", "obese"), as the fields code it."""
    found: dict[str, int] = {}
    years = _YEARS.search(text)
    if years:
        found["Age"] = int(int(years[1]) > 60)
    if _OBESE.search(text) or _SLIM.search(text):
        found["BMI"] = int(_OBESE.search(text) is not None)
    if _FEMALE.search(text) or _MALE.search(text):
        found["Sex"] = int(_FEMALE.search(text) is not None)
    return found


def mention(which: Literal["person", "habitus"], age: float, bmi: float, female: bool) -> str:
    """A sentence that says how old and of what sex, or how heavy, the patient is."""
    if which == "person":
        return f"Radiograph of a {age:.0f}-year-old {'woman' if female else 'man'}."
    return "Obese body habitus." if bmi > 30 else "Slender body habitus."


def findings_text(
    signs: NDArray[np.int64], sides: NDArray[np.int64], said: NDArray[np.bool_], variants: NDArray[np.int64],
    order: Sequence[int], mentions: Sequence[str],
) -> str:  # fmt: skip
    """The findings of one report.

    Args:
        signs: (12,) 0 or 1.
        sides: (12,) -1 or 1.
        said: (12,) whether the report says anything of the finding.
        variants: (12,) 0 or 1.
        order: the findings' indices in the order of their sentences.
        mentions: sentences that come first.
    """
    told = [
        state(k, sides[k], int(variants[k])) if signs[k] else DENIED[SIGNS[k]]
        for k in order
        if said[k]
    ]  # fmt: skip
    return " ".join([*mentions, *told]) or "Chest radiograph."


def whole_report(findings: str, signs: NDArray[np.int64], sides: NDArray[np.int64], person: str, complaint: str) -> str:
    """A report with the sections of real ones, the patient described in the indication."""
    present = [state(int(k), int(sides[k]), 0) for k in np.flatnonzero(signs)]
    impression = " ".join(present) or "No acute cardiopulmonary process."
    return (
        "EXAMINATION: CHEST (PORTABLE AP)\n\n"
        f"INDICATION: {person} with {complaint}. Evaluate for pneumonia.\n\n"
        "COMPARISON: None available.\n\n"
        f"FINDINGS: {findings}\n\n"
        f"IMPRESSION: {impression}\n"
    )
