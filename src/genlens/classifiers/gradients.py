"""A classifier with gradients back to the pictures, its preprocessing included."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from genlens.classifiers.bottleneck import ConceptBottleneck
from genlens.classifiers.layer_names import named_layer
from genlens.classifiers.preprocess import ImagePreprocess
from genlens.classifiers.protocol import Classifier, Outputs
from genlens.classifiers.resample import preprocess_tensor
from genlens.errors import UserError

INPUT_OF = ":in"
"""Behind a layer's name: what goes into it instead of what comes out."""
PENULTIMATE = "penultimate"
"""Stands for what goes into the last linear layer."""
_PROBED = (64, 224, 32, 128, 256, 299, 384, 512)
_PIL = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")


class DifferentiableClassifier:
    """Pictures (B, 3, H, W) in [0, 1] -> raw outputs (B, C), with gradient to the pictures. Made by `differentiable`.

    The module's weights are frozen: they take no gradient from now on.

    Args:
        module: in evaluation mode, on its device.
        preprocess: what it was trained with.
        outputs: what it returns, see `genlens.classifiers.protocol.Outputs`.
        names: of the outputs; () if unknown.
    """

    def __init__(
        self, module: nn.Module, preprocess: ImagePreprocess, outputs: Outputs, names: tuple[str, ...] = ()
    ) -> None:
        self.module = module.requires_grad_(False)
        self.preprocess = preprocess
        self.outputs = outputs
        self._device = next((value.device for value in module.parameters()), torch.device("cpu"))
        self.n_classes = self._count()
        self.names = names if len(names) == self.n_classes else ()

    def __call__(self, images: Tensor) -> Tensor:
        """Raw outputs float32 (B, C) of pictures (B, 3, H, W) in [0, 1]."""
        found: Any = self.module(preprocess_tensor(images.to(self._device), self.preprocess))
        raw: Tensor = getattr(found, "logits", found)
        return raw.float().reshape(len(images), -1)

    def layers(self) -> list[str]:
        """Names of the module's layers, in order."""
        return [name for name, _ in self.module.named_modules() if name]

    def activations(self, images: Tensor, layer: str) -> Tensor:
        """What a layer gives for pictures (B, 3, H, W) in [0, 1], as it gives it: (B, …), with gradient.

        Args:
            images: the pictures.
            layer: name of a layer; behind it ":in" for what goes into it; or "penultimate".

        Raises:
            UserError: no such layer, or it didn't run exactly once.
        """
        return self.forward_with(images, layer)[1]

    def forward_with(self, images: Tensor, layer: str) -> tuple[Tensor, Tensor]:
        """Raw outputs (B, C) and what a layer gives (see `activations`), in one pass."""
        name = self.penultimate() if layer == PENULTIMATE else layer
        target = self.layer(name)
        kept: list[Tensor] = []

        def keep_input(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            kept.append(inputs[0].clone())

        def keep_output(_layer: nn.Module, _inputs: Any, output: Any) -> None:
            kept.append((output[0] if isinstance(output, tuple) else output).clone())  # what follows may work in place

        into = name.endswith(INPUT_OF)
        hook = target.register_forward_pre_hook(keep_input) if into else target.register_forward_hook(keep_output)
        try:
            outputs = self(images)
        finally:
            hook.remove()
        if len(kept) != 1 or not isinstance(kept[0], Tensor) or kept[0].shape[:1] != images.shape[:1]:
            raise UserError(
                f"The layer {name!r} must give one tensor a picture, once; it ran {len(kept)} times. Choose another."
            )
        return outputs, kept[0].float()

    def layer(self, name: str) -> nn.Module:
        """The layer of that name, with or without ":in".

        Raises:
            UserError: there is none; near matches are listed.
        """
        plain = self.penultimate() if name == PENULTIMATE else name
        return named_layer(self.module, plain.removesuffix(INPUT_OF))

    def penultimate(self) -> str:
        """Name of what feeds the last linear layer, for `activations`: that layer's name and ":in".

        Raises:
            UserError: the outputs aren't those of a linear layer.
        """
        return self._head()[0] + INPUT_OF

    def head_weights(self) -> Tensor:
        """Weights (C, F) of the last linear layer: class c's output is the sum of weight x neural feature.

        Raises:
            UserError: the outputs aren't those of a linear layer.
        """
        weights: Tensor = self._head()[1].weight.detach()
        return weights

    def check_class(self, index: int) -> int:
        """The index of an output.

        Raises:
            UserError: there is none of that number; says what there is.
        """
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < self.n_classes:
            raise UserError(
                f"The class must be in 0..{self.n_classes - 1}; got {index!r}. The classifier has {self._listed()}."
            )
        return index

    def find_class(self, text: str) -> int:
        """Index of an output, given as a number or by its name.

        Raises:
            UserError: there is none; says what there is.
        """
        if text in self.names:
            return self.names.index(text)
        if text.strip().isdigit():
            return self.check_class(int(text))
        raise UserError(f"The classifier has no class {text!r}. It has {self._listed()}.")

    def _listed(self) -> str:
        if not self.names:
            return "one output" if self.n_classes == 1 else f"{self.n_classes} classes without names: give a number"
        shown = ", ".join(f"{i} {name}" for i, name in enumerate(self.names[:12]))
        return shown + (f", … {self.n_classes - 1} {self.names[-1]}" if self.n_classes > 12 else "")

    def _head(self) -> tuple[str, nn.Linear]:
        """The linear layer whose result is the module's result."""
        ran: list[tuple[str, Tensor]] = []

        def recorder(name: str) -> Any:
            return lambda _layer, _inputs, output: ran.append((name, output))

        linear = {name: layer for name, layer in self.module.named_modules() if isinstance(layer, nn.Linear)}
        with ExitStack() as hooks, torch.no_grad():
            for name, layer in linear.items():
                hooks.callback(layer.register_forward_hook(recorder(name)).remove)
            outputs = self(torch.zeros(1, 3, self.side, self.side))
        for name, output in reversed(ran):
            if output.numel() == outputs.numel() and torch.equal(output.float().reshape(1, -1), outputs):
                return name, linear[name]
        raise UserError(
            f"The outputs of {type(self.module).__name__} aren't those of a last linear layer, so it has no neural "
            "features. Name a layer: feature:LAYER:INDEX."
        )

    def _count(self) -> int:
        """Number of outputs, from an empty picture of the first size that the module takes."""
        sizes = _PROBED if self.preprocess.size is None else _PROBED[:1]
        for side in sizes:
            try:
                with torch.no_grad():
                    outputs = self(torch.zeros(1, 3, side, side))
            except (RuntimeError, ValueError) as error:
                reason = str(error).splitlines()[0]
                continue
            self.side = side
            return int(outputs.shape[1])
        raise UserError(f"{type(self.module).__name__} takes no picture of {sizes} pixels: {reason} Give it a `size`.")


class BottleneckModule(nn.Module):
    """A concept bottleneck as one module: a concept net, and a linear layer on its predictions.

    Args:
        net: (B, 3, H, W) -> log-odds (B, D).
        bottleneck: the weights.
    """

    def __init__(self, net: nn.Module, bottleneck: ConceptBottleneck) -> None:
        super().__init__()
        self.net = net
        self.odds = bottleneck.on == "logits"
        self.head = nn.Linear(len(bottleneck.weights), 1)
        with torch.no_grad():
            self.head.weight.copy_(torch.as_tensor(bottleneck.weights)[None])
            self.head.bias.fill_(bottleneck.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> scores (B, 1)."""
        concepts = self.net(images)  # (B, D)
        result: Tensor = self.head(concepts if self.odds else concepts.sigmoid())
        return result


def differentiable(classifier: Classifier | DifferentiableClassifier) -> DifferentiableClassifier:
    """The classifier with gradients.

    Raises:
        UserError: it has none (a function, an ONNX file), or its preprocessing can't be followed.
    """
    if isinstance(classifier, DifferentiableClassifier):
        return classifier
    if isinstance(classifier, ConceptBottleneck):
        inner = _torch_parts(classifier.concept_net, classifier)
        whole = BottleneckModule(inner[0], classifier).to(next(inner[0].parameters()).device).eval()
        return DifferentiableClassifier(whole, inner[1], "scores")
    module, preprocess = _torch_parts(classifier, classifier)
    names = getattr(classifier, "class_names", ()) or getattr(classifier, "concept_names", ())
    return DifferentiableClassifier(module, preprocess, classifier.outputs, tuple(names))


def _torch_parts(part: Any, classifier: object) -> tuple[nn.Module, ImagePreprocess]:
    module, preprocess = getattr(part, "module", None), getattr(part, "preprocess", None)
    if not isinstance(module, nn.Module) or preprocess is None:
        raise UserError(
            f"{type(classifier).__name__} has no gradients, which explaining needs: take a torch, timm or transformers "
            "classifier. `genlens rank` works for it, `genlens explain` doesn't."
        )
    if isinstance(preprocess, ImagePreprocess):
        return module, preprocess
    processor = getattr(part, "processor", None)
    followed = ImagePreprocess() if processor is None else from_processor(processor.to_dict())
    if followed is None or not _same(followed, preprocess):
        raise UserError(
            f"The preprocessing of {type(classifier).__name__} is a function without gradients. Give the classifier "
            "`size`, `mean` and `std`, or an ImagePreprocess. `genlens rank` works for it as it is."
        )
    return module, followed


def from_processor(settings: Mapping[str, Any]) -> ImagePreprocess | None:
    """The preprocessing of a transformers image processor; None if it is of another kind."""
    size = cast("dict[str, int]", settings.get("size") or {})
    crop = cast("dict[str, int]", settings.get("crop_size") or {}) if settings.get("do_center_crop") else {}
    scaled = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    if settings.get("do_normalize"):
        scaled = {"mean": tuple(settings["image_mean"]), "std": tuple(settings["image_std"])}
    filter_ = _PIL[int(settings.get("resample") or 0)]
    if not settings.get("do_resize"):
        return ImagePreprocess(**scaled) if not crop else None  # type: ignore[arg-type]
    if {"height", "width"} <= size.keys() and not crop:
        return ImagePreprocess((size["height"], size["width"]), interpolation=filter_, **scaled)  # type: ignore[arg-type]
    shortest = size.get("shortest_edge")
    if shortest is None:
        return None
    share = settings.get("crop_pct")
    if crop and crop["height"] == crop["width"] <= shortest:
        side, kept = crop["height"], crop["height"] / shortest
    elif share and shortest < 384:  # ConvNeXT
        side, kept = shortest, float(share)
    else:
        return None
    return ImagePreprocess((side, side), resize="center", crop_pct=kept, interpolation=filter_, **scaled)  # type: ignore[arg-type]


def _same(followed: ImagePreprocess, preprocess: Any) -> bool:
    """Whether a picture comes out the same, up to rounding to grey levels."""
    rows, columns = np.mgrid[:64, :64]
    waves = [np.sin(rows / 9 + phase) * np.cos(columns / 7) for phase in range(3)]
    picture = np.round(127.5 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)
    wanted = torch.as_tensor(preprocess([picture]))
    pixels = torch.as_tensor(picture / 255).float().permute(2, 0, 1)[None]
    found = preprocess_tensor(pixels, followed)
    allowed = 3 / 255 / min(followed.std)
    return wanted.shape == found.shape and bool((wanted.cpu() - found).abs().max() <= allowed)
