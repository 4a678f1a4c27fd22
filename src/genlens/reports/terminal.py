"""The ranking and the checks in a terminal: tables with small bars, verdicts, warnings that can't be overlooked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from genlens.reports import text as words
from genlens.reports.console import shows_printable
from genlens.reports.record_view import bracket, number

if TYPE_CHECKING:
    from genlens.importance.result import Analysis, CheckResult, ImportanceResult
    from genlens.reports.text import Row

_SHORTEST_NAME, _LONGEST_NAME = 8, 28
_SLIMMEST_BAR, _WIDEST_BAR = 4, 16
_WIDTHS = {"reliance": 10, "true": 6, "q": 7, "signed": 8}
"""Columns that are shown where there is room, with their widths."""
_STYLES = {"passed": "green", "failed": "bold red", "undecided": "bold yellow", "not applicable": "dim"}
TABLED = ("adjusted", "groups", "conditional", "placebo", "shapley")
"""Analyses whose table the terminal shows as well."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@shows_printable
def print_result(result: ImportanceResult, console: Console | None = None) -> None:
    """Print what the ranking says, the ranking, warnings and verdicts.

    Args:
        result: the result; names in it are printed as they are, never as markup.
        console: where to; by default the standard output, as wide and as colourful as it allows.
    """
    console = console or Console()
    rows = words.ranking_rows(result)
    said = words.headline(result, rows)
    console.print()
    console.print(Text.assemble((said.before, "bold"), (said.concept, "bold cyan"), (said.after, "bold")))
    console.print(Text(words.plain(said.support)))
    console.print()
    console.print(ranking_table(result, console))
    console.print(Text(_legend(result, rows, console.width), style="dim"))
    print_checks(result.checks, console)
    print_analyses(result.analyses, console)


@shows_printable
def print_checks(checks: Sequence[CheckResult], console: Console | None = None) -> None:
    """Print a line for each check and, if one failed or is undecided, a panel that says what it means."""
    console = console or Console()
    console.print()
    if not checks:
        console.print(Text("Checks: none. Give a concept classifier to check the assumptions.", style="dim"))
    for check in checks:
        console.print(verdict_line(check))
    if words.warnings_of(checks):
        console.print()
        console.print(warning_panel(checks))


@shows_printable
def print_analyses(analyses: Sequence[Analysis], console: Console | None = None) -> None:
    """Print a line for each analysis, its advice below it, and the tables of those in `TABLED`."""
    console = console or Console()
    if analyses:
        console.print()
    for analysis in analyses:
        console.print(Text.assemble((analysis.title, "bold"), f": {words.plain(analysis.message)}"))
        if analysis.advice:
            advice = Text.assemble(("What to do: ", "bold"), words.plain(analysis.advice))
            console.print(Padding(advice, (0, 0, 0, 2)))
        if analysis.code in TABLED and analysis.table:
            console.print(Padding(records_table(analysis.table, console.width - 2), (0, 0, 0, 2)))


def records_table(records: Sequence[Mapping[str, Any]], width: int) -> Table:
    """Records as a table, with as many columns, from the left, as the width holds."""
    keys = [key for key in records[0] if not key.endswith(("_low", "_high")) and not isinstance(records[0][key], list)]
    columns = {key: [_record_text(record, key) for record in records] for key in keys}
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    left, shown = width, list[list[str]]()
    for key, texts in columns.items():
        name = key.removesuffix("_value").replace("_", " ")
        left -= min(_LONGEST_NAME, max(len(name), *map(len, texts))) + 1
        if left < 0 and shown:
            break
        shown.append(texts)
        number = any(isinstance(record[key], (int, float)) for record in records)
        table.add_column(name, justify="right" if number else "left", overflow="fold", max_width=_LONGEST_NAME)
    for cells in zip(*shown, strict=True):
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _record_text(record: Mapping[str, Any], key: str) -> str:
    value = record[key]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, float):
        return words.plain(f"{number(key, value)} {bracket(record, key)}".rstrip())
    return f"{value:,}" if isinstance(value, int) else str(value)


