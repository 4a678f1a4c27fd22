"""An explanation of a class or a neural feature: figures, tables, one HTML file, and a summary in the terminal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from genlens.files import make_folder, write_atomic
from genlens.prompts.explanation import (
    CLASS_NAME,
    SOFT,
    UNOPTIMISED,
    WORDS,
    WORDS_START,
    Explanation,
    PromptResult,
)
from genlens.reports.console import shows_printable
from genlens.reports.document import Picture, Section, Table, write_html
from genlens.reports.plots import BLUE, GREY, INK, ORANGE, new_axes
from genlens.reports.text import MISSING, figure, interval, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import Console

    from genlens.prompts.words import RankedCaption, RankedWord

SHEET = (4, 8)
"""Rows and columns of a sheet of pictures."""
MATTERS = 0.1
"""Share of the largest gain that a word must reach to be named in the headline."""
_GAP, _SMALLEST = 4, 96
_COLOURS = {SOFT: BLUE, WORDS: ORANGE, CLASS_NAME: "#0d7a5f", UNOPTIMISED: GREY}
_SHOWN = 5


def headline(explanation: Explanation) -> str:
    """What was found, in a sentence."""
    ranked = explanation.ranking.words
    found = [one.word for one in ranked if one.stands_out and one.gain >= MATTERS * ranked[0].gain][:3]
    words = f"it answers to {', '.join(found)}" if found else "no word of the vocabulary stands out"
    share = explanation.prompts[0].activation
    if share is None:
        return f"{explanation.objective}: {words}."
    named = explanation.prompt(CLASS_NAME)
    other = "" if named is None else f", of the class name's {_percent(named.activation)}"
    given = f"{_percent(share)} of the prompt's pictures are given to the class{other}."
    return f"{explanation.objective}: {words}. {given}"


def plot_scores(explanation: Explanation, ax: Axes | None = None) -> Axes:
    """Score of every picture, a row a prompt; a line at the mean, thick over its interval."""
    axes = new_axes(ax, 7.2, 1.0 + 0.75 * len(explanation.prompts))
    rng = np.random.default_rng(0)
    for k, one in enumerate(explanation.prompts):
        colour = _COLOURS[one.name]
        heights = k + rng.uniform(-0.24, 0.24, len(one.scores))
        axes.plot(one.scores, heights, "o", color=colour, alpha=0.35, markersize=4)
        axes.plot([one.low, one.high], [k, k], color=INK, linewidth=3, solid_capstyle="butt")
        axes.plot([one.mean, one.mean], [k - 0.32, k + 0.32], color=INK, linewidth=1.6)
    axes.set_yticks(range(len(explanation.prompts)), [one.name for one in explanation.prompts], parse_math=False)
    axes.set_ylim(len(explanation.prompts) - 0.5, -0.5)
    axes.set_xlabel(f"Score: {explanation.objective}", parse_math=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color="#e6e6e0", linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def write_explanation(explanation: Explanation, folder: Path, command: str = "") -> Path:
    """Write the figures and report.html of a run; return the path of the report.

    Args:
        explanation: what was found.
        folder: the run, with its pictures in `images/`.
        command: how to repeat it.

    Raises:
        WriteError: the disk is full, or the folder can't be written.
    """
    figures = folder / "figures"
    make_folder(figures)
    chart = figures / "scores.png"
    write_atomic(chart, _png(plot_scores(explanation)))
    sheets = []
    for one in explanation.prompts:
        path = figures / f"{one.name.replace(' ', '-')}.png"
        write_atomic(path, sheet(folder / "images" / one.name.replace(" ", "-")))
        sheets.append(Picture(path, _caption(one)))
    sections = [
        _prompts(explanation, Picture(chart, "Score of every picture, its mean and the interval of the mean")),
        Section("Pictures", (f"The first held-out seeds, the same for all prompts: {SHEET[0] * SHEET[1]} of "
                             f"{explanation.n_images}. All of them are in images/.",), (), tuple(sheets)),
        _words(explanation),
        _how(explanation),
    ]  # fmt: skip
    sections += [Section("To repeat it", (command,))] if command else []
    page = folder / "report.html"
    title = explanation.objective[:1].upper() + explanation.objective[1:]
    write_html(title, headline(explanation), sections, page, kind="explanation")
    return page


def sheet(folder: Path) -> bytes:
    """The first pictures of a folder side by side, as PNG; small ones enlarged without smoothing."""
    rows, columns = SHEET
    pictures = []
    for path in sorted(folder.glob("*.png"), key=lambda path: (len(path.name), path.name))[: rows * columns]:
        with Image.open(path, formats=("PNG",)) as file:
            pictures.append(file.convert("RGB"))
    width, height = pictures[0].size
    times = max(1, -(-_SMALLEST // max(width, height)))
    width, height = width * times, height * times
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP), "white")
    for i, one in enumerate(pictures):
        place = ((i % columns) * (width + _GAP), (i // columns) * (height + _GAP))
        whole.paste(one.resize((width, height), Image.Resampling.NEAREST), place)
    buffer = io.BytesIO()
    whole.save(buffer, format="PNG")
    return buffer.getvalue()


def _prompts(explanation: Explanation, chart: Picture) -> Section:
    gaps = {one.against: one for one in explanation.differences}
    rows = tuple(
        (
            one.name,
            MISSING if one.caption is None else f"“{one.caption}”",
            f"{figure(one.mean, 2)} {interval(one.low, one.high, 2)}",
            _activation(one, explanation.confidence),
            MISSING
            if one.name not in gaps
            else f"{figure(gaps[one.name].mean, 2, signed=True)} "
            f"{interval(gaps[one.name].low, gaps[one.name].high, 2, signed=True)}",
        )
        for one in explanation.prompts
    )
    columns = ("prompt", "caption", "mean score", "activation score", "soft prompt minus this")
    told = [
        f"{explanation.n_images} pictures of each prompt, on seeds on which neither the prompt nor a word was chosen. "
        f"Intervals are of {explanation.confidence:.0%}; those of the differences, seed by seed, hold together."
    ]
    if explanation.decision is not None:
        told.append(
            f"Activation score: share of the pictures that the classifier gives to the class ({explanation.decision})."
        )
    if explanation.prompt(CLASS_NAME) is None:
        told.append("There is no class-name prompt: this neural feature belongs to no one class.")
    return Section("Prompts", tuple(told), (Table("Prompts on held-out seeds", columns, rows),), (chart,))


def _words(explanation: Explanation) -> Section:
    ranking = explanation.ranking
    told = (
        "A word’s gain is the mean difference between the caption with the word and the same caption without it, seed "
        f"by seed. Words were chosen on {ranking.n_search} seeds and are reported on {ranking.n_held_out} others; the "
        f"{ranking.confidence:.0%} intervals hold for all words of the list together. The unoptimised prompt "
        f"“{ranking.empty}” scores {figure(ranking.empty_score, 2)}.",
        f"Search: {ranking.method}, {ranking.n_captions:,} captions, a vocabulary of {ranking.n_vocabulary:,}.",
    )
    words = Table(
        "Words, largest gain first",
        ("word", "gain", "interval", "stands out", "in the caption", "its score"),
        tuple(_word_row(one) for one in ranking.words),
    )
    captions = Table(
        "Captions, best on the search seeds first",
        ("caption", "score", "gain over the unoptimised prompt", "interval"),
        tuple(_caption_row(one) for one in ranking.captions),
    )
    return Section("Words", told, (words, captions))


def _word_row(one: RankedWord) -> tuple[str, ...]:
    yes = "yes" if one.stands_out else "no"
    return (
        one.word, figure(one.gain, 2, signed=True), interval(one.low, one.high, 2, signed=True), yes,
        f"“{one.caption}”", figure(one.score, 2),
    )  # fmt: skip


def _caption_row(one: RankedCaption) -> tuple[str, ...]:
    gain = figure(one.gain, 2, signed=True)
    return f"“{one.caption}”", figure(one.score, 2), gain, interval(one.low, one.high, 2, signed=True)


def _how(explanation: Explanation) -> Section:
    found = explanation.optimisation
    told = [
        f"The soft prompt took {found.steps} steps; the best prompt on the seeds that chose is that of step "
        f"{found.best_step}, restart {found.best_restart + 1}."
    ]
    if found.starts:
        told.append(f"Its restarts began with words of the search: {'; '.join(f'“{text}”' for text in found.starts)}.")
    elif explanation.settings.get("start") == WORDS_START:
        told.append("No caption of the search fits into the free tokens, so its restarts began with random tokens.")
    if found.stopped:
        told.append(found.stopped)
    nearest = "; ".join(", ".join(names) for names in found.nearest)
    told.append(f"Its tokens are no words. The vocabulary's nearest tokens to each, which describe little: {nearest}.")
    looks = Table(
        "Mean score of the best restart on the seeds that chose",
        ("step", "score"),
        tuple((str(step), figure(score, 2)) for step, score in found.looks),
        short=False,
    )
    return Section("How it was found", tuple(told), (looks,))


def _caption(one: PromptResult) -> str:
    text = one.name if one.caption is None else f"{one.name}: “{one.caption}”"
    share = "" if one.activation is None else f", activation score {_percent(one.activation)}"
    return f"{text}{share}, mean score {figure(one.mean, 2)}"


def _activation(one: PromptResult, confidence: float) -> str:
    ends = one.activation_interval(confidence)
    if ends is None or one.assigned is None:
        return MISSING
    return f"{_percent(one.activation)} [{_percent(ends[0])}, {_percent(ends[1])}]"


def _percent(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.0f}%"


def _png(axes: Axes) -> bytes:
    buffer = io.BytesIO()
    drawn: Any = axes.figure
    drawn.savefig(buffer, dpi=140, format="png", bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


@shows_printable
def print_explanation(explanation: Explanation, console: Console | None = None) -> None:
    """Print what was found, the prompts and the first words; names are printed as they are, never as markup."""
    from rich import box
    from rich.console import Console as RichConsole
    from rich.table import Table as RichTable
    from rich.text import Text

    console = console or RichConsole()
    console.print()
    console.print(Text(plain(headline(explanation)), style="bold"))
    if explanation.optimisation.stopped:
        console.print(Text(plain(explanation.optimisation.stopped), style="bold yellow"))
    for section in (_prompts(explanation, Picture(Path(), "")), _words(explanation)):
        table = section.tables[0]
        shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in table.columns[:4]:
            shown.add_column(Text(plain(name)), overflow="fold")
        for row in table.rows[:_SHOWN]:
            shown.add_row(*(Text(plain(cell)) for cell in row[:4]))
        console.print(shown)
