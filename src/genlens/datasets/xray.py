"""A phantom of a chest X-ray data set: drawn radiographs whose age, BMI, sex and findings are known exactly.

A row is a pure function of ``(seed, row)``. Some findings are more frequent in old, heavy or female patients
(`EFFECTS`), as in hospitals, and reports leave some of them out (`SAID`), so that the checks of the method have
something to warn of. The label, pneumonia, isn't drawn itself: it is more frequent with some findings.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.datasets.xray_drawing import IMAGE_SIZE, N_ANATOMY, SIGNS, Bodies, Floats, draw
from genlens.datasets.xray_reports import (
    COMPLAINTS,
    DEMOGRAPHICS,
    findings_text,
    mention,
    whole_report,
)
from genlens.errors import UserError, check_integer

FINDINGS = ("No Finding", *SIGNS)
"""The thirteen findings: CheXpert's fourteen labels without pneumonia, which is what the target models predict."""
CONCEPTS = (*DEMOGRAPHICS, *FINDINGS)
"""The sixteen concepts: three that a caption's fields give, and the findings."""
LABEL = "Pneumonia"
DEMOGRAPHIC_RATES = (0.5, 0.4, 0.5)

EFFECTS: dict[str, tuple[float, float, float, float]] = {
    "Enlarged Cardiomediastinum": (-2.2, 0.4, 0.4, 0.0),
    "Cardiomegaly": (-2.0, 0.4, 2.0, 0.0),
    "Lung Opacity": (-2.2, 2.4, 0.0, 0.0),
    "Lung Lesion": (-2.5, 1.2, 0.0, 0.3),
    "Edema": (-2.1, 0.7, 0.4, 0.0),
    "Consolidation": (-1.8, 0.2, 0.0, 0.0),
    "Atelectasis": (-1.8, 0.3, 0.8, 0.0),
    "Pneumothorax": (-2.0, 0.0, -0.3, -0.3),
    "Pleural Effusion": (-1.9, 0.8, 0.0, 0.0),
    "Pleural Other": (-2.3, 0.6, 0.0, -0.3),
    "Fracture": (-2.5, 1.0, 0.0, 0.4),
    "Support Devices": (-1.8, 0.8, 0.0, 0.0),
}
"""Log-odds of each finding: at age, BMI and sex 0, and what is added by each that is 1."""
SAID = (0.95, 0.4)
"""How often a report mentions a finding that is there, and one that isn't."""
SAID_LESS: dict[str, float] = {"Lung Opacity": 0.3, "Lung Lesion": 0.5, "Cardiomegaly": 0.4}
"""Findings that are there and are mentioned less often."""
MENTIONED = {"person": 0.3, "habitus": 0.2}
"""How often the findings' text says the patient's age and sex, or body habitus."""
_PNEUMONIA = {"Consolidation": 2.8, "Lung Opacity": 1.8, "Pleural Effusion": 0.6}
_PNEUMONIA_BASE = -2.0
_N_NUMBERS = 3 + N_ANATOMY + 6 * len(SIGNS) + 4


@dataclass(frozen=True, eq=False)
class Phantom:
    """N rows.

    Attributes:
        bodies: what the pictures show.
        said: (N, 12) bool, findings that the report mentions.
        findings: N texts of the findings' section.
        reports: N whole reports.
        pneumonia: (N,) 0 or 1, the label.
        seed: what the rows were drawn with.
        rows: (N,) their numbers.
    """

    bodies: Bodies
    said: NDArray[np.bool_]
    findings: tuple[str, ...]
    reports: tuple[str, ...]
    pneumonia: NDArray[np.int64]
    seed: int
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def concepts(self) -> NDArray[np.int64]:
        """(N, 16) in the order of `CONCEPTS`."""
        return concept_values(self.bodies)

    def captions(self) -> list[str]:
        """Captions as `genlens.captions.FieldsTemplate` makes them: three fields, then the findings."""
        fields = (dict(zip(DEMOGRAPHICS, row, strict=True)) for row in self.bodies.demographics.tolist())
        return [caption(values, text) for values, text in zip(fields, self.findings, strict=True)]

    def images(self) -> NDArray[np.uint8]:
        """(N, 64, 64) grey."""
        return draw(self.bodies, grain([(self.seed, int(row)) for row in self.rows]))

    def take(self, rows: NDArray[np.int64]) -> Phantom:
        """Some of the rows."""
        findings, reports = (tuple(values[i] for i in rows) for values in (self.findings, self.reports))
        return Phantom(
            self.bodies.take(rows), self.said[rows], findings, reports, self.pneumonia[rows], self.seed, self.rows[rows]
        )


def caption(fields: dict[str, int], findings: str) -> str:
    """``"Age: 1, BMI: 0, Sex: 1, Findings: …"``."""
    return ", ".join(f"{name}: {fields[name]}" for name in DEMOGRAPHICS) + f", Findings: {findings}"


def concept_values(bodies: Bodies) -> NDArray[np.int64]:
    """(N, 16) 0 or 1, in the order of `CONCEPTS`."""
    none = (bodies.signs.sum(axis=1, keepdims=True) == 0).astype(np.int64)
    return np.concatenate([bodies.demographics, none, bodies.signs], axis=1)


