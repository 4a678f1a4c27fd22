"""`genlens check` and `genlens report`: read a finished run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[Path, typer.Argument(help="Run folder of `genlens rank` or `genlens demo`.")]


def check(run: Run) -> None:
    """Print the verdicts on the method's assumptions: effective generation, independent permutation."""
    from genlens.importance.result import ImportanceResult
    from genlens.reports.terminal import print_checks

    print_checks(ImportanceResult.load(run).checks)


def report(
    run: Run,
    out: Annotated[Path | None, typer.Option(help="File to write; RUN/report.html if not given.")] = None,
) -> None:
    """Print the ranking of a finished run and write its report (one HTML file) again."""
    from genlens.importance.result import ImportanceResult
    from genlens.reports.terminal import print_result

    result = ImportanceResult.load(run)
    print_result(result)
    print(f"Report: {result.to_html(out or run / 'report.html')}")
