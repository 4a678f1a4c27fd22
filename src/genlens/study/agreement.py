"""Agreement between people beyond chance: Fleiss' kappa and Krippendorff's alpha for names without an order."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from genlens.errors import UserError


def category_counts(codes: ArrayLike, n_categories: int) -> np.ndarray:
    """How many people put each unit into each category.

    Args:
        codes: integers (people, units) in 0..n_categories - 1; -1 where a person didn't see a unit.
        n_categories: K.

    Returns:
        int (units, K).
    """
    values = np.asarray(codes)
    return np.stack([(values == k).sum(axis=0) for k in range(n_categories)], axis=1)


def fleiss_kappa(counts: ArrayLike) -> float:
    """Fleiss' kappa (Fleiss 1971); NaN where everyone always gave the same answer.

    Args:
        counts: (units, categories) of answers, equally many for each unit, two or more.

    Raises:
        UserError: the units have different numbers of answers; take `krippendorff_alpha`.
    """
    table = np.asarray(counts, dtype=np.float64)
    n = table.sum(axis=1)
    if len(n) == 0 or (n != n[0]).any() or n[0] < 2:
        raise UserError("Fleiss' kappa needs equally many answers for every unit, two or more.")
    observed = ((table**2).sum(axis=1) - n[0]).mean() / (n[0] * (n[0] - 1))
    expected = float(((table.sum(axis=0) / table.sum()) ** 2).sum())
    return float((observed - expected) / (1 - expected)) if expected < 1 else float("nan")


def krippendorff_alpha(counts: ArrayLike) -> float:
    """Krippendorff's alpha for nominal data (Krippendorff 2011), units of one answer left out; NaN without variation.

    Args:
        counts: (units, categories) of answers; units may have different numbers of them.
    """
    table = np.asarray(counts, dtype=np.float64)
    table = table[table.sum(axis=1) >= 2]
    n = table.sum(axis=1)  # answers of each unit
    total = n.sum()
    if total == 0:
        return float("nan")
    disagreement = ((n**2 - (table**2).sum(axis=1)) / (n - 1)).sum() / total
    of_category = table.sum(axis=0)
    expected = (total**2 - (of_category**2).sum()) / (total * (total - 1))
    return float(1 - disagreement / expected) if expected > 0 else float("nan")
