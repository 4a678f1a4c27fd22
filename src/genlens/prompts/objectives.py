"""What a prompt is optimised for: a class or a neural feature of a classifier. Higher is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor
from torch.nn import functional

from genlens.baselines.layers import find_layout
from genlens.classifiers.gradients import DifferentiableClassifier, differentiable
from genlens.classifiers.protocol import Classifier
from genlens.errors import UserError, check_integer

Pool = Literal["mean", "max"]
"""How the places of a map, or the tokens of a transformer, become one number."""
FEATURE = "feature:"


class Objective(Protocol):
    """A score of pictures, differentiable in them."""

    @property
    def name(self) -> str:
        """What it is, for reports."""

    def __call__(self, images: Tensor) -> Tensor:
        """Scores (B,) of pictures (B, 3, H, W) in [0, 1]."""


@dataclass(frozen=True)
class Score:
    """An objective made of a function.

    Attributes:
        name: what it is.
        function: pictures (B, 3, H, W) in [0, 1] -> scores (B,).
        classifier: whose; None for a sum over several.
        target: index of the class, if it is one's.
    """

    name: str
    function: Callable[[Tensor], Tensor]
    classifier: DifferentiableClassifier | None = None
    target: int | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Scores (B,) of pictures (B, 3, H, W) in [0, 1]."""
        return self.function(images)


def class_logit(classifier: Classifier | DifferentiableClassifier, index: int) -> Score:
    """The logit of a class; the log-odds where the classifier gives probabilities, the output where it gives scores.

    Raises:
        UserError: no class of that index, or no gradients.
    """
    model = differentiable(classifier)
    target = model.check_class(index)
    name = f"logit of class {_named(model, target)}"
    return Score(name, lambda images: _logits(model, images)[:, target], model, target)


def class_log_odds(classifier: Classifier | DifferentiableClassifier, index: int) -> Score:
    """The score that `genlens rank` explains too: of a softmax, the log-odds of a class against all others together.

    Unlike a logit it doesn't hang on what all classes share, and unlike a log-probability it has no ceiling. One
    output, probabilities and independent scores are as in `class_logit`.

    Raises:
        UserError: no class of that index, or no gradients.
    """
    model = differentiable(classifier)
    target = model.check_class(index)
    if model.outputs != "logits" or model.n_classes == 1:
        return class_logit(model, index)

    def score(images: Tensor) -> Tensor:
        logits = model(images)  # (B, C)
        others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
        return logits[:, target] - others.logsumexp(dim=1)

    return Score(f"log-odds of class {_named(model, target)}", score, model, target)


def class_log_probability(classifier: Classifier | DifferentiableClassifier, index: int) -> Score:
    """Logarithm of the probability of a class: minus the cross-entropy, DiffExplainer's objective.

    One output, and outputs that are independent scores, are log-odds.

    Raises:
        UserError: no class of that index, or no gradients.
    """
    model = differentiable(classifier)
    target = model.check_class(index)

    def score(images: Tensor) -> Tensor:
        logits = _logits(model, images)  # (B, C)
        if model.outputs == "logits" and model.n_classes > 1:
            return functional.log_softmax(logits, dim=1)[:, target]
        return functional.logsigmoid(logits[:, target])

    return Score(f"log-probability of class {_named(model, target)}", score, model, target)


def margin(classifier: Classifier | DifferentiableClassifier, index: int, against: int) -> Score:
    """Logit of a class minus that of another: for a softmax, the logarithm of the ratio of their probabilities.

    Raises:
        UserError: no class of such an index, twice the same, or no gradients.
    """
    model = differentiable(classifier)
    target, other = model.check_class(index), model.check_class(against)
    if target == other:
        raise UserError(f"`against` must be another class than {target}.")

    def score(images: Tensor) -> Tensor:
        logits = _logits(model, images)
        return logits[:, target] - logits[:, other]

    return Score(f"class {_named(model, target)} against {_named(model, other)}", score, model, target)


