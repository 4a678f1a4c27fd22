"""Target models in groups that share a network, so that each picture passes through each network once.

A concept bottleneck's score is linear in its concept predictions. Heads on the same concept net (same fingerprint, same
`on`) form one group: its network runs once and M scores follow by one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.bottleneck import ConceptBottleneck
from genlens.classifiers.protocol import Classifier, Images, Outputs, target_score
from genlens.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TargetGroup:
    """M target models whose scores are mixtures of K numbers that one network predicts.

    Attributes:
        members: M positions in the list of classifiers.
        network: the classifier that is run: the target model itself, or the concept net of the bottlenecks.
        mix: (M, K) weights; [[1.]] for a model of its own.
        bias: (M,).
        predict: images -> (B, K).
        differentiable: the network's outputs as a tensor (B, C) -> (B, K), for gradients.
    """

    members: tuple[int, ...]
    network: Any
    mix: Floats
    bias: Floats
    predict: Callable[[Images], NDArray[Any]]
    differentiable: Callable[[Tensor], Tensor]

    def scores(self, images: Images) -> Floats:
        """Target scores (B, M)."""
        predicted = np.asarray(self.predict(images), dtype=np.float64)  # (B, K)
        result: Floats = predicted @ self.mix.T + self.bias
        return result


def group_targets(
    classifiers: Sequence[Classifier], target_class: int | None = None, *, pre_sigmoid: bool = False
) -> list[TargetGroup]:
    """Group target models by the network they share, in the order of their first members.

    Args:
        classifiers: at least one.
        target_class: for those that aren't bottlenecks, see `genlens.classifiers.target_score`.
        pre_sigmoid: of bottlenecks on probabilities, differentiate the concepts' log-odds, not the probabilities.

    Raises:
        UserError: there are none.
    """
    if not len(classifiers):
        raise UserError("`classifiers` must hold at least one target model; got none.")
    keyed: dict[Any, list[int]] = {}
    for index, classifier in enumerate(classifiers):
        key: Any = index
        if isinstance(classifier, ConceptBottleneck):
            key = (classifier.concept_net.fingerprint, classifier.on)
        keyed.setdefault(key, []).append(index)
    return [
        _group([classifiers[i] for i in found], tuple(found), target_class, pre_sigmoid) for found in keyed.values()
    ]


def score_images(groups: Sequence[TargetGroup], images: Images) -> Floats:
    """Target scores (B, M) of all models of all groups, in the order of the list they were made from."""
    scores = np.empty((len(images), sum(len(group.members) for group in groups)))
    for group in groups:
        scores[:, list(group.members)] = group.scores(images)
    return scores


def _group(
    models: list[Classifier], members: tuple[int, ...], target_class: int | None, pre_sigmoid: bool
) -> TargetGroup:
    first = models[0]
    if isinstance(first, ConceptBottleneck):
        heads = [model for model in models if isinstance(model, ConceptBottleneck)]
        squash = first.on == "probabilities" and not pre_sigmoid
        return TargetGroup(
            members,
            first.concept_net,
            np.stack([head.weights for head in heads]),
            np.array([head.bias for head in heads]),
            first.concepts,
            lambda outputs: outputs.double().sigmoid() if squash else outputs.double(),
        )

    def predict(images: Images) -> NDArray[np.float64]:
        return target_score(first.predict(images), first.outputs, target_class)[:, None]

    def differentiable(outputs: Tensor) -> Tensor:
        return _class_score(outputs, first.outputs, target_class)

    return TargetGroup(members, first, np.ones((1, 1)), np.zeros(1), predict, differentiable)


def _class_score(outputs: Tensor, kind: Outputs, target_class: int | None) -> Tensor:
    """Class score before any softmax (B, 1): what Grad-CAM differentiates."""
    outputs = outputs.double().reshape(len(outputs), -1)
    n_classes = outputs.shape[1]
    target_score(np.zeros((1, n_classes)), kind, target_class)  # checks `target_class`
    target = n_classes - 1 if target_class is None else target_class
    column = outputs[:, target : target + 1]
    if kind == "probabilities":
        return column.logit(eps=1e-12)
    if kind == "logits" and n_classes == 2:
        return column - outputs[:, 1 - target : 2 - target]
    return column
