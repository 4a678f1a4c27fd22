"""Image classifiers of the transformers library."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genlens.classifiers.batches import describe_error
from genlens.classifiers.fingerprint import hash_spec
from genlens.classifiers.protocol import Outputs
from genlens.classifiers.torch_module import TorchClassifier
from genlens.errors import UserError


class ImageProcessor(Protocol):
    """The part of a transformers image processor that is used here."""

    def __call__(self, images: list[NDArray[np.uint8]], **options: Any) -> Any:
        """Images -> a mapping with "pixel_values", (B, 3, H, W)."""

    def to_dict(self) -> dict[str, Any]:
        """The processor's settings."""


class TransformersClassifier(TorchClassifier):
    """A transformers model for image classification together with its image processor.

    Args:
        model: an `AutoModelForImageClassification`; a multi-label model's outputs are "scores", others' "logits".
        processor: its image processor.
        device: as for `TorchClassifier`.
        batch_size: images at a time.

    Attributes:
        processor: as given.
        class_names: the model's labels, in the order of its outputs.
    """

    def __init__(
        self, model: nn.Module, processor: ImageProcessor, *, device: str = "auto", batch_size: int = 64
    ) -> None:
        def preprocess(images: list[NDArray[np.uint8]]) -> Tensor:
            found = processor(images, return_tensors="pt", input_data_format="channels_last")
            return torch.as_tensor(found["pixel_values"])

        config: Any = model.config
        outputs: Outputs = "scores" if config.problem_type == "multi_label_classification" else "logits"
        identity = hash_spec({"processor": repr(sorted(processor.to_dict().items())), "model": config.model_type})
        super().__init__(model, preprocess, outputs=outputs, device=device, batch_size=batch_size, fingerprint=identity)
        self.processor = processor
        self.class_names = tuple(str(config.id2label[index]) for index in sorted(config.id2label))

    @classmethod
    def from_pretrained(
        cls, path_or_id: str | Path, *, device: str = "auto", batch_size: int = 64
    ) -> TransformersClassifier:
        """Load a local folder or a model of the Hugging Face hub; weights must be safetensors.

        Raises:
            UserError: no such model, not an image classifier, or no safetensors weights.
        """
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        try:
            processors: Any = AutoImageProcessor
            processor = processors.from_pretrained(path_or_id, trust_remote_code=False)
            model = AutoModelForImageClassification.from_pretrained(
                path_or_id, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
            )
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise UserError(
                f"{str(path_or_id)!r} can't be loaded as a transformers image classifier with safetensors weights: "
                f"{describe_error(error)}."
            ) from error
        return cls(model, processor, device=device, batch_size=batch_size)