def sign_rates(demographics: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N, 12) probability of each drawn finding, given (N, 3) age, BMI and sex."""
    table = np.array([EFFECTS[sign] for sign in SIGNS])  # (12, 4)
    return _sigmoid(table[:, 0] + demographics @ table[:, 1:].T)


def unsaid_rates(demographics: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N, 12) probability of each finding where the report doesn't mention it (Bayes' rule)."""
    rate = sign_rates(demographics)
    missed = rate * (1 - said_rates()[:, 1])
    return missed / (missed + (1 - rate) * (1 - said_rates()[:, 0]))


def said_rates() -> NDArray[np.float64]:
    """(12, 2) how often a report mentions a finding that is absent, and one that is there."""
    return np.array([[SAID[1], SAID_LESS.get(sign, SAID[0])] for sign in SIGNS])


def grain(seeds: list[tuple[int, ...]]) -> Floats:
    """(N, 64, 64) standard normal noise, one stream a row."""
    shape = (IMAGE_SIZE, IMAGE_SIZE)
    return np.stack([np.random.default_rng((*seed, 1)).standard_normal(shape, dtype=np.float32) for seed in seeds])


def sample(n: int, seed: int, first: int = 0) -> Phantom:
    """Draw rows `first` to `first + n - 1` of the data set of a seed.

    Raises:
        UserError: `n` < 1, or `seed` or `first` < 0.
    """
    n, seed = check_integer("n", n, 1), check_integer("seed", seed, 0)
    rows = check_integer("first", first, 0) + np.arange(n)
    numbers = np.stack([np.random.default_rng((seed, row)).random(_N_NUMBERS) for row in rows.tolist()])
    d, k = 3 + N_ANATOMY, len(SIGNS)
    anatomy, blocks = numbers[:, 3:d], numbers[:, d : d + 6 * k].reshape(n, 6, k)
    demographics = (numbers[:, :3] < DEMOGRAPHIC_RATES).astype(np.int64)
    signs = (blocks[:, 0] < sign_rates(demographics)).astype(np.int64)
    sides = np.where(blocks[:, 1] < 0.5, -1, 1)
    bodies = Bodies(demographics, signs, sides, anatomy)
    said = blocks[:, 2] < np.take_along_axis(said_rates()[None], signs[:, :, None], axis=2)[:, :, 0]
    last = numbers[:, -4:]
    chance = _PNEUMONIA_BASE + sum(weight * signs[:, SIGNS.index(sign)] for sign, weight in _PNEUMONIA.items())
    pneumonia = (last[:, 3] < _sigmoid(chance)).astype(np.int64)
    variants, order = (blocks[:, 3] < 0.5).astype(np.int64), np.argsort(blocks[:, 4], axis=1)
    findings = [
        findings_text(signs[i], sides[i], said[i], variants[i], order[i].tolist(), _mentions(bodies, i, last[i]))
        for i in range(n)
    ]
    reports = [
        whole_report(findings[i], signs[i], sides[i], _person(bodies, i), COMPLAINTS[int(last[i, 2] * 4)])
        for i in range(n)
    ]
    return Phantom(bodies, said, tuple(findings), tuple(reports), pneumonia, seed, rows)


def _mentions(bodies: Bodies, i: int, numbers: NDArray[np.float64]) -> list[str]:
    age, bmi, female = bodies.ages[i], bodies.bmis[i], bool(bodies.demographics[i, 2])
    kinds: tuple[Any, ...] = tuple(MENTIONED)
    return [
        mention(kind, age, bmi, female)
        for kind, number in zip(kinds, numbers, strict=False)
        if number < MENTIONED[kind]
    ]  # fmt: skip


def _person(bodies: Bodies, i: int) -> str:
    return f"{bodies.ages[i]:.0f}-year-old {'woman' if bodies.demographics[i, 2] else 'man'}"


def _sigmoid(x: Any) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.asarray(x, dtype=np.float64))))


def write_imagefolder(out: Path, n: int, seed: int) -> None:
    """Write `n` rows as a Hugging Face imagefolder; the same arguments write the same bytes.

    Files: ``images/000000.png`` ... (64 x 64, 8-bit grey); ``metadata.csv`` with file_name, the sixteen concepts (0 or
    1), Pneumonia, age (years), bmi (kg/m2), sex (F or M), findings (that section's text), report (the whole).

    Raises:
        UserError: `n` or `seed` is out of range, or `out` holds a metadata.csv already.
    """
    from PIL import Image

    out = Path(out)
    if (out / "metadata.csv").exists():
        raise UserError(f"`out` must not hold a data set yet; got {out} with a metadata.csv. Choose another folder.")
    phantom = sample(n, seed)
    (out / "images").mkdir(parents=True, exist_ok=True)
    header = ["file_name", *CONCEPTS, LABEL, "age", "bmi", "sex", "findings", "report"]
    lines: list[list[Any]] = [header]
    bodies, images = phantom.bodies, phantom.images()
    for i, values in enumerate(phantom.concepts().tolist()):
        name = f"images/{i:06d}.png"
        Image.fromarray(images[i]).save(out / name)
        person = [f"{bodies.ages[i]:.0f}", f"{bodies.bmis[i]:.1f}", "MF"[bodies.demographics[i, 2]]]
        lines.append([name, *values, phantom.pneumonia[i], *person, phantom.findings[i], phantom.reports[i]])
    with (out / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
