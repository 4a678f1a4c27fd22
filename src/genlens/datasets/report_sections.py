"""Radiology reports -> their sections, by the headings that reports really have."""

from __future__ import annotations

import re
from collections.abc import Sequence

from genlens.errors import UserError

_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z /&,()'-]{2,60}?)[ \t]*:", re.MULTILINE)
"""A heading: words in capitals at the start of a line, and a colon."""
_MEANING: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("findings", ("FINDINGS", "FINDING", "FINDNGS", "FRONTAL AND LATERAL VIEWS", "CHEST FINDINGS")),
    ("impression", ("IMPRESSION", "IMPRESSIONS", "CONCLUSION", "CONCLUSIONS", "OPINION")),
    ("indication", ("INDICATION", "INDICATIONS", "REASON FOR EXAM", "REASON FOR EXAMINATION", "CLINICAL INFORMATION",
                    "CLINICAL HISTORY", "HISTORY", "CLINICAL INDICATION")),
    ("comparison", ("COMPARISON", "COMPARISONS", "COMPARISON STUDY", "COMPARED TO")),
    ("technique", ("TECHNIQUE", "PROCEDURE", "VIEWS")),
    ("examination", ("EXAMINATION", "EXAM", "STUDY", "TYPE OF EXAMINATION")),
    ("recommendation", ("RECOMMENDATION", "RECOMMENDATIONS")),
    ("notification", ("NOTIFICATION",)),
)  # fmt: skip
_NAMES = {heading: name for name, headings in _MEANING for heading in headings}
SECTIONS = (*(name for name, _ in _MEANING), "findings and impression", "last paragraph")
"""Names of sections; the last stands in where a report has no headings that are known."""
_BOTH = re.compile(r"^FINDINGS?\s*(?:AND|/|&)\s*IMPRESSION$")
_RULE = re.compile(r"^[ \t_=*-]{8,}$", re.MULTILINE)


def sections(report: str) -> dict[str, str]:
    """Sections of a report by their names, texts on one line.

    Headings are lines that begin with words in capitals and a colon; those with the same meaning are joined ("HISTORY"
    and "INDICATION"). Text below a heading that isn't known belongs to the section before it. "FINDINGS AND IMPRESSION"
    serves as both. The last paragraph of the report is always there, as "last paragraph".
    """
    text = _RULE.sub("", report.replace("\r\n", "\n"))
    found: dict[str, list[str]] = {}
    current, start = "", 0
    marks = [(match, name) for match in _HEADING.finditer(text) if (name := _name(match[1])) is not None]
    for match, name in marks:
        _add(found, current, text[start : match.start()])
        current, start = name, match.end()
    _add(found, current, text[start:])
    both = found.get("findings and impression")
    if both is not None:
        found.setdefault("findings", both)
        found.setdefault("impression", both)
    paragraphs = [part for part in re.split(r"\n\s*\n", text) if part.strip()]
    if paragraphs:
        last = paragraphs[-1]
        heading = _HEADING.match(last)
        found["last paragraph"] = [last[heading.end() :] if heading and _name(heading[1]) else last]
    joined = {name: " ".join(" ".join(parts).split()) for name, parts in found.items() if name}
    return {name: words for name, words in joined.items() if words}


def _name(heading: str) -> str | None:
    plain = " ".join(heading.split())
    return "findings and impression" if _BOTH.match(plain) else _NAMES.get(plain)


def _add(found: dict[str, list[str]], name: str, text: str) -> None:
    if text.strip():
        found.setdefault(name, []).append(text)


def section_names(text: str) -> tuple[str, ...]:
    """Names of sections from ``"findings,impression"``.

    Raises:
        UserError: one is unknown, or there is none.
    """
    names = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for name in names or ("",):
        if name not in SECTIONS:
            raise UserError(f"`section` must name sections among {', '.join(SECTIONS)}; got {name!r}.")
    return names


def choose_section(report: str, names: Sequence[str]) -> str:
    """Text of the first of these sections that a report has, or "" if it has none of them."""
    found = sections(report)
    return next((found[name] for name in names if name in found), "")
