"""What an experiment leaves: a report as HTML and as Markdown, with its command and its cost."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from genlens.files import write_atomic
from genlens.reports.document import Section, Table, to_markdown, write_html


@dataclass(frozen=True)
class Reproduction:
    """Where the results are.

    Attributes:
        report: self-contained HTML file.
        markdown: the same in Markdown, figures beside it in a folder.
        seconds: stage -> seconds it took when it was computed.
    """

    report: Path
    markdown: Path
    seconds: dict[str, float]


def write_report(
    out: Path,
    title: str,
    support: str,
    sections: Sequence[Section],
    seconds: Mapping[str, float],
    command: str,
    figures: str,
) -> Reproduction:
    """Write OUT/report.html and OUT/results.md.

    Args:
        out: folder of the experiment.
        title: the report's headline.
        support: the sentence below it.
        sections: its parts.
        seconds: stage -> seconds it took.
        command: how to repeat the experiment.
        figures: name of the folder of the figures in `out`.
    """
    whole = [*sections, _cost(seconds, command)]
    write_html(title, support, whole, out / "report.html")
    write_atomic(out / "results.md", f"{support}\n\n{to_markdown(whole, figures)}".encode())
    return Reproduction(out / "report.html", out / "results.md", dict(seconds))


def _cost(seconds: Mapping[str, float], command: str) -> Section:
    rows = tuple((name, f"{value:.1f}") for name, value in seconds.items())
    day = datetime.now(UTC).date().isoformat()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, no GPU used, Python {platform.python_version()}"
    return Section(
        "Command and cost",
        (
            f"Command: `{command or 'called from Python'}`, {day}, on {machine}.",
            f"All stages together took {sum(seconds.values()):.0f} s of wall time; a stage that was stopped and went "
            "on counts from where it went on.",
        ),
        (Table("Seconds of each stage", ("stage", "seconds"), (*rows, ("all", f"{sum(seconds.values()):.1f}"))),),
    )
