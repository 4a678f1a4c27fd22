"""Objectives by their closed forms, on a network whose outputs are known."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genlens.classifiers import CallableClassifier, TorchClassifier
from genlens.classifiers.bundled import load_demo_target, load_shapes_concepts
from genlens.classifiers.gradients import differentiable
from genlens.classifiers.protocol import Outputs
from genlens.errors import UserError
from genlens.prompts.objectives import (
    class_log_probability,
    class_logit,
    margin,
    neural_feature,
    parse_objective,
    pooled,
    weighted,
)

IMAGES = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Channels(nn.Module):
    """A map that is the picture, its channels' means, and a head of known weights; C outputs."""

    def __init__(self, outputs: int = 3, squash: bool = False) -> None:
        super().__init__()
        self.map = nn.Identity()
        self.head = nn.Linear(3, outputs)
        self.squash = squash
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(3)[:outputs] * 4)
            self.head.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.head(self.map(images).mean((2, 3)))
        return result.softmax(1) if self.squash else result


def classifier(outputs: Outputs = "logits", count: int = 3) -> TorchClassifier:
    return TorchClassifier(Channels(count, outputs == "probabilities"), outputs=outputs, device="cpu")


MEANS = IMAGES.mean((2, 3))
LOGITS = 4 * MEANS


def test_class_objectives_are_their_closed_forms() -> None:
    logits = classifier()
    assert torch.allclose(class_logit(logits, 1)(IMAGES), LOGITS[:, 1], atol=1e-5)
    assert torch.allclose(class_log_probability(logits, 1)(IMAGES), LOGITS.log_softmax(1)[:, 1], atol=1e-5)
    assert torch.allclose(margin(logits, 1, 2)(IMAGES), LOGITS[:, 1] - LOGITS[:, 2], atol=1e-5)
    scores = classifier("scores")
    assert torch.allclose(class_logit(scores, 0)(IMAGES), LOGITS[:, 0], atol=1e-5)
    assert torch.allclose(class_log_probability(scores, 0)(IMAGES), LOGITS[:, 0].sigmoid().log(), atol=1e-5)
    shares = classifier("probabilities")
    wanted = LOGITS.softmax(1)[:, 2]
    assert torch.allclose(class_logit(shares, 2)(IMAGES), torch.logit(wanted), atol=1e-4)
    assert torch.allclose(class_log_probability(shares, 2)(IMAGES), wanted.log(), atol=1e-4)
    single = classifier("logits", 1)
    assert torch.allclose(class_log_probability(single, 0)(IMAGES), LOGITS[:, 0].sigmoid().log(), atol=1e-5)


def test_neural_features_are_pooled() -> None:
    model = classifier()
    assert torch.allclose(neural_feature(model, "map", 2)(IMAGES), MEANS[:, 2], atol=1e-5)
    assert torch.allclose(neural_feature(model, "map", 2, "max")(IMAGES), IMAGES[:, 2].amax((1, 2)), atol=1e-5)
    assert torch.allclose(neural_feature(model, "penultimate", 0)(IMAGES), MEANS[:, 0], atol=1e-5)
    assert torch.allclose(neural_feature(model, "head", 1)(IMAGES), LOGITS[:, 1], atol=1e-5)


def test_tokens_and_channels_last_are_pooled_over_places() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.last = nn.Identity(), nn.Identity()

        def forward(self, images: Tensor) -> Tensor:
            tokens = self.tokens(images.flatten(2).transpose(1, 2))  # (B, 64, 3)
            result: Tensor = self.last(tokens.view(-1, 8, 8, 3)).mean((1, 2))
            return result

    model = differentiable(TorchClassifier(Tokens(), device="cpu", size=8))
    assert torch.allclose(pooled(model, IMAGES, "tokens"), MEANS, atol=1e-5)
    assert torch.allclose(pooled(model, IMAGES, "last"), MEANS, atol=1e-5)
    assert torch.allclose(pooled(model, IMAGES, "last", "max"), IMAGES.amax((2, 3)), atol=1e-5)


def test_a_weighted_sum_and_its_gradient() -> None:
    model = classifier()
    both = weighted({class_logit(model, 0): 2.0, neural_feature(model, "map", 1): -1.0})
    assert both.name == "2 x logit of class 0 + -1 x neural feature 1 of map"
    assert torch.allclose(both(IMAGES), 2 * LOGITS[:, 0] - MEANS[:, 1], atol=1e-5)
    images = IMAGES.clone().requires_grad_()
    both(images).sum().backward()
    assert images.grad is not None
    assert torch.allclose(images.grad.sum((0, 2, 3)), torch.tensor([40.0, -5.0, 0.0]), atol=1e-4)


def test_texts_of_the_command_line() -> None:
    net = load_shapes_concepts(device="cpu")
    assert parse_objective("2", net).target == 2
    named = parse_objective(net.concept_names[4], net)
    assert named.target == 4 and named.name == f"logit of class 4 ({net.concept_names[4]})"
    assert parse_objective("feature:penultimate:3", net).name == "neural feature 3 of penultimate"
    assert parse_objective("feature:head:in:3", net).name == "neural feature 3 of head:in"
    assert parse_objective("0", load_demo_target(device="cpu")).target == 0


def test_what_is_not_there_is_said_in_one_line() -> None:
    net = load_shapes_concepts(device="cpu")
    for text, message in (
        ("17", "The class must be in 0..5; got 17. The classifier has 0 "),
        ("tiger", "The classifier has no class 'tiger'. It has 0 "),
        ("feature:nowhere:0", "`layer` must name a layer of the model; got 'nowhere'. Near: "),
        ("feature:penultimate:9999", "The neural feature must be in 0..127: 'penultimate' has 128 units; got 9999."),
        ("feature:7", "A neural feature is feature:LAYER:INDEX, such as feature:penultimate:0; got 'feature:7'."),
    ):
        with pytest.raises(UserError, match=re.escape(message)) as error:
            parse_objective(text, net)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="`against` must be another class than 1"):
        margin(net, 1, 1)
    with pytest.raises(UserError, match="`pool` must be one of mean, max; got 'sum'"):
        neural_feature(net, "head", 0, "sum")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="at least one objective with a finite weight"):
        weighted({})
    black_box = CallableClassifier(lambda images: np.zeros((len(images), 2)), outputs="logits", fingerprint="f")
    with pytest.raises(UserError, match="`genlens rank` works for it, `genlens explain` doesn't"):
        class_logit(black_box, 0)
