"""Figures of the shapes experiment, after figures 3, 4 and 5 of the DEPICT paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.experiments.evaluation import CEILING, Evaluation
from genlens.files import write_atomic

Floats = NDArray[np.float64]

COLOURS = ("#1c5bcb", "#0c7d72", "#c95810", "#7a4fb5", "#a8324a", "#6b737d")
_DPI = 90


def new_figure(width: float, height: float) -> Any:
    """A figure of a size in inches, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG; the file appears whole or not at all."""
    import io

    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI, format="png", metadata={"Software": None})
    write_atomic(path, buffer.getvalue())


def clean(axes: Any) -> None:
    """Leave out what isn't needed to read the axes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e0", linewidth=0.7)
    axes.set_axisbelow(True)


def scatter(
    values: Mapping[str, Floats], oracle: Floats, evaluation: Evaluation, name: str, label: str, path: Path
) -> None:
    """Every method against an oracle over all (model, concept) pairs, with r (figure 3, left).

    Args:
        values: method -> (M, D).
        oracle: (M, D).
        evaluation: has the methods' agreement with the oracle.
        name: of the oracle in the evaluation.
        label: of the oracle on the axis.
        path: PNG file.
    """
    figure = new_figure(2.7 * len(values), 2.9)
    for k, (method, value) in enumerate(values.items()):
        axes = figure.add_subplot(1, len(values), k + 1)
        axes.scatter(oracle.ravel(), value.ravel(), s=5, color=COLOURS[k % len(COLOURS)], alpha=0.5, linewidths=0)
        r = evaluation.get(method, name).pearson
        axes.set_title(f"{method}\nr = {r.value:.3f} [{r.low:.3f}, {r.high:.3f}]", fontsize=9)
        axes.set_xlabel(label, fontsize=8)
        axes.tick_params(labelsize=7)
        clean(axes)
    save(figure, path)


def boxes(parts: Mapping[str, Floats], weights: Floats, names: Sequence[str], path: Path) -> None:
    """Distributions of four models' importances beside their weights (figure 3, right).

    Args:
        parts: method -> quantiles (5, models, D) at 2.5, 25, 50, 75 and 97.5 percent.
        weights: (models, D) true weights.
        names: D concepts.
        path: PNG file.
    """
    n_models = len(weights)
    figure = new_figure(2.2 * (len(parts) + 1), 1.6 * n_models)
    short = ["".join(word[0].upper() for word in name.split()) for name in names]
    x = np.arange(len(names))
    for m in range(n_models):
        order = np.argsort(-weights[m])
        for k, (method, quantiles) in enumerate([("true weight", None), *parts.items()]):
            axes = figure.add_subplot(n_models, len(parts) + 1, m * (len(parts) + 1) + k + 1)
            if quantiles is None:
                axes.bar(x, weights[m, order], color="#9aa1ab", width=0.6)
            else:
                low, q1, middle, q3, high = quantiles[:, m, order]
                axes.vlines(x, low, high, color=COLOURS[k - 1], linewidth=0.9)
                axes.bar(x, q3 - q1, bottom=q1, color=COLOURS[k - 1], alpha=0.45, width=0.6)
                axes.hlines(middle, x - 0.3, x + 0.3, color="#15181c", linewidth=1.2)
            axes.set_xticks(x, [short[j] for j in order], fontsize=7)
            axes.tick_params(axis="y", labelsize=6)
            if m == 0:
                axes.set_title(method, fontsize=8)
            if k == 0:
                axes.set_ylabel(f"model {m + 1}", fontsize=8)
            clean(axes)
    save(figure, path)


