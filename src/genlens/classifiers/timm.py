"""Classifiers of the timm library, or any module with a `.pretrained_cfg` in timm's form."""

from __future__ import annotations

from typing import Any

from torch import nn

from genlens.classifiers.batches import describe_error
from genlens.classifiers.optional import optional_import
from genlens.classifiers.preprocess import ImagePreprocess, from_pretrained_cfg
from genlens.classifiers.protocol import Outputs
from genlens.classifiers.torch_module import TorchClassifier
from genlens.errors import UserError


class TimmClassifier(TorchClassifier):
    """A timm model; size, crop, interpolation, mean and std come from its `pretrained_cfg`.

    Args:
        model: a module with `.pretrained_cfg`.
        preprocess: instead of what `pretrained_cfg` says.
        outputs: what the model returns.
        device: as for `TorchClassifier`.
        batch_size: images at a time.

    Raises:
        UserError: no `pretrained_cfg`, or one that can't be followed.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        preprocess: ImagePreprocess | None = None,
        outputs: Outputs = "logits",
        device: str = "auto",
        batch_size: int = 64,
    ) -> None:
        cfg: Any = getattr(model, "pretrained_cfg", None)
        if preprocess is None and not cfg:
            raise UserError(f"{type(model).__name__} has no `.pretrained_cfg`. Pass `preprocess=ImagePreprocess(…)`.")
        super().__init__(
            model, preprocess or from_pretrained_cfg(cfg), outputs=outputs, device=device, batch_size=batch_size
        )

    @classmethod
    def from_name(cls, name: str, *, device: str = "auto", batch_size: int = 64) -> TimmClassifier:
        """Create a timm model by name, with its pretrained weights.

        Raises:
            UserError: timm isn't installed, doesn't know the name, or can't fetch the weights.
        """
        timm = optional_import("timm", "timm", "timm models")
        try:
            model = timm.create_model(name, pretrained=True)
        except (RuntimeError, OSError, ValueError) as error:
            raise UserError(f"timm can't create {name!r}: {describe_error(error)}.") from error
        return cls(model, device=device, batch_size=batch_size)