def ranking_table(result: ImportanceResult, console: Console) -> Table:
    """The ranking as a table that fits the console: on narrow ones bars, signed reliance and q go, in this order."""
    rows = words.ranking_rows(result)
    shown, width = _columns(rows, console.width)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("", justify="right", style="dim")
    table.add_column("concept", overflow="fold", min_width=_SHORTEST_NAME)
    if width:
        table.add_column("", width=width, no_wrap=True)
    table.add_column("importance", no_wrap=True)
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    top = max([row.importance for row in rows if math.isfinite(row.importance)], default=0.0)
    for row in rows:
        cells = [Text(str(row.rank)), Text(row.concept, style=_shade(row))]
        cells += [Text(bar(row.importance, top, width, console), style="cyan")] if width else []
        table.add_row(*cells, _importance(row), *(_cell(row, name) for name in shown))
    return table


def _columns(rows: Sequence[Row], width: int) -> tuple[list[str], int]:
    """Which columns of figures fit beside concept and importance, and how wide the bars may be (0: no bars)."""
    names = max(_SHORTEST_NAME, min(_LONGEST_NAME, max(len(row.concept) for row in rows)))
    left = width - 4 - names - max(len(_importance(row)) for row in rows) - 2
    truth = ["true"] if any(row.true_reliance is not None for row in rows) else []
    wanted: list[str] = ["reliance", *truth, "q", "signed"]
    shown: list[str] = []
    for name in wanted:
        if left >= _WIDTHS[name]:
            shown.append(name)
            left -= _WIDTHS[name]
    order: list[str] = [name for name in ("q", "reliance", "signed", "true") if name in shown]
    return order, min(_WIDEST_BAR, left - 2) if left - 2 >= _SLIMMEST_BAR else 0


def _shade(row: Row) -> str:
    return "dim" if row.stands_out is False else ""


def _importance(row: Row) -> Text:
    bracket = words.interval(row.ci_low, row.ci_high)
    cell = Text(f"{_figure(row.importance):>5}", style=_shade(row) or "bold")
    return cell.append("" if bracket == words.MISSING else f" {words.plain(bracket)}", style="dim")


def _cell(row: Row, name: str) -> Text:
    if name == "true":
        return Text(_figure(row.true_reliance, 2))
    if name == "q":
        return Text(words.plain(words.p_value(row.q_value)), style=_shade(row))
    signed = name == "signed"
    return Text(_figure(row.reliance_signed if signed else row.reliance, 2, signed=signed), style=_shade(row))


def bar(value: float, top: float, width: int, console: Console) -> str:
    """A bar of at most `width` characters for `value` of `top`; ``#`` where the console can't show blocks."""
    if not (math.isfinite(value) and value > 0 and top > 0):
        return " " * width
    eighths = max(1, round(min(value / top, 1.0) * width * 8))
    if console.options.ascii_only:
        return ("#" * max(1, round(eighths / 8))).ljust(width)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(width)


def _legend(result: ImportanceResult, rows: Sequence[Row], width: int) -> str:
    score, start = words.score_name(result.scoring), _figure(result.reference_score)
    text = f"importance: fall of {score} from {start} when permuted"
    if any(not math.isnan(row.ci_low) for row in rows):
        text += f" [{result.confidence:.0%} interval]"
    about = {
        "q": "q: adjusted p-value",
        "reliance": "reliance: mean change of the target's score between off and on",
        "true": "true: weight in the target model",
    }
    return "; ".join([text, *(about[name] for name in _columns(rows, width)[0] if name in about)]) + "."


def verdict_line(check: CheckResult) -> Text:
    """``PASSED  Effective generation: …figures…``, the verdict coloured."""
    line = Text.assemble((f"{check.verdict.upper():<9} ", _STYLES[check.verdict]), (check.title, "bold"))
    return line.append(f": {words.plain(check.message)}")


def warning_panel(checks: Sequence[CheckResult]) -> Panel:
    """What failed or is undecided, what it means for the ranking, what to do."""
    warned = words.warnings_of(checks)
    parts = [Text(words.warning_title(checks), style="bold")]
    for check in warned:
        parts.append(Text.assemble("\n", (check.title, "bold"), f" {check.verdict}."))
        parts.append(Text(words.meaning(check)))
        if check.remedy:
            parts.append(Text.assemble(("What to do: ", "bold"), check.remedy))
    colour = "red" if warned[0].verdict == "failed" else "yellow"
    return Panel(Group(*parts), title="Warning", title_align="left", border_style=colour, padding=(1, 2))


def _figure(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    return words.plain(words.figure(value, digits, signed=signed))