def curves(importance: Evaluation, reliance: Evaluation, path: Path) -> None:
    """AUROC of "important or not" over the weights' thresholds, and top-k agreement with the weights (figure 4)."""
    figure = new_figure(10, 6.4)
    for row, (title, evaluation) in enumerate((("AUROC drop", importance), ("score reliance", reliance))):
        left, right = (figure.add_subplot(2, 2, 2 * row + column) for column in (1, 2))
        chosen = [a for a in evaluation.agreements if a.oracle == "weights" and "sampled" not in a.method]
        for k, found in enumerate(chosen):
            style: dict[str, Any] = {"color": COLOURS[k % len(COLOURS)], "label": found.method, "linewidth": 1.6}
            if found.method == CEILING:
                style |= {"color": "#15181c", "linestyle": "--", "linewidth": 1.0, "zorder": 5}
            left.plot(found.thresholds, [e.value for e in found.auroc_curve], **style)
            x = np.arange(1, len(found.top_k) + 1)
            right.plot(x, [e.value for e in found.top_k], marker="o", markersize=3, **style)
        left.set_xlabel("threshold of the standardised weight", fontsize=8)
        left.set_ylabel('AUROC of "important or not"', fontsize=8)
        right.set_xlabel("k", fontsize=8)
        right.set_ylabel("top-k agreement with the weights", fontsize=8)
        left.set_title(f"Measure: {title}", fontsize=9, loc="left")
        right.legend(fontsize=7, frameon=False, loc="lower right")
        for axes in (left, right):
            axes.tick_params(labelsize=7)
            clean(axes)
    save(figure, path)


def pairs(pictures: NDArray[np.uint8], names: Sequence[str], path: Path) -> None:
    """Generated images with (upper) and without (lower) each concept, the rest of the caption and the noise the same.

    Args:
        pictures: (rows, D, 2, H, W, 3), without at index 0.
        names: D concepts.
        path: PNG file.
    """
    n_rows, n_concepts = pictures.shape[:2]
    line = np.full((2, *pictures.shape[4:]), 110, dtype=np.uint8)  # between the two of a pair
    gap = np.full((10, *pictures.shape[4:]), 255, dtype=np.uint8)
    figure = new_figure(1.3 * n_concepts, 0.2 + 2.0 * n_rows)
    for j in range(n_concepts):
        axes = figure.add_subplot(1, n_concepts, j + 1)
        parts = [part for i in range(n_rows) for part in (pictures[i, j, 1], line, pictures[i, j, 0], gap)]
        axes.imshow(np.concatenate(parts[:-1], axis=0), interpolation="nearest")
        axes.set_title(names[j], fontsize=8)
        axes.set_axis_off()
    save(figure, path)


def matrix(values: Floats, names: Sequence[str], path: Path) -> None:
    """Change of each concept's AUROC (columns) when one is permuted (rows) (supplementary figure 12)."""
    figure = new_figure(5.2, 4.4)
    axes = figure.add_subplot()
    drawn = axes.imshow(values, cmap="RdBu", vmin=-0.5, vmax=0.5)
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    for (j, k), value in np.ndenumerate(values):
        colour = "white" if abs(value) > 0.3 else "#15181c"
        axes.text(k, j, f"{value:+.3f}", ha="center", va="center", fontsize=6.5, color=colour)
    axes.set_xlabel("concept detected", fontsize=8)
    axes.set_ylabel("concept permuted", fontsize=8)
    figure.colorbar(drawn, ax=axes, shrink=0.8).ax.tick_params(labelsize=7)
    save(figure, path)


def lines(x: Sequence[float], series: Mapping[str, Sequence[float]], labels: tuple[str, str], path: Path) -> None:
    """Lines over a swept number; `labels` of both axes."""
    figure = new_figure(5.2, 3.4)
    axes = figure.add_subplot()
    for k, (name, values) in enumerate(series.items()):
        axes.plot(x, values, marker="o", markersize=4, color=COLOURS[k % len(COLOURS)], label=name)
    axes.set_xlabel(labels[0], fontsize=8)
    axes.set_ylabel(labels[1], fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7, frameon=False)
    clean(axes)
    save(figure, path)


def points(
    groups: Mapping[str, tuple[Sequence[float], ...]], label: str, measures: Sequence[str], path: Path
) -> None:
    """One panel a measure, one colour a group.

    Args:
        groups: name -> x, then y of each measure.
        label: of x.
        measures: names of the y axes.
        path: PNG file.
    """
    figure = new_figure(4.6 * len(measures), 3.4)
    for panel, measure in enumerate(measures, start=1):
        axes = figure.add_subplot(1, len(measures), panel)
        for k, (name, values) in enumerate(groups.items()):
            axes.scatter(values[0], values[panel], s=26, color=COLOURS[k % len(COLOURS)], label=name, alpha=0.85)
        axes.set_xlabel(label, fontsize=8)
        axes.set_ylabel(measure, fontsize=8)
        axes.tick_params(labelsize=7)
        clean(axes)
    axes.legend(fontsize=7, frameon=False)
    save(figure, path)
