"""Captions longer than the text encoder's limit: a section is chosen, or whole sentences are, by a rule that is said.

Nothing is ever cut within a sentence or without a word in the report. Only the row's context is shortened, in the same
way for every state of the row, so that a permutation changes nothing but its concept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from genlens.captions import Captioned, plain
from genlens.columns import Concept
from genlens.concepts import ConceptTable
from genlens.errors import CaptionError

TokenCounter = Callable[[Sequence[str]], list[int]]
"""Captions -> how many tokens of the limit each takes (special ones included), by the tokenizer that needs most."""

FINDING_TERMS = (
    "cardiomediast", "mediastin", "cardiomegal", "heart", "cardiac", "opacit", "opacif", "lesion", "nodule", "mass",
    "edema", "congest", "consolidat", "pneumonia", "infiltrat", "atelecta", "collapse", "pneumothora", "effusion",
    "pleura", "fracture", "pacemaker", "catheter", "tube", "line", "device", "wire", "hernia", "emphysema", "scar",
)  # fmt: skip
"""Beginnings of words by which a sentence is about a finding."""
_DENIES = re.compile(r"\b(?:no|not|without|absent|normal|unremarkable|clear|free of|negative)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+(?=\S)")
_ENDS_OPEN = re.compile(r"(?:\b(?:Dr|Mr|Mrs|Ms|vs|approx|No|St|[A-Z])|\d)\.$")
"""A full stop after these doesn't end a sentence."""


@dataclass(frozen=True)
class Shortened:
    """What `select_sentences` did.

    Attributes:
        table: the rows with shortened contexts.
        rows: indices of the rows that lost sentences.
        dropped: sentences that were left out, in all.
        sentences: sentences there were, in all rows.
        example: (row id, what was left out) of one row, or None.
    """

    table: ConceptTable
    rows: tuple[int, ...] = ()
    dropped: int = 0
    sentences: int = 0
    example: tuple[str, str] | None = None


def split_sentences(text: str) -> list[str]:
    """Sentences of a text; initials, titles and numbered lists don't end one."""
    parts: list[str] = []
    for part in _SENTENCE.split(text.strip()):
        if parts and _ENDS_OPEN.search(parts[-1]) and len(parts[-1].split()) < 3:
            parts[-1] += f" {part}"
        elif part:
            parts.append(part)
    return parts


def rank_sentences(sentences: Sequence[str], terms: Sequence[str] = FINDING_TERMS) -> list[int]:
    """Indices of sentences in the order in which they are kept.

    First those about a finding that don't deny it, then those about a finding that do, then the others; within each
    the order of the text.
    """
    known = re.compile(r"\b(?:" + "|".join(map(re.escape, terms)) + ")", re.IGNORECASE) if terms else None

    def place(index: int) -> tuple[int, int]:
        sentence = sentences[index]
        if known is None or not known.search(sentence):
            return 2, index
        return (1 if _DENIES.search(sentence) else 0), index

    return sorted(range(len(sentences)), key=place)


def select_sentences(
    table: ConceptTable, count: TokenCounter, limit: int, terms: Sequence[str] = FINDING_TERMS
) -> Shortened:
    """Keep as many whole sentences of each context as fit, the most telling first (`rank_sentences`).

    A sentence that doesn't fit is passed over and shorter ones after it may still be kept; those kept stand in the
    order of the text. What must fit is the longest caption of the row over all single changes of a concept.

    Args:
        table: the rows.
        count: tokens of captions.
        limit: tokens that the text encoder takes, special ones included.
        terms: beginnings of words by which a sentence is about a finding.

    Raises:
        CaptionError: a caption is too long even without its context.
    """
    if table.context is None:
        return Shortened(table)
    texts = list(table.context)
    whole = [max(count(_variants(table, row, texts[row]))) for row in range(table.n_rows)]
    changed: list[int] = []
    dropped, total, example = 0, 0, None
    for row, length in enumerate(whole):
        sentences = split_sentences(texts[row])
        total += len(sentences)
        if length <= limit:
            continue
        kept = _fitting(table, row, sentences, rank_sentences(sentences, terms), count, limit)
        lost = [sentence for i, sentence in enumerate(sentences) if i not in kept]
        texts[row] = " ".join(sentences[i] for i in sorted(kept))
        changed.append(row)
        dropped += len(lost)
        example = example or (table.row_ids[row], " ".join(lost))
    shorter = replace(table, context=tuple(texts))
    return Shortened(shorter, tuple(changed), dropped, total, example)


@dataclass(frozen=True)
class _OtherContext:
    """A table's concepts with another context for the rows in question."""

    concepts: tuple[Concept, ...]
    context: Mapping[int, str]


def _variants(table: ConceptTable, row: int, context: str) -> list[str]:
    """Captions of a row with that context: its own, and with each concept at the value that says most."""
    view = cast(Captioned, _OtherContext(table.concepts, {row: context}))
    changes: list[dict[str, Any]] = [{}]
    for concept in table.concepts:
        if concept.kind in ("binary", "count"):
            changes += [{concept.name: 0}, {concept.name: max(concept.values.tolist())}]
        else:
            changes.append({concept.name: max(concept.values.tolist(), key=lambda value: len(plain(value)))})
    return [table.caption_template(view, row, change) for change in changes]


def _fitting(
    table: ConceptTable, row: int, sentences: Sequence[str], order: Sequence[int], count: TokenCounter, limit: int
) -> set[int]:
    """Indices of the sentences that are kept."""
    bare = max(count(_variants(table, row, "")))
    if bare > limit:
        raise CaptionError(
            f"The caption of row {row + 1} ({table.row_ids[row]!r}) takes {bare} tokens without any of its text; the "
            f"limit is {limit}. Permute fewer concepts or shorten the template."
        )
    kept: set[int] = set()
    for index in order:
        text = " ".join(sentences[i] for i in sorted({*kept, index}))
        if max(count(_variants(table, row, text))) <= limit:
            kept.add(index)
    return kept
