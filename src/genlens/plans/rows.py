"""Which rows take part in an analysis that needn't render all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genlens.seeds import row_seed


def drawn_rows(row_ids: Sequence[str], seed: int, purpose: str, n_rows: int | None = None) -> NDArray[np.int64]:
    """Positions (n,) of the rows drawn, in the order they have; they hang on the seed and the ids alone.

    Args:
        row_ids: names to draw from.
        seed: the run's seed.
        purpose: rows for one purpose don't follow those for another.
        n_rows: rows to draw, at most all; None: all.
    """
    if n_rows is None or n_rows >= len(row_ids):
        return np.arange(len(row_ids))
    order = np.argsort([row_seed(seed, row_id, state=f"rows of {purpose}") for row_id in row_ids])
    return np.sort(order[:n_rows])
