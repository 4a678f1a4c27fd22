"""What is done with the text of captions before anything is rendered: sections, mentions, length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from genlens.errors import UserError

if TYPE_CHECKING:
    from genlens.concepts import ConceptTable
    from genlens.generators.protocol import Generator
    from genlens.importance.result import Analysis
    from genlens.leakage import MentionRule

REFUSE, SELECT, CHUNKS = "refuse", "select", "chunks"


def split_long(how: str) -> tuple[str, int]:
    """``"chunks:3"`` -> ``("chunks", 3)``; "refuse" and "select" come with one window.

    Raises:
        UserError: it is none of these.
    """
    name, _, number = how.partition(":")
    if name == CHUNKS and number.isdecimal() and int(number) >= 2:
        return CHUNKS, int(number)
    if how not in (REFUSE, SELECT):
        raise UserError(f"`--long-captions` must be refuse, select or chunks:N with N >= 2 windows; got {how!r}.")
    return how, 1


def with_section(table: ConceptTable, section: str | None) -> tuple[ConceptTable, list[Analysis]]:
    """Keep one section of the reports in the context column; the note says how many rows have none.

    Raises:
        UserError: there is no context, an unknown section, or no row that has it.
    """
    if section is None:
        return table, []
    from genlens.datasets.report_sections import choose_section, section_names
    from genlens.importance.result import Analysis

    names = section_names(section)
    if table.context is None:
        raise UserError("`--section` needs the column of the reports; name it with --context.")
    texts = tuple(choose_section(report, names) for report in table.context)
    missing = [table.row_ids[row] for row, text in enumerate(texts) if not text]
    if len(missing) == table.n_rows:
        raise UserError(f"No report has a section {' or '.join(names)}. Choose another `--section`.")
    message = f"Captions hold the section {' or else '.join(names)} of each report"
    message += f"; {len(missing):,} of {table.n_rows:,} rows have none, such as {missing[0]}." if missing else "."
    return replace(table, context=texts), [Analysis("section", "Section of the reports", message)]


def with_mentions(
    table: ConceptTable, mentions: str
) -> tuple[ConceptTable, tuple[MentionRule, ...], list[Analysis]]:
    """Do what ``--mentions`` asks for: the table, the user's rules, and a note where text was rewritten."""
    from genlens.importance.result import Analysis
    from genlens.leakage import apply_mentions

    changed, rules, rows = apply_mentions(table, mentions)
    if mentions == "report":
        return changed, rules, []
    whose = "the built-in rules" if mentions == "mask" else f"the rules in {mentions}"
    message = f"The text of {rows:,} of {table.n_rows:,} rows was rewritten by {whose}."
    return changed, rules, [Analysis("rewritten", "Mentions rewritten", message)]


def fitted(table: ConceptTable, generator: Generator, how: str) -> tuple[ConceptTable, list[Analysis]]:
    """Select sentences where ``--long-captions select`` asks for it and the generator has a limit.

    Raises:
        CaptionError: a caption is too long even without its text.
    """
    limit = getattr(generator, "token_limit", None)
    if how != SELECT or limit is None:
        return table, []
    from genlens.importance.result import Analysis
    from genlens.long_captions import select_sentences

    found = select_sentences(table, generator.count_tokens, limit)  # type: ignore[attr-defined]
    message = (
        f"{len(found.rows):,} of {table.n_rows:,} captions were longer than the text encoder's {limit} tokens; "
        f"{found.dropped:,} of {found.sentences:,} sentences were left out, those about findings last."
    )
    if found.example is not None:
        message += f" From {found.example[0]}: {found.example[1]!r}."
    advice = "What was left out can't be drawn; the check of effective generation shows what that costs."
    return found.table, [Analysis("shortened", "Long captions", message, advice if found.rows else "")]


def print_notes(notes: Sequence[Analysis | None]) -> None:
    """Each note as a line, its advice below it."""
    from genlens.errors import printable

    for note in notes:
        if note is not None:
            print(printable(f"{note.title}: {note.message}"))
            if note.advice:
                print(printable(f"  {note.advice}"))
