"""The design of a study: questions, what each person sees, and the key that tells methods from opaque names.

A person answers two parts. Part one shows the pictures of one method and asks what the model looks at; part two shows
two sets side by side and asks which explains better. The first comes first because a set seen alone must not be read in
the light of the other. Each part has a question that checks attention.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from genlens.errors import UserError, check_integer
from genlens.study.material import Material
from genlens.study.schedule import balanced_methods, balanced_orders, balanced_sides

VERSION = 1
EQUAL, UNSURE = "equal", "unsure"
"""Choices that every comparison, and every question about one set, also offers."""
CHECK_WORDS = ("red", "green", "blue", "yellow")
"""Answers of the questions that check attention."""

Step = dict[str, Any]


@dataclass(frozen=True)
class Design:
    """A study without its pictures.

    Attributes:
        ours: the method that is compared with the others.
        rivals: the others.
        items: by index: label, options (opaque name -> text) and the true option's opaque name or None.
        sets: opaque name -> (index of the item, method).
        schedules: one a person: steps in their order. A step has a kind ("look", "pair" or "check"), the index of its
            item (of its word, for a check), the sets shown and the choices, in the order shown.
    """

    ours: str
    rivals: tuple[str, ...]
    items: tuple[Mapping[str, Any], ...]
    sets: Mapping[str, tuple[int, str]]
    schedules: tuple[tuple[Step, ...], ...]

    def public(self) -> dict[str, Any]:
        """What the page may know: neither methods nor true answers."""
        return {
            "items": [{"label": item["label"], "options": item["options"]} for item in self.items],
            "schedules": [list(steps) for steps in self.schedules],
        }

    def key(self, design: str) -> dict[str, Any]:
        """What the analysis needs, for the experimenter's eyes only."""
        return {
            "format": "genlens-study-key", "version": VERSION, "design": design, "ours": self.ours,
            "rivals": list(self.rivals), "items": [dict(item) for item in self.items],
            "sets": {name: list(value) for name, value in self.sets.items()},
            "schedules": [list(steps) for steps in self.schedules],
        }  # fmt: skip


def make_design(material: Material, n_people: int = 24, seed: int = 0) -> Design:
    """Draw a design.

    Args:
        material: items, methods and pictures.
        n_people: people that are planned; a person numbered higher begins again with the first one's schedule.
        seed: of everything random.

    Raises:
        UserError: `n_people` < 2, or a text names a method.
    """
    n_people, rng = check_integer("people", n_people, 2), np.random.default_rng(check_integer("seed", seed, 0))
    for item in material.items:
        for text in (item.label, *item.options):
            check_blinded(text, material.methods, f"A text of item {item.name!r}")
    items = tuple(_coded(item, rng) for item in material.items)
    shown = [(k, method) for k in range(len(items)) for method in material.methods]
    codes = rng.permutation(16**4)[: len(shown)]
    names = {place: f"s{code:04x}" for place, code in zip(shown, codes, strict=True)}
    ours, *rivals = material.methods
    looks = [k for k, item in enumerate(items) if item["options"]]
    alone = balanced_methods(n_people, len(looks), len(material.methods), rng)
    orders = balanced_orders(n_people, len(looks), rng)
    pairs = [(k, rival) for k in range(len(items)) for rival in rivals]
    sides, turns = balanced_sides(n_people, len(pairs), rng), balanced_orders(n_people, len(pairs), rng)
    schedules = []
    for person in range(n_people):
        first = [
            _look(looks[j], names[looks[j], material.methods[alone[person, j]]], items, rng) for j in orders[person]
        ]
        second = [_pair(pairs[j][0], names[pairs[j][0], ours], names[pairs[j]], sides[person, j])
                  for j in turns[person]]  # fmt: skip
        schedules.append(tuple([*_checked(first, rng), *_checked(second, rng)]))
    sets = {name: place for place, name in sorted(names.items(), key=lambda pair: pair[1])}
    return Design(ours, tuple(rivals), items, sets, tuple(schedules))


def design_hash(public: Mapping[str, Any], pictures: Mapping[str, Sequence[str]]) -> str:
    """Hash of everything the page shows, by which answers and key find each other."""
    text = json.dumps([public, {name: list(uris) for name, uris in pictures.items()}], sort_keys=True)
    return blake2b(text.encode(), digest_size=12).hexdigest()


def _coded(item: Any, rng: np.random.Generator) -> dict[str, Any]:
    """An item whose options have names that say nothing; their order in the material says nothing either."""
    places = rng.permutation(len(item.options))
    options = {f"o{place}": option for place, option in zip(places, item.options, strict=True)}
    options = dict(sorted(options.items()))
    answer = next((name for name, option in options.items() if option == item.answer), None)
    return {"name": item.name, "label": item.label, "options": options, "answer": answer}


def _look(item: int, name: str, items: Sequence[Mapping[str, Any]], rng: np.random.Generator) -> Step:
    options = [str(option) for option in rng.permutation(list(items[item]["options"]))]
    return {"kind": "look", "item": item, "sets": [name], "options": [*options, UNSURE]}


def _pair(item: int, ours: str, rival: str, ours_left: bool) -> Step:
    sets = [ours, rival] if ours_left else [rival, ours]
    return {"kind": "pair", "item": item, "sets": sets, "options": [*sets, EQUAL]}


def _checked(steps: list[Step], rng: np.random.Generator) -> list[Step]:
    """The steps with a check of attention somewhere in their middle half; no steps, no check."""
    if not steps:
        return []
    place = int(rng.integers(len(steps) // 4, 3 * len(steps) // 4 + 1))
    word = int(rng.integers(len(CHECK_WORDS)))
    check: Step = {"kind": "check", "item": word, "sets": [], "options": list(CHECK_WORDS)}
    return [*steps[:place], check, *steps[place:]]


def check_blinded(text: str, methods: Sequence[str], where: str) -> None:
    """Refuse a text that says which method is which.

    Raises:
        UserError: it has a method's name as a word.
    """
    for method in methods:
        if re.search(rf"(?<!\w){re.escape(method)}(?!\w)", text, re.IGNORECASE):
            raise UserError(f"{where} names the method {method!r}: {text!r}. Reword it; people must not know methods.")
