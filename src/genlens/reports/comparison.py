"""Several target models side by side: a figure, tables, one HTML file, and the same in the terminal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genlens.files import make_folder, write_atomic
from genlens.reports.console import shows_printable
from genlens.reports.document import Picture, Section, Table, write_html
from genlens.reports.plots import INK, new_axes
from genlens.reports.text import figure, interval, p_value, plain, score_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from rich.console import Console

    from genlens.importance.comparison import Comparison

MAX_SERIES = 8
"""Models drawn as points with intervals; more become a heat map."""
MAX_DIFFERENCES = 40
"""Differences listed in the report; all of them are in differences.csv."""
_SHOWN = 10
_COLOURS = ("#1c5bcb", "#c95810", "#0d7a5f", "#8a3ab9", "#b8860b", "#c2185b", "#5d6470", "#00838f")


def plot_comparison(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Importance of each concept for each model: points with intervals, or a heat map for more than `MAX_SERIES`."""
    order = np.argsort(-comparison.importance.max(axis=0), kind="stable")
    if len(comparison.models) > MAX_SERIES:
        return _heat_map(comparison, order, ax)
    n_models, n_concepts = comparison.importance.shape
    axes = new_axes(ax, 7.2, 1.2 + n_concepts * (0.2 + 0.16 * n_models))
    for k, model in enumerate(comparison.models):
        y = np.arange(n_concepts) + (k - (n_models - 1) / 2) * 0.8 / n_models
        colour = _COLOURS[k % len(_COLOURS)]
        axes.hlines(y, comparison.ci_low[k, order], comparison.ci_high[k, order], color=colour, linewidth=1.5)
        axes.plot(comparison.importance[k, order], y, "o", color=colour, markersize=5, label=plain(model))
    axes.set_yticks(np.arange(n_concepts), [comparison.concepts[j] for j in order], parse_math=False)
    axes.invert_yaxis()
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel(
        f"Importance: fall of {score_name(comparison.scoring)} when permuted, {comparison.confidence:.0%} interval"
    )
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axes


