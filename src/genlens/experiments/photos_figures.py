"""Figures of the protocol on photographs, after figures 6, 8, 11, 13 and 14 of the DEPICT paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.experiments.photos_agreement import Agreement
from genlens.experiments.shapes_figures import COLOURS, clean, new_figure, save

Floats = NDArray[np.float64]
N_MODELS = 6


def scatter(
    values: Mapping[str, Floats], oracle: Floats, agreements: Mapping[str, Agreement], label: str, path: Path
) -> None:
    """Every method against an oracle over all (model, concept) pairs, with r.

    Args:
        values: method -> (M, D), NaN where withheld.
        oracle: (M, D).
        agreements: method -> agreement with the oracle.
        label: of the oracle on the axis.
        path: PNG file.
    """
    figure = new_figure(2.6 * len(values), 2.9)
    for k, (method, value) in enumerate(values.items()):
        axes = figure.add_subplot(1, len(values), k + 1)
        axes.scatter(oracle.ravel(), value.ravel(), s=9, color=COLOURS[k % len(COLOURS)], alpha=0.6, linewidths=0)
        found = agreements[method]
        axes.set_title(f"{method}\nr = {found.r:.2f} [{found.low:.2f}, {found.high:.2f}]", fontsize=9)
        axes.set_xlabel(label, fontsize=8)
        axes.tick_params(labelsize=7)
        clean(axes)
    save(figure, path)


def rankings(
    values: Mapping[str, Floats], oracle: Floats, models: Sequence[str], names: Sequence[str], path: Path
) -> None:
    """Importance of every concept by each method for the first models, the oracle in grey.

    Args:
        values: method -> (M, D).
        oracle: (M, D).
        models: M names.
        names: D concepts.
        path: PNG file.
    """
    n = min(len(models), N_MODELS)
    figure = new_figure(1.9 * (len(values) + 1), 1.7 * n)
    parts = [("oracle", oracle), *values.items()]
    for m in range(n):
        order = np.argsort(-oracle[m], kind="stable")
        for k, (method, value) in enumerate(parts):
            axes = figure.add_subplot(n, len(parts), m * len(parts) + k + 1)
            axes.barh(np.arange(len(names)), np.nan_to_num(value[m, order]),
                      color="#9aa1ab" if k == 0 else COLOURS[(k - 1) % len(COLOURS)])  # fmt: skip
            axes.invert_yaxis()
            axes.set_yticks(np.arange(len(names)), [names[j] for j in order] if k == 0 else [], fontsize=6)
            axes.tick_params(axis="x", labelsize=6)
            if m == 0:
                axes.set_title(method, fontsize=8)
            if k == 0:
                axes.set_ylabel(models[m], fontsize=8)
            clean(axes)
    save(figure, path)