def neural_feature(
    classifier: Classifier | DifferentiableClassifier, layer: str, index: int, pool: Pool = "mean"
) -> Score:
    """One unit of a layer; of maps and tokens, the mean or the maximum over places.

    Args:
        classifier: with gradients.
        layer: its name; with ":in" behind it, what goes into it; "penultimate": what goes into the last linear layer.
        index: of the unit: a channel of maps, a column of tokens and vectors.
        pool: how places become one number.

    Raises:
        UserError: no such layer or unit, or no gradients.
    """
    model = differentiable(classifier)
    model.layer(layer)
    check_integer("index", index, 0)
    if pool not in get_args(Pool):
        raise UserError(f"`pool` must be one of {', '.join(get_args(Pool))}; got {pool!r}.")
    units = pooled(model, torch.zeros(1, 3, model.side, model.side), layer, pool).shape[1]
    if index >= units:
        raise UserError(f"The neural feature must be in 0..{units - 1}: {layer!r} has {units} units; got {index}.")
    name = f"neural feature {index} of {layer}"
    return Score(name, lambda images: pooled(model, images, layer, pool)[:, index], model)


def pooled(model: DifferentiableClassifier, images: Tensor, layer: str, pool: Pool = "mean") -> Tensor:
    """Units (B, F) of a layer for pictures (B, 3, H, W) in [0, 1], their places pooled."""
    found = model.activations(images, layer)
    if found.ndim == 2:
        return found
    if found.ndim not in (3, 4):
        raise UserError(f"The layer {layer!r} gives a tensor of {found.ndim} dimensions. Choose another.")
    size = model.preprocess.size or (int(images.shape[-2]), int(images.shape[-1]))
    layout = find_layout(tuple(found.shape), size) if found.ndim == 4 else None
    last = found.ndim == 3 or (layout is not None and layout.kind == "channels last")
    places = found.flatten(1, -2) if last else found.flatten(2).transpose(1, 2)  # (B, places, F)
    return places.amax(dim=1) if pool == "max" else places.mean(dim=1)


def weighted(objectives: Mapping[Objective, float]) -> Score:
    """A weighted sum of objectives, such as a class and a neural feature.

    Raises:
        UserError: none, or a weight that isn't finite.
    """
    parts = list(objectives.items())
    if not parts or not all(abs(weight) < float("inf") for _, weight in parts):
        raise UserError("`objectives` must be at least one objective with a finite weight each.")
    name = " + ".join(f"{weight:g} x {objective.name}" for objective, weight in parts)
    classifier, target = (getattr(parts[0][0], "classifier", None), getattr(parts[0][0], "target", None))
    return Score(name, lambda images: torch.stack([w * one(images) for one, w in parts]).sum(dim=0), classifier, target)


def parse_objective(text: str, classifier: Classifier | DifferentiableClassifier, pool: Pool = "mean") -> Score:
    """The objective of a text: a class by number or name ("3", "red circle"), or "feature:LAYER:INDEX".

    Raises:
        UserError: no such class, layer or unit (says what there is), or no gradients.
    """
    model = differentiable(classifier)
    if not text.startswith(FEATURE):
        return class_log_odds(model, model.find_class(text))
    layer, _, index = text.removeprefix(FEATURE).rpartition(":")
    if not layer or not index.isdigit():
        raise UserError(f"A neural feature is feature:LAYER:INDEX, such as feature:penultimate:0; got {text!r}.")
    return neural_feature(model, layer, int(index), pool)


def _logits(model: DifferentiableClassifier, images: Tensor) -> Tensor:
    """Outputs (B, C) on the scale of log-odds or logits."""
    outputs = model(images)
    return torch.logit(outputs, eps=1e-6) if model.outputs == "probabilities" else outputs


def _named(model: DifferentiableClassifier, index: int) -> str:
    return f"{index} ({model.names[index]})" if model.names else str(index)
