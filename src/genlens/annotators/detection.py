"""Open-vocabulary detection: OWLv2 (Minderer et al. 2023, 2306.09683), Grounding DINO (Liu et al. 2023, 2303.05499).

Boxes of one concept that overlap by more than half count once. Scores are probabilities; those below `FLOOR` are
dropped, so thresholds must lie above it.
"""

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
from genlens.errors import UserError

FLOOR = 0.02
MOST = 100
"""Detections of a concept kept in an image, the surest ones."""
OVERLAP = 0.5


class Owlv2Annotator:
    """OWLv2: every patch of the picture proposes a box and says how well each prompt fits it.

    Args:
        model: an `Owlv2ForObjectDetection`.
        processor: its `Owlv2Processor`.
        template: prompt of a concept, with "{}" for its name.
        device: "auto" or a torch device.
    """

    threshold = 0.2
    counts = True

    def __init__(
        self, model: Any, processor: Any, *, template: str = "a photo of a {}", device: str = "auto"
    ) -> None:
        prompts_of([], template)
        self._device = pick_device(device)
        self._model, self._processor, self._template = model.eval().to(self._device), processor, template
        words = hash_spec({"template": template, "processor": str(processor.image_processor)})
        self._fingerprint = hash_parts("owlv2", hash_module(model), words)

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> Owlv2Annotator:
        """Load a folder or a hub id, such as ``google/owlv2-base-patch16-ensemble``.

        Raises:
            UserError: no such model, or no OWLv2.
        """
        return cls(*load_pretrained(source, ("owlv2",)), **options)

    @property
    def fingerprint(self) -> str:
        """Hash of weights, prompt and preprocessing."""
        return self._fingerprint

    def check(self, concepts: Sequence[str]) -> None:
        """Refuse prompts that are too long."""
        limit = int(self._model.config.text_config.max_position_embeddings)
        check_tokens(self._processor.tokenizer, prompts_of(concepts, self._template), limit)

    def find(self, images: Sequence[NDArray[np.uint8]], concepts: Sequence[str]) -> Found:
        """See `Annotator.find`."""
        import torch

        prompts = prompts_of(concepts, self._template)
        given = self._processor(text=[prompts] * len(images), images=pictures_of(images), return_tensors="pt")
        names = ("input_ids", "attention_mask", "pixel_values")
        with torch.inference_mode():
            outputs = self._model(**{name: given[name].to(self._device) for name in names})
        scores = outputs.logits.sigmoid().float().cpu().numpy()  # (B, boxes, D)
        boxes = outputs.pred_boxes.float().cpu().numpy()  # (B, boxes, 4)
        return [
            [distinct(each[:, j], box) for j in range(len(concepts))] for each, box in zip(scores, boxes, strict=True)
        ]


class GroundingDinoAnnotator:
    """Grounding DINO: queries hold boxes against the words of "cat. remote control."; a concept's is its surest word.

    Args:
        model: a `GroundingDinoForObjectDetection`.
        processor: its `GroundingDinoProcessor`.
        device: "auto" or a torch device.
    """

    threshold = 0.3
    counts = True

    def __init__(self, model: Any, processor: Any, *, device: str = "auto") -> None:
        self._device = pick_device(device)
        self._model, self._processor = model.eval().to(self._device), processor
        self._fingerprint = hash_parts(
            "grounding dino", hash_module(model), hash_spec({"processor": str(processor.image_processor)})
        )

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> GroundingDinoAnnotator:
        """Load a folder or a hub id, such as ``IDEA-Research/grounding-dino-tiny``.

        Raises:
            UserError: no such model, or no Grounding DINO.
        """
        return cls(*load_pretrained(source, ("grounding-dino",)), **options)

    @property
    def fingerprint(self) -> str:
        """Hash of weights and preprocessing."""
        return self._fingerprint

    def check(self, concepts: Sequence[str]) -> None:
        """Refuse names with a full stop, and more names than the text encoder takes."""
        self._spans(concepts)

    def find(self, images: Sequence[NDArray[np.uint8]], concepts: Sequence[str]) -> Found:
        """See `Annotator.find`."""
        import torch

        spans = self._spans(concepts)
        texts = [self._text(concepts)] * len(images)
        given = self._processor(text=texts, images=pictures_of(images), return_tensors="pt")
        with torch.inference_mode():
            outputs = self._model(**{name: value.to(self._device) for name, value in given.items()})
        words = outputs.logits.sigmoid().float().cpu().numpy()  # (B, queries, tokens)
        boxes = outputs.pred_boxes.float().cpu().numpy()  # (B, queries, 4)
        return [
            [distinct(each[:, span].max(axis=1), box) for span in spans] for each, box in zip(words, boxes, strict=True)
        ]

    def _text(self, concepts: Sequence[str]) -> str:
        return " ".join(f"{concept.strip().lower()}." for concept in concepts)

    def _spans(self, concepts: Sequence[str]) -> list[slice]:
        """Where the tokens of each concept stand in the text: between the full stops."""
        for concept in concepts:
            if "." in concept:
                raise UserError(f"Grounding DINO separates concepts by full stops, so {concept!r} can't have one.")
        tokenizer = self._processor.tokenizer
        ids = tokenizer(self._text(concepts), truncation=False, verbose=False)["input_ids"]
        limit = int(self._model.config.max_text_len)
        if len(ids) > limit:
            raise UserError(f"All concepts together have {len(ids)} tokens; Grounding DINO takes {limit}. Name fewer.")
        stop = tokenizer.convert_tokens_to_ids(".")
        ends = [place for place, token in enumerate(ids) if token == stop]
        starts = [1, *(end + 1 for end in ends[:-1])]  # the first token is the sentence's own
        if len(ends) != len(concepts) or any(end <= start for start, end in zip(starts, ends, strict=True)):
            raise UserError("Grounding DINO's tokenizer doesn't keep the concepts apart. Name them in plain words.")
        return [slice(start, end) for start, end in zip(starts, ends, strict=True)]


def distinct(scores: NDArray[np.floating], boxes: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scores of detections, descending, those left out whose box overlaps a surer one (greedy suppression).

    Args:
        scores: (boxes,).
        boxes: (boxes, 4) centre x, centre y, width, height.

    Returns:
        At most `MOST` scores, all >= `FLOOR`.
    """
    order = [i for i in np.argsort(-scores, kind="stable") if scores[i] >= FLOOR]
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
    kept: list[int] = []
    for i in order:
        if len(kept) == MOST:
            break
        if not kept or overlap(corners[i], corners[kept]).max() <= OVERLAP:
            kept.append(int(i))
    return scores[kept].astype(np.float32)


def overlap(one: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.floating]:
    """Intersection over union of a box with others, corners (4,) and (M, 4) -> (M,)."""
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    both = np.clip(high - low, 0, None).prod(axis=1)
    areas = np.clip(others[:, 2:] - others[:, :2], 0, None).prod(axis=1)
    union = np.clip(one[2:] - one[:2], 0, None).prod() + areas - both
    result: NDArray[np.floating] = both / np.maximum(union, 1e-12)
    return result
