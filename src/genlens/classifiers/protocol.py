"""What every classifier offers, and how its outputs become the one score that is explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from genlens.errors import UserError, check_integer

Outputs = Literal["logits", "probabilities", "scores"]
"""What the outputs are: logits of a softmax (two or more columns) or of one class (one column); probabilities; or
scores, taken as they are, e.g. one independent log-odds a concept."""

Images: TypeAlias = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
"""uint8 RGB images: a sequence of (H, W, 3) arrays whose sizes may differ, or one array (B, H, W, 3)."""

_SMALLEST = float(np.finfo(np.float32).tiny)
_LARGEST = 1 - 2.0**-24


@runtime_checkable
class Classifier(Protocol):
    """A target model or a concept classifier.

    An image's outputs must not depend on the other images of the batch.
    """

    @property
    def fingerprint(self) -> str:
        """Text that changes whenever the outputs would; scores on disk are kept under it."""

    @property
    def outputs(self) -> Outputs:
        """What the columns of `predict` are."""

    def predict(self, images: Images) -> NDArray[np.float32]:
        """Outputs (B, C) of B images, C = 1 for a model of one output."""


def check_outputs_kind(outputs: str) -> Outputs:
    """Return `outputs` if it is one of the three kinds.

    Raises:
        UserError: it isn't.
    """
    for kind in get_args(Outputs):
        if outputs == kind:
            return kind  # type: ignore[no-any-return]
    raise UserError(f"`outputs` must be one of {', '.join(get_args(Outputs))}; got {outputs!r}.")


def concept_columns(classifier: Classifier, names: Sequence[str], n_outputs: int) -> list[int]:
    """Output of a concept classifier for each of D concepts: by its attribute `concept_names`, else in their order.

    Args:
        classifier: the concept classifier.
        names: D concepts.
        n_outputs: columns that it returns.

    Raises:
        UserError: it has other concepts, or another number of outputs.
    """
    known = getattr(classifier, "concept_names", None)
    if known is None:
        if n_outputs != len(names):
            raise UserError(
                f"The concept classifier must have one output for each of the {len(names)} concepts; "
                f"got {n_outputs}. Give it an attribute `concept_names` if it knows more."
            )
        return list(range(n_outputs))
    missing = [name for name in names if name not in known]
    if missing:
        raise UserError(f"The concept classifier doesn't know {missing[0]!r}. It knows: {', '.join(known)}.")
    return [list(known).index(name) for name in names]


def target_score(outputs: NDArray[Any], kind: Outputs, target_class: int | None = None) -> NDArray[np.float64]:
    """The score that is explained, higher meaning more of the target class, on the log-odds scale where there is one.

    One column is the score itself, or the logit of the probability. Two columns give the log-odds of class 1 (or of
    `target_class`). More need `target_class`: its log-odds against all the others together. For kind "scores" the
    column is taken as it is. Probabilities are clipped to what float32 can tell from 0 and 1.

    Args:
        outputs: (M, C) or (M,), as `Classifier.predict` returns them.
        kind: what they are.
        target_class: index of an output, 0 .. C - 1; for one column it may be left out, for two it is 1 by default.

    Returns:
        float64 (M,).

    Raises:
        UserError: `target_class` is missing or out of range, or probabilities lie outside [0, 1].
    """
    kind = check_outputs_kind(kind)
    values = np.asarray(outputs, dtype=np.float64)
    values = values.reshape(len(values), -1)
    target = _target_column(values.shape[1], target_class)
    if kind == "probabilities" and ((values < 0) | (values > 1)).any():
        found = f"{values.min():.4g} to {values.max():.4g}"
        raise UserError(f"The classifier's probabilities must lie in [0, 1]; got {found}. Are they logits?")
    column = values[:, target]  # (M,)
    if kind == "scores" or (kind == "logits" and values.shape[1] == 1):
        return column
    if kind == "logits":
        rest: NDArray[np.float64] = np.logaddexp.reduce(np.delete(values, target, axis=1), axis=1)
        return column - rest
    if values.shape[1] == 2:
        odds: NDArray[np.float64] = np.log(np.maximum(column, _SMALLEST)) - np.log(
            np.maximum(values[:, 1 - target], _SMALLEST)
        )
        return odds
    clipped = np.clip(column, _SMALLEST, _LARGEST)
    logit: NDArray[np.float64] = np.log(clipped) - np.log1p(-clipped)
    return logit


def _target_column(n_classes: int, target_class: int | None) -> int:
    if target_class is None:
        if n_classes > 2:
            raise UserError(
                f"`target_class` must be given: the classifier has {n_classes} classes (0 to {n_classes - 1})."
            )
        return n_classes - 1
    target = check_integer("target_class", target_class, 0)
    if target >= n_classes:
        plural = "class" if n_classes == 1 else "classes"
        raise UserError(
            f"`target_class` must be in 0..{n_classes - 1}: the classifier has {n_classes} {plural}; got {target}."
        )
    return target
