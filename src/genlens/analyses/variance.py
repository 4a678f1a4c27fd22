"""Where the error of the importances comes from, and what would make it smaller."""

from __future__ import annotations

from typing import Any

import numpy as np

from genlens.audit import Audit
from genlens.importance.exact import has_closed_form
from genlens.importance.inference import importance_influence, standard_error
from genlens.importance.result import Analysis
from genlens.importance.variance import VarianceSplit, permutation_deviation, variance_split
from genlens.reports.text import figure

TITLE = "Where the error comes from"
READING = (
    "SE: standard error of the importance. From rows, from noise: what it would be if the other did not vary. "
    "With P permutations: what sampling them, as published, would add; the exact expectation adds nothing. With twice "
    "the rows, the draws: what to expect of the standard error."
)


def variance(audit: Audit) -> Analysis:
    """Split the importances' variance into rows, noise and permutations, or say why it can't be."""
    if not has_closed_form(audit.scoring):
        return Analysis(
            "variance", TITLE, f"Not split: the score {audit.scoring.name!r} has no closed form. Use e.g. roc_auc."
        )
    y = audit.scoring.codes(audit.y, audit.reference[:, 0])
    states, clusters = audit.states, audit.table.clusters
    influences = [importance_influence(y, audit.reference, state, audit.scoring) for state in states]
    errors = np.array([standard_error(influence, clusters) for influence in influences])
    sampled = permutation_deviation(y, states, audit.scoring, audit.seed) / np.sqrt(audit.n_repeats)
    split = None
    if audit.reference.shape[1] > 1:
        split = variance_split(y, audit.reference, states, audit.scoring, clusters)
    message, advice = _unsplit(errors) if split is None else _words(split, audit.reference.shape[1])
    names = [state.concept for state in states]
    return Analysis("variance", TITLE, message, advice, _table(names, errors, sampled, split), reading=READING)


def _unsplit(errors: np.ndarray) -> tuple[str, str]:
    message = (
        "With one noise draw the generator's noise can't be told from the rows' own spread; the intervals hold both. "
        f"With twice the rows the largest standard error would be {_shrunk(errors.max(), errors.max() / np.sqrt(2))}."
    )
    return message, "To split them, take two noise draws (`n_draws`, twice the images)."


def _words(split: VarianceSplit, n_draws: int) -> tuple[str, str]:
    error = split.error()
    j = int(error.argmax())
    rows, draws = split.error(more_rows=2)[j], split.error(more_draws=2)[j]
    share = float(np.nanmedian(split.noise_share)) if np.isfinite(split.noise_share).any() else 0.0
    message = (
        f"With {n_draws} draws the generator's noise makes {share:.0%} of the variance (median of the concepts), the "
        f"rows make the rest. The largest standard error would be {_shrunk(error[j], rows)} with twice the rows and "
        f"{figure(draws, 4)} with twice the draws; either takes twice the images."
    )
    if share > 0.5:
        return message, "More rows help most. Where there are none, more draws help nearly as much."
    if share < 0.1:
        return message, "Take more rows; more draws would hardly help."
    return message, "More rows help most; where there are none, more draws help some."


def _shrunk(old: float, new: float) -> str:
    return f"{figure(new, 4)} instead of {figure(old, 4)}"


def _table(
    names: list[str], errors: np.ndarray, sampled: np.ndarray, split: VarianceSplit | None
) -> list[dict[str, Any]]:
    columns: dict[str, np.ndarray] = {"se": errors}
    if split is not None:
        columns |= {"from_rows": np.sqrt(np.maximum(split.rows, 0)), "from_noise": np.sqrt(split.noise)}
    columns |= {"with_P_permutations": np.hypot(errors, sampled), "with_twice_the_rows": errors / np.sqrt(2)}
    if split is not None:
        columns |= {"with_twice_the_draws": split.error(more_draws=2)}
    return [
        {"concept": name, **{key: float(values[j]) for key, values in columns.items()}} for j, name in enumerate(names)
    ]
