"""Figures of a result with matplotlib: every function draws on `ax` or on a new figure, and returns the axes.

New figures are made without pyplot: nothing is shown, nothing has to be closed, and no display is needed. Save one with
``plot_ranking(result).figure.savefig("ranking.pdf")``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genlens.errors import UserError
from genlens.reports.text import figure, ranking_rows, score_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from genlens.importance.result import CheckResult, ImportanceResult

BLUE, ORANGE, GREY, INK = "#1c5bcb", "#c95810", "#9aa1ab", "#15181c"
_LARGEST_WITH_FIGURES = 20


def plot_ranking(result: ImportanceResult, ax: Axes | None = None) -> Axes:
    """Importance of every concept with its interval, most important on top; hollow where chance explains it."""
    rows = ranking_rows(result)
    axes = new_axes(ax, 6.4, 0.8 + 0.36 * len(rows))
    y = np.arange(len(rows))
    axes.barh(y, [row.importance for row in rows], height=0.5, color=BLUE, alpha=0.22, linewidth=0)
    for k, row in enumerate(rows):
        axes.plot([row.ci_low, row.ci_high], [k, k], color=BLUE, linewidth=1.6, solid_capstyle="butt")
        face = "white" if row.stands_out is False else BLUE
        axes.plot([row.importance], [k], "o", color=BLUE, markerfacecolor=face, markersize=6)
    _concept_axis(axes, [row.concept for row in rows])
    axes.axvline(0, color=INK, linewidth=0.8)
    brackets = any(math.isfinite(row.ci_low) for row in rows)
    suffix = f", {result.confidence:.0%} interval over rows" if brackets else ""
    axes.set_xlabel(f"Importance: fall of {score_name(result.scoring)} when permuted{suffix}")
    return axes


def plot_repeats(result: ImportanceResult, ax: Axes | None = None) -> Axes:
    """Box plot of the sampled permutations: quartiles, whiskers at 2.5% and 97.5%, most important on top.

    Raises:
        UserError: the result has no sampled permutations.
    """
    if not result.n_repeats:
        raise UserError("The result has no sampled permutations to plot; repeat it with `n_repeats` >= 1.")
    rows = ranking_rows(result)
    values = dict(zip(result.concepts, result.repeats, strict=True))
    axes = new_axes(ax, 6.4, 0.8 + 0.36 * len(rows))
    for k, row in enumerate(rows):
        finite = values[row.concept][np.isfinite(values[row.concept])]
        if len(finite):
            low, q1, median, q3, high = np.quantile(finite, [0.025, 0.25, 0.5, 0.75, 0.975])
            axes.plot([low, high], [k, k], color=BLUE, linewidth=1.2, solid_capstyle="butt")
            axes.barh(k, q3 - q1, left=q1, height=0.5, facecolor="#d3dff5", edgecolor=BLUE, zorder=2)
            axes.plot([median, median], [k - 0.25, k + 0.25], color=INK, linewidth=1.8, zorder=3)
    _concept_axis(axes, [row.concept for row in rows])
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel(f"Fall of {score_name(result.scoring)} in {result.n_repeats:,} permutations")
    return axes


def plot_independent_permutation(check: CheckResult, ax: Axes | None = None) -> Axes:
    """Heat map of a check's matrix: change of each concept's AUROC (columns) when one is permuted (rows).

    Raises:
        UserError: the check has no matrix.
    """
    if not check.matrix:
        raise UserError(f"The check '{check.code}' has no matrix to plot.")
    matrix = np.array(check.matrix, dtype=float)
    down, across = matrix.shape
    axes = new_axes(ax, 2.2 + 0.62 * across, 1.6 + 0.5 * down)
    bound = max(0.5, float(np.nanmax(np.abs(matrix), initial=0.0)))
    drawn = axes.imshow(matrix, cmap="RdBu", vmin=-bound, vmax=bound, aspect="auto")
    axes.set_xticks(range(across), check.labels, rotation=40, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(range(down), check.labels[:down], parse_math=False)
    axes.set_xlabel("Concept detected")
    axes.set_ylabel("Concept permuted")
    for spine in axes.spines.values():
        spine.set_visible(False)
    if across <= _LARGEST_WITH_FIGURES:
        _write_figures(axes, matrix, bound)
    axes.figure.colorbar(drawn, ax=axes, label="Change of AUROC")
    return axes


def _write_figures(axes: Axes, matrix: np.ndarray, bound: float) -> None:
    for (j, k), value in np.ndenumerate(matrix):
        colour = "white" if abs(value) > 0.6 * bound else INK
        axes.text(k, j, figure(float(value), 2, signed=True), ha="center", va="center", color=colour, fontsize=8)


def plot_effective_generation(check: CheckResult, ax: Axes | None = None) -> Axes:
    """AUROC on real images (hollow) and on generated ones (filled), a line for the target and each concept.

    Raises:
        UserError: the check's table has no scores on real and generated images.
    """
    records = [record for record in check.table if _has_scores(record)]
    if not records:
        raise UserError(f"The check '{check.code}' has no scores on real and generated images to plot.")
    axes = new_axes(ax, 6.4, 0.9 + 0.36 * len(records))
    for k, record in enumerate(records):
        axes.plot([record["real"], record["generated"]], [k, k], color=GREY, linewidth=2, zorder=1)
        label = {"real": "real images", "generated": "generated images"} if k == 0 else {}
        axes.plot([record["real"]], [k], "o", color=INK, markerfacecolor="white", label=label.get("real"))
        axes.plot([record["generated"]], [k], "o", color=BLUE, label=label.get("generated"))
    _concept_axis(axes, [str(next(iter(record.values()))) for record in records])
    axes.set_xlabel("AUROC")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return axes


def _has_scores(record: Mapping[str, Any]) -> bool:
    return record.get("real") is not None and record.get("generated") is not None


def new_axes(ax: Axes | None, width: float, height: float) -> Axes:
    """`ax`, or the axes of a new figure of that size in inches."""
    if ax is not None:
        return ax
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    new = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(new)
    axes: Axes = new.add_subplot()
    return axes


def _concept_axis(axes: Axes, names: Sequence[str]) -> None:
    """Names down the left side, first on top; a name is plain text, never mathematics."""
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e6e6e0", linewidth=0.8)
    axes.set_axisbelow(True)