def _heat_map(comparison: Comparison, order: np.ndarray, ax: Axes | None) -> Axes:
    n_models, n_concepts = comparison.importance.shape
    axes = new_axes(ax, 2.5 + 0.7 * n_concepts, 1.4 + min(0.14 * n_models, 16))
    values = comparison.importance[:, order]
    shown = axes.imshow(values, aspect="auto", cmap="Blues", vmin=0, vmax=max(float(values.max()), 1e-9))
    axes.set_xticks(
        np.arange(n_concepts), [comparison.concepts[j] for j in order], rotation=40, ha="right", parse_math=False
    )
    step = max(1, n_models // 60)
    axes.set_yticks(np.arange(0, n_models, step), list(comparison.models[::step]), fontsize=6, parse_math=False)
    axes.figure.colorbar(shown, ax=axes, label=f"Importance: fall of {score_name(comparison.scoring)}")
    return axes


def write_comparison(comparison: Comparison, folder: Path, command: str = "") -> Path:
    """Write comparison.csv, differences.csv, comparison.png and comparison.html; return the path of the last.

    Args:
        comparison: what was found.
        folder: made where it isn't there.
        command: how to repeat it.

    Raises:
        WriteError: the disk is full, or the folder can't be written.
    """
    make_folder(folder)
    differences = comparison.differences()
    write_atomic(folder / "comparison.csv", comparison.frame().to_csv(index=False).encode())
    write_atomic(folder / "differences.csv", differences.to_csv(index=False).encode())
    picture = folder / "comparison.png"
    write_atomic(picture, _png(plot_comparison(comparison)))
    overview = Section(
        "Importance of each concept",
        (f"Fall of {score_name(comparison.scoring)} when the concept is permuted, for every target model, with its "
         f"{comparison.confidence:.0%} interval over rows. All models were scored on the same images.",),
        (_overview(comparison),),
        (Picture(picture, "Importance of each concept for each target model"),),
    )  # fmt: skip
    listed = Section(
        "Where models differ",
        (headline(comparison, differences),
         "Differences are taken row by row on the same images. q is Benjamini-Hochberg over all pairs and concepts; "
         "the interval of a difference is not widened for their number.",),
        (_difference_table(differences.head(MAX_DIFFERENCES)),),
    )  # fmt: skip
    sections = [overview, listed, Section("To repeat it", (f"{command}",))] if command else [overview, listed]
    page = folder / "comparison.html"
    n_models, n_concepts = comparison.importance.shape
    write_html(
        f"{n_models} target models, {n_concepts} concepts",
        headline(comparison, differences),
        sections,
        page,
        kind="comparison",
    )
    return page


def _png(axes: Axes) -> bytes:
    buffer = io.BytesIO()
    drawn: Any = axes.figure
    drawn.savefig(buffer, dpi=140, format="png", bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def headline(comparison: Comparison, differences: pd.DataFrame) -> str:
    """The clearest difference in a sentence, with its interval; or that there is none."""
    found = differences[differences["q_value"] < 1 - comparison.confidence]
    if found.empty:
        return f"No difference between two models stands out (smallest q {p_value(differences['q_value'].iloc[0])})."
    top = found.sort_values("difference", ascending=False, kind="stable").iloc[0]
    return (
        f"{len(found):,} of {len(differences):,} differences stand out (q < {1 - comparison.confidence:.2g}); the "
        f"largest: {top['more']} relies on {top['concept']} more than {top['less']} by {figure(top['difference'])} "
        f"{interval(top['ci_low'], top['ci_high'])}."
    )


def _overview(comparison: Comparison) -> Table:
    order = np.argsort(-comparison.importance.max(axis=0), kind="stable")
    score = score_name(comparison.scoring)
    rows = tuple(
        (
            model,
            f"{figure(comparison.reference_score[k])} {interval(*comparison.reference_ci[k])}",
            *(_cell(comparison, k, int(j)) for j in order),
        )
        for k, model in enumerate(comparison.models)
    )
    names = tuple(comparison.concepts[j] for j in order)
    return Table("Importance [interval], and rank", ("model", f"reference {score}", *names), rows)


def _cell(comparison: Comparison, k: int, j: int) -> str:
    bracket = interval(comparison.ci_low[k, j], comparison.ci_high[k, j])
    return f"{figure(comparison.importance[k, j])} {bracket} #{comparison.rank[k, j]}"


def _difference_table(differences: pd.DataFrame) -> Table:
    rows = tuple(
        (
            str(row["concept"]),
            str(row["more"]),
            str(row["less"]),
            figure(row["difference"]),
            interval(row["ci_low"], row["ci_high"]),
            p_value(row["q_value"]),
        )
        for row in differences.to_dict("records")
    )
    columns = ("concept", "relies on it more", "relies on it less", "difference", "interval", "q")
    return Table("Differences of importance, clearest first", columns, rows)


@shows_printable
def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print the clearest differences; names are printed as they are, never as markup."""
    from rich import box
    from rich.console import Console as RichConsole
    from rich.table import Table as RichTable
    from rich.text import Text

    console = console or RichConsole()
    differences = comparison.differences()
    console.print()
    console.print(Text(plain(headline(comparison, differences)), style="bold"))
    console.print()
    if len(comparison.models) <= MAX_SERIES:
        console.print(_rich_table(_overview(comparison), RichTable(box=box.SIMPLE_HEAD, pad_edge=False), Text))
    table = _difference_table(differences.head(_SHOWN))
    console.print(_rich_table(table, RichTable(box=box.SIMPLE_HEAD, pad_edge=False), Text))


def _rich_table(table: Table, shown: Any, text: Any) -> Any:
    for name in table.columns:
        shown.add_column(text(plain(name)), overflow="fold")
    for row in table.rows:
        shown.add_row(*(text(plain(cell)) for cell in row))
    return shown
