"""Reports longer than the text encoder's limit, in the X-ray experiment: what a section or a selection keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from genlens.captions import reference_captions
from genlens.concepts import ConceptTable
from genlens.datasets.report_sections import choose_section
from genlens.datasets.xray_reports import read_findings
from genlens.experiments.xray_lab import XrayLab
from genlens.generators.prompt_windows import split_windows
from genlens.long_captions import select_sentences
from genlens.reports.document import Section, Table


def long_section(lab: XrayLab, generator: Any, limit: int) -> Section:
    """Whole reports and their sections at a generator's limit.

    Args:
        lab: the experiment; the rows are those of its first target model.
        generator: with `count_tokens`.
        limit: tokens that its text encoder takes.
    """
    target = next(iter(lab.targets.values()))
    reports = target.reports
    texts = {
        "whole report": reports,
        "findings": [choose_section(report, ["findings"]) for report in reports],
        "impression": [choose_section(report, ["impression"]) for report in reports],
    }
    lines = [_line(name, replace(target.table, context=tuple(text)), generator, limit) for name, text in texts.items()]
    return Section(
        "Reports longer than the text encoder's limit",
        (
            f"The text encoder takes {limit} tokens. Longer captions are refused unless a section is chosen "
            "(--section), whole sentences are selected (--long-captions select: those that state findings first, then "
            "those that deny them, then others), or several windows are read (--long-captions chunks:N). Findings "
            f"kept: of those that the text itself states, over {len(reports)} rows.",
        ),
        (
            Table(
                "Captions from whole reports and from sections",
                ("text", "too long", "windows needed", "sentences left out by selection", "stated findings kept"),
                tuple(lines),
            ),
        ),
    )


def _line(name: str, table: ConceptTable, generator: Any, limit: int) -> tuple[str, ...]:
    captions = reference_captions(table)
    too_long = sum(length > limit for length in generator.count_tokens(captions))
    windows = max(len(split_windows(generator.limits, caption)) for caption in captions)
    chosen = select_sentences(table, generator.count_tokens, limit)
    kept, stated = _stated(chosen.table.context or ()), _stated(table.context or ())
    share = kept / stated if stated else 1.0
    left_out = f"{chosen.dropped} of {chosen.sentences}"
    return name, f"{too_long} of {table.n_rows}", str(windows), left_out, f"{share:.1%}"


def _stated(texts: Sequence[str]) -> int:
    return sum(side != 0 for text in texts for side in read_findings(text).values())
