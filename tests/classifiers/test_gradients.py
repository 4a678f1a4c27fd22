"""Classifiers with gradients: same outputs as `predict`, layers by name, the head, errors."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from genlens.classifiers import CallableClassifier, ConceptBottleneck, TorchClassifier, TransformersClassifier
from genlens.classifiers.bundled import load_demo_target, load_shapes_checker, load_shapes_concepts
from genlens.classifiers.gradients import differentiable
from genlens.classifiers.preprocess import ImagePreprocess
from genlens.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
TENSOR = torch.as_tensor(IMAGES).permute(0, 3, 1, 2).float() / 255


class Net(nn.Module):
    """A convolution, a ReLU in place, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 5, 3, 2)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(5, 4)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.head(self.relu(self.conv(images)).mean((2, 3)))
        return result


def vit(**options: Any) -> ViTForImageClassification:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=16, patch_size=8,
        num_labels=3, **options,
    )  # fmt: skip
    return ViTForImageClassification(config).eval()


def classifiers() -> dict[str, Any]:
    return {
        "concept net": load_shapes_concepts(device="cpu"),
        "residual concept net": load_shapes_checker(device="cpu"),
        "bottleneck": load_demo_target(device="cpu"),
        "bottleneck on logits": load_demo_target(device="cpu", on="logits"),
        "torch": TorchClassifier(Net(), size=(20, 28), mean=(0.4,) * 3, std=(0.3,) * 3, device="cpu"),
        "torch, a function": TorchClassifier(
            Net(), lambda images: torch.as_tensor(np.stack(images)).permute(0, 3, 1, 2) / 255, device="cpu"
        ),
        "vit": TransformersClassifier(vit(), ViTImageProcessorPil(size={"height": 16, "width": 16}), device="cpu"),
        "cropped": TransformersClassifier(
            vit(), ConvNextImageProcessorPil(size={"shortest_edge": 16}, crop_pct=0.8), device="cpu"
        ),
    }


@pytest.mark.parametrize("name", classifiers())
def test_outputs_are_those_of_predict_and_gradients_reach_the_pictures(name: str) -> None:
    classifier = classifiers()[name]
    model = differentiable(classifier)
    images = TENSOR.clone().requires_grad_()
    outputs = model(images)
    wanted = classifier.predict(IMAGES)
    assert outputs.shape == wanted.shape == (4, model.n_classes)
    assert np.allclose(outputs.detach().numpy(), wanted, atol=0.02 * np.abs(wanted).max())
    outputs.sum().backward()
    assert images.grad is not None and float(images.grad.norm()) > 0
    assert all(value.grad is None for value in model.module.parameters())


def test_the_head_times_the_penultimate_layer_gives_the_outputs() -> None:
    for classifier in (classifiers()["torch"], classifiers()["vit"], classifiers()["concept net"]):
        model = differentiable(classifier)
        outputs, features = model.forward_with(TENSOR, "penultimate")
        bias = dict(model.module.named_modules())[model.penultimate().removesuffix(":in")].bias
        assert torch.allclose(features @ model.head_weights().T + bias, outputs, atol=1e-4)
    model = differentiable(load_demo_target(device="cpu"))
    concepts = load_shapes_concepts(device="cpu").probabilities(IMAGES)
    assert np.allclose(model.activations(TENSOR, "penultimate").detach().numpy(), concepts, atol=1e-4)


def test_layers_are_seen_before_what_follows_changes_them_in_place() -> None:
    model = differentiable(TorchClassifier(Net(), device="cpu"))
    assert model.layers() == ["conv", "relu", "head"]
    before = model.activations(TENSOR, "conv")
    assert float(before.min()) < 0  # not yet the ReLU's
    assert torch.equal(model.activations(TENSOR, "relu"), before.relu())
    assert torch.equal(model.activations(TENSOR, "relu:in"), before)


def test_what_is_not_there_is_said() -> None:
    model = differentiable(load_shapes_concepts(device="cpu"))
    listed = ", ".join(f"{i} {name}" for i, name in enumerate(model.names))
    with pytest.raises(UserError, match=re.escape(f"The class must be in 0..5; got 9. The classifier has {listed}.")):
        model.check_class(9)
    assert model.find_class("4") == 4 and model.find_class(model.names[2]) == 2
    with pytest.raises(UserError, match=re.escape(f"has no class 'tiger'. It has {listed}.")):
        model.find_class("tiger")
    with pytest.raises(UserError, match=re.escape("must name a layer of the model; got 'body.9.0'. Near: body")):
        model.layer("body.9.0")
    unnamed = differentiable(TorchClassifier(Net(), device="cpu"))
    with pytest.raises(UserError, match=r"got -1\. The classifier has 4 classes without names"):
        unnamed.check_class(-1)
    with pytest.raises(UserError, match=r"has no neural features\. Name a layer: feature:LAYER:INDEX"):
        differentiable(load_shapes_checker(device="cpu")).penultimate()


def test_a_classifier_without_gradients_is_refused_and_told_what_works() -> None:
    black_box = CallableClassifier(lambda images: np.zeros((len(images), 2)), outputs="logits", fingerprint="f")
    message = "CallableClassifier has no gradients.*`genlens rank` works for it, `genlens explain` doesn't."
    with pytest.raises(UserError, match=message):
        differentiable(black_box)

    class BlackConcepts:
        concept_names = ("a", "b")

    with pytest.raises(UserError, match="ConceptBottleneck has no gradients"):
        differentiable(ConceptBottleneck(BlackConcepts(), [1.0, 2.0]))  # type: ignore[arg-type]
    odd = TorchClassifier(Net(), lambda images: torch.as_tensor(np.stack(images)).permute(0, 3, 1, 2) / 99.0)
    with pytest.raises(UserError, match=r"is a function without gradients\. Give the classifier `size`"):
        differentiable(odd)


def test_a_module_that_takes_no_size_is_refused() -> None:
    class Never(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise ValueError("only on Sundays")

    with pytest.raises(UserError, match=r"takes no picture of .* only on Sundays"):
        differentiable(TorchClassifier(Never(), ImagePreprocess(), device="cpu"))
