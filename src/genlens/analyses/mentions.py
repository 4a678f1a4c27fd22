"""Mentions of permuted concepts in the fixed text of captions, as the report shows them."""

from __future__ import annotations

from collections.abc import Sequence

from genlens.audit import Audit
from genlens.concepts import ConceptTable
from genlens.importance.result import Analysis
from genlens.leakage import MentionRule, Mentions, find_mentions
from genlens.reports.text import few

TITLE = "Mentions of permuted concepts in the fixed text"
N_WORDS = 4
READING = (
    "Rows: whose text says something of the concept that permuting its own part of the caption doesn't change; the "
    "words, the most frequent first; one example."
)


def mentions(audit: Audit) -> Analysis | None:
    """Warn where a caption's fixed text contradicts its permuted concept; None where there is no such text."""
    return mentions_analysis(audit.table, audit.mention_rules)


def mentions_analysis(table: ConceptTable, rules: Sequence[MentionRule] = ()) -> Analysis | None:
    """The same from a table and the user's rules alone, before anything is rendered."""
    if table.context is None and all(concept.texts is None for concept in table.concepts):
        return None
    found = find_mentions(table, rules)
    mentioned = [one for one in found if one.rows]
    if table.context is None and not mentioned:
        return None
    return Analysis(
        "mentions", TITLE, _message(mentioned, table.n_rows), _advice(mentioned), _records(mentioned, table.n_rows),
        reading=READING if mentioned else "",
    )  # fmt: skip


def _message(mentioned: Sequence[Mentions], n_rows: int) -> str:
    if not mentioned:
        return "No permuted concept is mentioned in the text that stays, as far as the rules can tell."
    parts = [f"{one.concept} in {len(one.rows):,} of {n_rows:,} rows ({one.examples[0][1]!r})" for one in mentioned]
    return f"The text that stays mentions {'; '.join(parts)}."


def _advice(mentioned: Sequence[Mentions]) -> str:
    if not mentioned:
        return ""
    return (
        f"A generator that heeds this text keeps {few([one.concept for one in mentioned])} where a permutation changes "
        "it, so the importance comes out too small. Mask the mentions (--mentions mask), or rewrite them by rules of "
        "your own (--mentions FILE)."
    )


def _records(mentioned: Sequence[Mentions], n_rows: int) -> list[dict[str, object]]:
    return [
        {
            "concept": one.concept,
            "rows": len(one.rows),
            "share": len(one.rows) / n_rows,
            "words": ", ".join(sorted(one.words, key=lambda word: -one.words[word])[:N_WORDS]),
            "example": f"{one.examples[0][0]}: {one.examples[0][1]}",
        }
        for one in mentioned
    ]
