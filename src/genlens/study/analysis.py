"""A study's answers -> preference, understanding, agreement, and what could have gone wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from genlens.errors import UserError
from genlens.proportions import wilson_interval
from genlens.study import looks, preference
from genlens.study.agreement import category_counts, fleiss_kappa, krippendorff_alpha
from genlens.study.answers import Key, Person
from genlens.study.design import EQUAL, UNSURE
from genlens.study.looks import Understanding, measure_understanding
from genlens.study.preference import Preference, measure_preference

Row = dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """Ours against one rival.

    Attributes:
        rival: its name.
        attentive: among people who passed the checks of attention.
        everyone: among all people.
        alpha: Krippendorff's alpha of the choices, over attentive people.
        kappa: Fleiss' kappa of the same.
        by_item: item's label -> choices for the rival, for ours, ties.
    """

    rival: str
    attentive: Preference
    everyone: Preference
    alpha: float
    kappa: float
    by_item: dict[str, tuple[int, int, int]]


@dataclass(frozen=True)
class StudyResult:
    """What a study found.

    Attributes:
        n_people: files of answers.
        inattentive: participant numbers that failed a check of attention and are left out.
        comparisons: ours against each rival.
        understanding: None where no question has a known answer.
        look_alpha: Krippendorff's alpha of what people say the model looks at, over pictures of one method and item.
        left: choices of the left set, choices of a side, and p of a two-sided test that sides don't matter.
        seconds: median seconds of a question.
        rows: every answer, unblinded.
        confidence: of the intervals.
    """

    n_people: int
    inattentive: tuple[int, ...]
    comparisons: tuple[Compared, ...]
    understanding: Understanding | None
    look_alpha: float
    left: tuple[int, int, float]
    seconds: float
    rows: tuple[Row, ...]
    confidence: float


def analyze_study(key: Key, people: Sequence[Person], *, confidence: float = 0.95, seed: int = 0) -> StudyResult:
    """Unblind and analyse.

    Args:
        key: of the study.
        people: their answers.
        confidence: of all intervals.
        seed: of the bootstraps.

    Raises:
        UserError: fewer than two attentive people, or `confidence` out of range.
    """
    if not 0 < confidence < 1:
        raise UserError(f"`confidence` must lie between 0 and 1; got {confidence!r}.")
    attentive = [person for person in people if person.attentive]
    if len(attentive) < 2:
        raise UserError(f"{len(attentive)} of {len(people)} people passed the checks of attention; two are needed.")
    rows = tuple(row for person in people for row in _rows(key, person))
    options = {"confidence": confidence, "seed": seed}
    sides = [row["side"] for row in rows if row["part"] == "pair" and row["attentive"] and row["side"] != EQUAL]
    left = sides.count("left")
    return StudyResult(
        len(people),
        tuple(person.number for person in people if not person.attentive),
        tuple(_compared(key, rows, rival, options) for rival in key.rivals),
        _understanding(key, rows, options),
        _look_alpha(rows),
        (left, len(sides), float(stats.binomtest(left, len(sides), 0.5).pvalue) if sides else 1.0),
        float(np.median([row["seconds"] for row in rows])),
        rows,
        confidence,
    )


def _rows(key: Key, person: Person) -> list[Row]:
    """A person's answers as records; checks of attention left out."""
    found: list[Row] = []
    for step, choice, seconds in zip(person.steps, person.choices, person.seconds, strict=True):
        if step["kind"] == "check":
            continue
        item = key.items[step["item"]]
        methods = [key.sets[name][1] for name in step["sets"]]
        row: Row = {"person": person.number, "attentive": person.attentive, "part": step["kind"], "item": item["name"]}
        if step["kind"] == "pair":
            side = EQUAL if choice == EQUAL else "left" if choice == step["sets"][0] else "right"
            chosen = EQUAL if choice == EQUAL else key.sets[choice][1]
            row |= {"rival": next(name for name in methods if name != key.ours), "choice": chosen, "side": side}
        else:
            truth = item["answer"]
            right = None if truth is None else choice == truth
            text = UNSURE if choice == UNSURE else item["options"][choice]
            row |= {"method": methods[0], "choice": text, "right": right}
        found.append(row | {"seconds": seconds})
    return found


def _compared(key: Key, rows: Sequence[Row], rival: str, options: dict[str, Any]) -> Compared:
    mine = [row for row in rows if row["part"] == "pair" and row["rival"] == rival]
    names = {key.ours: preference.OURS, rival: preference.RIVAL, EQUAL: preference.TIE}
    codes = _matrix(mine, [item["name"] for item in key.items], lambda row: names[row["choice"]])
    passed = _attention(mine)
    counts = category_counts(codes[passed], 3)
    by_item = {str(item["label"]): (int(c[0]), int(c[1]), int(c[2])) for item, c in zip(key.items, counts, strict=True)}
    return Compared(
        rival,
        measure_preference(codes[passed], **options),
        measure_preference(codes, **options),
        krippendorff_alpha(counts),
        fleiss_kappa(counts),
        by_item,
    )


def _matrix(rows: Sequence[Row], items: Sequence[str], code: Any) -> np.ndarray:
    """Codes (people, items) of one answer a person and item."""
    people = sorted({row["person"] for row in rows})
    matrix = np.full((len(people), len(items)), -1)
    for row in rows:
        matrix[people.index(row["person"]), items.index(row["item"])] = code(row)
    return matrix


def _attention(rows: Sequence[Row]) -> np.ndarray:
    """Whether each person, in the order of their numbers, passed."""
    passed = {row["person"]: row["attentive"] for row in rows}
    return np.array([passed[number] for number in sorted(passed)])


def _understanding(key: Key, rows: Sequence[Row], options: dict[str, Any]) -> Understanding | None:
    mine = [row for row in rows if row["part"] == "look" and row["right"] is not None and row["attentive"]]
    if not mine:
        return None
    items = [item["name"] for item in key.items if item["answer"] is not None]
    shown = _matrix(mine, items, lambda row: key.methods.index(row["method"]))

    def code(row: Row) -> int:
        return looks.UNSURE if row["choice"] == UNSURE else looks.RIGHT if row["right"] else looks.WRONG

    return measure_understanding(key.methods, shown, _matrix(mine, items, code), **options)


def _look_alpha(rows: Sequence[Row]) -> float:
    """Agreement on what is seen, units being the pictures of one item and method; NaN without such questions."""
    mine = [row for row in rows if row["part"] == "look" and row["attentive"]]
    choices = sorted({row["choice"] for row in mine})
    units = sorted({(row["item"], row["method"]) for row in mine})
    counts = np.zeros((len(units), max(len(choices), 1)))
    for row in mine:
        counts[units.index((row["item"], row["method"])), choices.index(row["choice"])] += 1
    return krippendorff_alpha(counts) if len(units) else float("nan")


def share_interval(successes: int, n: int, confidence: float) -> str:
    """``"62.5% [40.0%, 80.9%]"``: a share of independent cases with Wilson's interval."""
    low, high = wilson_interval(successes, n, confidence)
    return f"{successes / n:.1%} [{low:.1%}, {high:.1%}]" if n else "none"
