"""Mentions of a permuted concept in the text of a caption that isn't permuted: found, counted, masked or rewritten.

"Age: 0, …, Findings: 72-year-old woman with …": a generator that heeds the findings keeps the age that the permutation
meant to take away, and the importance of age comes out too small (DEPICT, arXiv 2407.14509, section 5). Rules say what
a mention is: those here for age, sex and BMI, a concept's own name for any other, and the user's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from genlens.columns import Concept
from genlens.concepts import ConceptTable
from genlens.errors import UserError

N_EXAMPLES = 3
_AROUND = 28
"""Letters shown on either side of a mention."""

AGE, SEX, BMI = "age", "sex", "BMI"
_ALIASES: dict[str, tuple[str, ...]] = {
    AGE: ("age", "ages", "aged", "old", "elderly", "anchor_age"),
    SEX: ("sex", "gender", "female", "male", "woman", "man"),
    BMI: ("bmi", "obese", "obesity", "weight", "overweight", "body mass index"),
}
"""Words in a concept's name that make it age, sex or BMI."""


@dataclass(frozen=True)
class MentionRule:
    """What counts as a mention of a concept, and what may take its place.

    Attributes:
        concept: name of the concept.
        pattern: regular expression; capitals don't matter.
        replacement: what masking puts in its place, groups as in `re.sub`; None: it is reported only.

    Raises:
        UserError: the pattern isn't a regular expression or matches the empty text, or the replacement names a group
            that the pattern doesn't have.
    """

    concept: str
    pattern: str
    replacement: str | None = None

    def __post_init__(self) -> None:
        """Compile the pattern."""
        try:
            empty = self.compiled.search("") is not None
            self.compiled.sub(self.replacement or "", "")  # reads the replacement, though it finds nothing
        except (re.error, IndexError, OverflowError, RecursionError) as error:
            raise UserError(f"The rule {self.pattern!r} of {self.concept!r} can't be used: {error}.") from error
        if empty:
            raise UserError(f"The rule {self.pattern!r} of {self.concept!r} matches the empty text. Make it stricter.")

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The pattern."""
        return re.compile(self.pattern, re.IGNORECASE)


_BUILT_IN: dict[str, tuple[tuple[str, str], ...]] = {
    AGE: (
        (r"\b\d{1,3}[- ]?(?:years?|yrs?|y)[-/ ]?(?:of[- ]age|old|o)\b[- ]?", ""),
        (r"\b(?:age[ds]?|aged)[: ]+\d{1,3}\b", ""),
        (r"\b(?:elderly|geriatric|middle-aged|young|adolescent|teenage[rd]?)\b ?", ""),
        (r"\b(?:age-related|senile|senescent)\b ?", ""),
        (r"\b\d{1,3}(?= ?[mf]\b)", ""),
    ),
    SEX: (
        (r"\b(?:woman|man|lady|gentleman|female|male|girl|boy)\b", "patient"),
        (r"\b(?:women|men|females|males)\b", "patients"),
        (r"\b(?:he|she)\b", "the patient"),
        (r"\b(?:his|hers|her)\b", "the patient's"),
        (r"\bhim\b", "the patient"),
        (r"\b(?:mrs?|ms)\b\.?", "Patient"),
        (r"(?<=\d) ?[mf]\b|(?<=___) ?[mf]\b", " patient"),
        (r"\b(?:breasts?|mastectom\w+|mammar\w+|gyn[a]?ecomastia|prostat\w+|hysterectom\w+|pregnan\w+|uter\w+)\b", ""),
    ),
    BMI: (
        (r"\b(?:morbidly |severely )?(?:obese|obesity|overweight|underweight|slender|cachectic|cachexia)\b ?", ""),
        (r"\b(?:large |big )?(?:body )?habitus\b", ""),
        (r"\b(?:bmi|body mass index)\b(?: (?:of |is )?\d+(?:\.\d+)?)?", ""),
    ),
}
_PARTS = re.compile(r"[\s_]+")


def built_in_rules(concept: str) -> tuple[MentionRule, ...]:
    """Rules for a concept, by its name: those of age, sex or BMI, else the name itself or its plural, reported only."""
    words = [word for word in _PARTS.split(concept.lower()) if word]
    for kind, aliases in _ALIASES.items():
        if any(alias in words or alias == concept.lower() for alias in aliases):
            return tuple(MentionRule(concept, pattern, neutral) for pattern, neutral in _BUILT_IN[kind])
    return (MentionRule(concept, rf"\b{re.escape(concept)}(?:s|es)?\b"),) if re.search(r"\w", concept) else ()


def read_rules(path: str | Path) -> tuple[MentionRule, ...]:
    """Rules from a JSON file: a list of ``{"concept": …, "pattern": …, "replacement": …}``, the last may be left out.

    Raises:
        UserError: there is no such file, or it isn't of that form.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"`mentions` must be report, mask or a file of rules; {path} doesn't exist.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"The rules in {path} can't be read as JSON: {error}.") from error
    if not isinstance(data, list) or not data:
        raise UserError(f"{path} must hold a list of rules with the fields concept, pattern and replacement.")
    return tuple(_rule(path, number, entry) for number, entry in enumerate(data, start=1))


