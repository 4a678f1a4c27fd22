"""Reading the key and the answers: files of people, which may be anything until they are checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genlens.errors import UserError
from genlens.study.design import CHECK_WORDS, VERSION, Step

_LARGEST = 5_000_000  # bytes of an answers file; real ones have some thousands


@dataclass(frozen=True)
class Key:
    """What `build_study` kept from the people.

    Attributes:
        design: hash of the page.
        ours: the method that is compared with the others.
        rivals: the others.
        items: by index: name, label, options (opaque name -> text), the true option's name or None.
        sets: opaque name -> (index of the item, method).
        schedules: one a person.
    """

    design: str
    ours: str
    rivals: tuple[str, ...]
    items: tuple[Mapping[str, Any], ...]
    sets: Mapping[str, tuple[int, str]]
    schedules: tuple[tuple[Step, ...], ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods, ours first."""
        return (self.ours, *self.rivals)


@dataclass(frozen=True)
class Person:
    """One person's answers.

    Attributes:
        number: the participant number.
        file: where they are from.
        steps: the questions as shown.
        choices: an answer a step.
        seconds: time a step took.
        attentive: whether every check of attention was passed.
        comment: remarks.
    """

    number: int
    file: Path
    steps: tuple[Step, ...]
    choices: tuple[str, ...]
    seconds: tuple[float, ...]
    attentive: bool
    comment: str


def load_key(path: str | Path) -> Key:
    """Read the key of a study.

    Raises:
        UserError: it isn't there, or isn't one.
    """
    told = _read(Path(path), "genlens-study-key")
    try:
        return Key(
            str(told["design"]),
            str(told["ours"]),
            tuple(str(rival) for rival in told["rivals"]),
            tuple(dict(item) for item in told["items"]),
            {str(name): (int(place[0]), str(place[1])) for name, place in told["sets"].items()},
            tuple(tuple(_step(step) for step in steps) for steps in told["schedules"]),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{path} is a damaged key ({reason}); take the one that lay beside the page.") from error


def load_answers(paths: Sequence[str | Path], key: Key) -> list[Person]:
    """Read answers and check them against the key; a folder stands for its `*.json` (but for key.json).

    Raises:
        UserError: a file isn't one of answers, is of another study, incomplete or not as its schedule asked, or a
            person or a session comes twice.
    """
    files = [file for path in paths for file in _files(Path(path))]
    if not files:
        raise UserError("There are no answers to analyse. Name the files that people saved, or a folder of them.")
    people: dict[int, Person] = {}
    sessions: dict[str, Path] = {}
    for file in files:
        told = _read(file, "genlens-study-answers")
        person = _person(told, file, key)
        session = str(told.get("session"))
        if session in sessions:
            raise UserError(f"{file} and {sessions[session]} are the same person's answers. Leave one of them out.")
        if person.number in people:
            raise UserError(f"{file} and {people[person.number].file} both have the participant number "
                            f"{person.number}. Leave one out, or find out who is who.")  # fmt: skip
        people[person.number], sessions[session] = person, file
    return [people[number] for number in sorted(people)]


def _step(told: Mapping[str, Any]) -> Step:
    kind, item = str(told["kind"]), int(told["item"])
    return {"kind": kind, "item": item, "sets": list(told["sets"]), "options": list(told["options"])}


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.glob("*.json") if file.name != "key.json")
    return [path]


def _read(path: Path, kind: str) -> dict[str, Any]:
    what = "a study's key" if kind.endswith("key") else "a file of answers"
    try:
        if path.stat().st_size > _LARGEST * (20 if kind.endswith("key") else 1):
            raise UserError(f"{path} is too large to be {what}.")
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} isn't there.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not {what}: it is no JSON ({type(error).__name__}).") from error
    if not isinstance(told, dict) or told.get("format") != kind:
        raise UserError(f"{path} is not {what}: its `format` is not {kind!r}.")
    if told.get("version") != VERSION:
        raise UserError(f"{path} has version {told.get('version')!r}; this genlens reads version {VERSION}.")
    return told


def _person(told: Mapping[str, Any], file: Path, key: Key) -> Person:
    design, number, answers = told.get("design"), told.get("person"), told.get("answers")
    if design != key.design:
        raise UserError(f"{file} answers another study: its design is {design!r}, the key's {key.design!r}.")
    if type(number) is not int or number < 1 or told.get("consent") is not True or not isinstance(answers, list):
        raise UserError(f"{file} is damaged: it must have a person's number, consent and answers.")
    steps = key.schedules[(number - 1) % len(key.schedules)]
    if len(answers) != len(steps):
        raise UserError(f"{file} is incomplete: {len(answers)} of {len(steps)} questions are answered.")
    choices, seconds = [], []
    for k, (step, answer) in enumerate(zip(steps, answers, strict=True)):
        fits = isinstance(answer, dict) and answer.get("step") == k and answer.get("choice") in step["options"]
        time = answer.get("ms") if fits else None
        if not isinstance(time, int | float) or not 0 <= time < float("inf"):
            raise UserError(f"{file} is damaged: answer {k + 1} is not one that person {number} could give.")
        choices.append(str(answer["choice"]))
        seconds.append(float(time) / 1000)
    wanted = [CHECK_WORDS[step["item"]] == choice for step, choice in zip(steps, choices, strict=True)
              if step["kind"] == "check"]  # fmt: skip
    return Person(number, file, steps, tuple(choices), tuple(seconds), all(wanted), str(told.get("comment", "")))
