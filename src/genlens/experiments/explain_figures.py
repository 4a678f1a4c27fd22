"""The figure of classes and rivals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.experiments.shapes_figures import new_figure, save

SHOWN = 4


def write_pictures(
    rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]], methods: Sequence[str], path: Path
) -> None:
    """One row a class, `SHOWN` pictures a method.

    Args:
        rows: label, and pictures (N, H, W, 3) of every method.
        methods: their names.
        path: PNG file.
    """
    figure = new_figure(2.6 * len(methods) + 0.8, 0.85 * len(rows) + 0.4)
    axes = figure.subplots(len(rows), len(methods), squeeze=False)
    for i, (label, pictures) in enumerate(rows):
        for j, images in enumerate(pictures):
            cell = axes[i, j]
            cell.imshow(np.concatenate(list(images[:SHOWN]), axis=1), interpolation="nearest")
            cell.set_xticks([])
            cell.set_yticks([])
            if i == 0:
                cell.set_title(methods[j], fontsize=8)
            if j == 0:
                cell.set_ylabel(label, fontsize=6, rotation=0, ha="right", va="center")
    save(figure, path)