def _rule(path: Path, number: int, entry: Any) -> MentionRule:
    known = {"concept", "pattern", "replacement"}
    if not isinstance(entry, dict) or not {"concept", "pattern"} <= set(entry) <= known:
        raise UserError(f"Rule {number} of {path} must have concept, pattern and, if it rewrites, replacement.")
    if not all(isinstance(value, str) for value in entry.values()):
        raise UserError(f"Rule {number} of {path} must have texts as values; got {entry!r}.")
    return MentionRule(**entry)


@dataclass(frozen=True)
class Mentions:
    """Mentions of one permuted concept.

    Attributes:
        concept: its name.
        rows: indices of the rows whose fixed text mentions it.
        words: mention, in lower case -> number of rows.
        examples: (row id, mention with the words around it), at most `N_EXAMPLES`.
    """

    concept: str
    rows: tuple[int, ...]
    words: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[tuple[str, str], ...] = ()


def find_mentions(table: ConceptTable, rules: Sequence[MentionRule] = ()) -> tuple[Mentions, ...]:
    """Look for every concept in the text that stays when it is permuted.

    That text is the row's context and what the row says of other concepts in words of its own (texts, segments).

    Args:
        table: the rows.
        rules: the user's, beside the built-in ones.

    Returns:
        One entry a concept, in the table's order.
    """
    return tuple(_of_concept(table, concept, rules_for(concept.name, rules)) for concept in table.concepts)


def rules_for(concept: str, rules: Sequence[MentionRule] = ()) -> tuple[MentionRule, ...]:
    """The user's rules for a concept, then the built-in ones."""
    return (*(rule for rule in rules if rule.concept == concept), *built_in_rules(concept))


def _of_concept(table: ConceptTable, concept: Concept, rules: Sequence[MentionRule]) -> Mentions:
    others = [other for other in table.concepts if other.name != concept.name]
    rows: list[int] = []
    words: dict[str, int] = {}
    examples: list[tuple[str, str]] = []
    for row in range(table.n_rows):
        text = " ".join([*_own_words(others, row), "" if table.context is None else table.context[row]])
        found = [match for rule in rules for match in rule.compiled.finditer(text)]
        if not found:
            continue
        rows.append(row)
        for word in {" ".join(match[0].lower().split()) for match in found}:
            words[word] = words.get(word, 0) + 1
        if len(examples) < N_EXAMPLES:
            examples.append((table.row_ids[row], _around(text, found[0].start(), found[0].end())))
    return Mentions(concept.name, tuple(rows), words, tuple(examples))


def _own_words(concepts: Sequence[Concept], row: int) -> list[str]:
    """What a row says of these concepts in words of its own."""
    texts = [str(c.texts[row]) for c in concepts if c.texts is not None and c.present[row]]
    return texts + [str(c.values[row]) for c in concepts if c.kind == "segment"]


def _around(text: str, start: int, end: int) -> str:
    low, high = max(0, start - _AROUND), min(len(text), end + _AROUND)
    part = " ".join(text[low:high].split())
    return f"{'…' if low else ''}{part}{'…' if high < len(text) else ''}"


def rewritten(table: ConceptTable, rules: Sequence[MentionRule]) -> tuple[ConceptTable, int]:
    """Apply the rules that have a replacement to every row's context, in their order.

    Sentences that are left without a word go, blanks are joined.

    Args:
        table: the rows.
        rules: of the table's concepts; others are refused.

    Returns:
        The table, and how many rows changed.

    Raises:
        UserError: a rule names a concept that the table doesn't have.
    """
    for rule in rules:
        if rule.concept not in table.names:
            names = ", ".join(table.names)
            raise UserError(f"A rule is for {rule.concept!r}, which isn't permuted. Permuted concepts: {names}.")
    if table.context is None:
        return table, 0
    texts = tuple(_rewrite(text, rules) for text in table.context)
    changed = sum(new != old for new, old in zip(texts, table.context, strict=True))
    return replace(table, context=texts), changed


def _rewrite(text: str, rules: Sequence[MentionRule]) -> str:
    new = text
    for rule in rules:
        if rule.replacement is not None:
            new = rule.compiled.sub(rule.replacement, new)
    return text if new == text else tidy(new)


def tidy(text: str) -> str:
    """Join blanks, drop blanks before marks, and marks that end nothing."""
    parts: list[str] = []
    for part in text.split():
        if part.strip(",.;:"):
            parts.append(part)
        elif parts and parts[-1][-1] not in ",.;:":
            parts[-1] += part
    return " ".join(parts)


def apply_mentions(table: ConceptTable, how: str) -> tuple[ConceptTable, tuple[MentionRule, ...], int]:
    """What ``--mentions`` asks for.

    Args:
        table: the rows.
        how: "report": leave the text alone; "mask": put the built-in rules' neutral words in; else a file of rules,
            whose replacements are put in.

    Returns:
        The table, the user's rules, and how many rows were rewritten.

    Raises:
        UserError: see `read_rules` and `rewritten`.
    """
    if how == "report":
        return table, (), 0
    own = () if how == "mask" else read_rules(how)
    used = own or tuple(rule for name in table.names for rule in built_in_rules(name))
    changed, rows = rewritten(table, used)
    return changed, own, rows
