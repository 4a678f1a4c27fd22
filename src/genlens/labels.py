"""Raw values of a column -> labels of a known task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from genlens.columns import Values, clean_texts, finite_numbers, is_missing, parse_numbers, refuse_missing
from genlens.errors import UserError

Task = Literal["binary", "multiclass", "regression"]
"""What the labels are: two classes, more classes, or a real number."""
TASKS: tuple[Task, ...] = get_args(Task)


def label_values(
    name: str, values: Values, task: Task | None = None, row_ids: Sequence[str] | None = None
) -> tuple[NDArray[Any], Task, tuple[str, ...]]:
    """Labels as numbers, their task and the names of the classes.

    Two distinct values: binary, coded 0 and 1 in sorted order. More whole numbers: multiclass, kept as they are (they
    are indices of the classifier's outputs). More texts: multiclass, coded 0, 1, … in sorted order. Other numbers:
    regression.

    Args:
        name: what the labels are called, for the messages.
        values: N raw values.
        task: one of `TASKS`; None: inferred.
        row_ids: N names, for the messages.

    Returns:
        Labels (N,), int64 or (regression) float64; the task; the names of the classes in the order of their codes.

    Raises:
        UserError: a missing label, labels of one class only, or values that don't fit `task`.
    """
    what = f"Label {name!r}"
    if task is not None and task not in TASKS:
        raise UserError(f"`task` must be one of {', '.join(TASKS)}; got {task!r}.")
    if parse_numbers(values) is None and task != "regression":
        refuse_missing(what, [is_missing(value) for value in values], row_ids)
        distinct, codes = np.unique(clean_texts(values).astype(str), return_inverse=True)
        classes, labels = tuple(str(text) for text in distinct), codes.astype(np.int64)
    else:
        numbers = finite_numbers(what, values, "number", row_ids)
        distinct = np.unique(numbers)
        whole = bool((distinct == np.floor(distinct)).all())
        if task == "regression" or (task is None and len(distinct) > 2 and not whole):
            if len(distinct) == 1:
                raise UserError(f"{what} is constant (all {distinct[0]:.15g}), so nothing can be scored.")
            return numbers, "regression", ()
        classes = tuple(f"{value:.15g}" for value in distinct)
        if task == "multiclass" and not (whole and distinct[0] >= 0):
            raise UserError(f"{what} must hold whole numbers >= 0 for task='multiclass'; got {classes[0]}.")
        coded = len(distinct) == 2 and task != "multiclass"
        labels = (numbers == distinct[-1] if coded else numbers).astype(np.int64)
    if len(classes) == 1:
        raise UserError(f"{what} has one class only (all {classes[0]}), so nothing can be scored. Add rows of another.")
    if task == "binary" and len(classes) > 2:
        raise UserError(f"{what} has {len(classes)} classes, which doesn't fit task='binary'. Use task='multiclass'.")
    return labels, task or ("binary" if len(classes) == 2 else "multiclass"), classes
