"""Zero-shot classification by CLIP (Radford et al. 2021, arXiv 2103.00020) of the transformers library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.annotators.protocol import Found
from genlens.annotators.transformers_model import check_tokens, load_pretrained, pictures_of, prompts_of
from genlens.classifiers.fingerprint import hash_module, hash_parts, hash_spec
from genlens.classifiers.torch_module import pick_device

TEMPLATE = "a photo of a {}"
NEGATIVE = "a photo"
"""What a photo without the concept is held to be."""


class ClipAnnotator:
    """CLIP: log-odds of the concept's prompt against a prompt that doesn't name it, each concept on its own.

    Their zero is a poor threshold, as CLIP's scale differs between concepts: calibrate it.

    Args:
        model: a `CLIPModel`.
        processor: its `CLIPProcessor`.
        template: prompt of a concept, with "{}" for its name.
        negative: the prompt that doesn't name it.
        device: "auto" or a torch device.

    Raises:
        UserError: `template` has no place for the name, or there is no such device.
    """

    threshold = 0.0
    counts = False

    def __init__(
        self, model: Any, processor: Any, *, template: str = TEMPLATE, negative: str = NEGATIVE, device: str = "auto"
    ) -> None:
        prompts_of([], template)
        self._device = pick_device(device)
        self._model, self._processor = model.eval().to(self._device), processor
        self._template, self._negative = template, negative
        words = hash_spec({"template": template, "negative": negative, "processor": str(processor.image_processor)})
        self._fingerprint = hash_parts("clip", hash_module(model), words)
        self._texts: dict[tuple[str, ...], Any] = {}

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> ClipAnnotator:
        """Load a folder or a hub id, such as ``openai/clip-vit-base-patch32``; weights must be safetensors.

        Raises:
            UserError: no such model, or no CLIP.
        """
        return cls(*load_pretrained(source, ("clip",)), **options)

    @property
    def fingerprint(self) -> str:
        """Hash of weights, prompts and preprocessing."""
        return self._fingerprint

    def check(self, concepts: Sequence[str]) -> None:
        """Refuse prompts that are too long."""
        limit = int(self._model.config.text_config.max_position_embeddings)
        check_tokens(self._processor.tokenizer, [*prompts_of(concepts, self._template), self._negative], limit)

    def find(self, images: Sequence[NDArray[np.uint8]], concepts: Sequence[str]) -> Found:
        """See `Annotator.find`."""
        import torch

        with torch.inference_mode():
            texts = self._embedded(tuple(concepts))  # (D + 1, C)
            pixels = self._processor.image_processor(images=pictures_of(images), return_tensors="pt")["pixel_values"]
            seen = _unit(self._model.get_image_features(pixel_values=pixels.to(self._device)))  # (B, C)
            logits = self._model.logit_scale.exp() * seen @ texts.T  # (B, D + 1)
            scores = (logits[:, :-1] - logits[:, -1:]).float().cpu().numpy()
        return [[row[[j]] for j in range(len(concepts))] for row in scores]

    def _embedded(self, concepts: tuple[str, ...]) -> Any:
        if concepts not in self._texts:
            prompts = [*prompts_of(concepts, self._template), self._negative]
            tokens = self._processor.tokenizer(prompts, padding=True, return_tensors="pt").to(self._device)
            names = ("input_ids", "attention_mask")
            self._texts = {concepts: _unit(self._model.get_text_features(**{name: tokens[name] for name in names}))}
        return self._texts[concepts]


def _unit(found: Any) -> Any:
    """Embeddings of length 1; newer transformers wrap them."""
    features = getattr(found, "pooler_output", found)
    return features / features.norm(dim=-1, keepdim=True)
