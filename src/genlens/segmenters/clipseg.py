"""CLIPSeg (Lüddecke and Ecker, CVPR 2022, arXiv 2112.10003) of the transformers library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.batches import describe_error
from genlens.classifiers.fingerprint import hash_module, hash_parts, hash_spec
from genlens.errors import UserError, check_integer
from genlens.segmenters.protocol import check_picture_batch, check_text

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import CLIPSegForImageSegmentation


class ClipSegSegmenter:
    """A CLIPSeg with its tokenizer and image processor.

    Args:
        model: `CLIPSegForImageSegmentation`.
        tokenizer: its tokenizer.
        processor: its image processor: list of (H, W, 3) arrays -> "pixel_values".
        template: phrase around the text, with "{}" where the text goes.
        device: "auto" is CUDA, then Apple's MPS, then the CPU.
        batch_size: images at a time.

    Raises:
        UserError: `template` has no place for the text, or there is no such device.
    """

    def __init__(
        self,
        model: CLIPSegForImageSegmentation,
        tokenizer: Any,
        processor: Any,
        *,
        template: str = "{}",
        device: str = "auto",
        batch_size: int = 32,
    ) -> None:
        from genlens.classifiers.torch_module import pick_device

        if template.count("{}") != 1:
            raise UserError(f"`template` must have one {{}} for the text; got {template!r}.")
        self.template, self.batch_size = template, check_integer("batch_size", batch_size, 1)
        self.device = pick_device(device)
        self.model = model.eval().to(self.device)
        self.tokenizer, self.processor = tokenizer, processor
        self._limit = int(model.config.text_config.max_position_embeddings)
        identity = hash_spec({"processor": repr(sorted(processor.to_dict().items())), "template": template})
        words = hash_spec({"vocabulary": sorted(tokenizer.get_vocab().items())})
        self._fingerprint = hash_parts("clipseg", hash_module(model), identity, words)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, template: str = "{}", device: str = "auto", batch_size: int = 32
    ) -> ClipSegSegmenter:
        """Load a local folder or a model of the Hugging Face hub, such as ``CIDAS/clipseg-rd64-refined``.

        Raises:
            UserError: no such model, no CLIPSeg, or no safetensors weights.
        """
        from transformers import AutoConfig, AutoTokenizer, CLIPSegForImageSegmentation

        from genlens.generators.pipelines import quiet

        try:
            with quiet():
                kind = AutoConfig.from_pretrained(source).model_type
                if kind != "clipseg":
                    raise UserError(f"{str(source)!r} is a {kind} model, not a CLIPSeg. Give a CLIPSeg folder or id.")
                model = CLIPSegForImageSegmentation.from_pretrained(source, use_safetensors=True)
                tokenizer, processor = AutoTokenizer.from_pretrained(source), _image_processor(source)
        except (OSError, ValueError, ImportError, KeyError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(
                f"{str(source)!r} can't be loaded as a CLIPSeg with safetensors weights: {describe_error(error)}."
            ) from error
        return cls(model, tokenizer, processor, template=template, device=device, batch_size=batch_size)

    @property
    def fingerprint(self) -> str:
        """Hash of weights, vocabulary, preprocessing and template."""
        return self._fingerprint

    def segment(self, images: NDArray[np.uint8], text: str) -> NDArray[np.float32]:
        """See `Segmenter.segment`; masks are scaled from the model's size to that of the images.

        Raises:
            UserError: the text is empty, too long, or has a word the tokenizer doesn't know; NaN.
        """
        import torch

        pictures, tokens = check_picture_batch(images), self._tokens(text)
        with torch.inference_mode():
            asked = self.model.clip.get_text_features(**tokens).pooler_output  # (1, C)
            parts = [
                self._masks(pictures[first : first + self.batch_size], asked)
                for first in range(0, len(pictures), self.batch_size)
            ]
        return np.concatenate(parts)

    def _masks(self, batch: NDArray[np.uint8], asked: Tensor) -> NDArray[np.float32]:
        import torch
        from torch.nn import functional

        given = self.processor(images=list(batch), return_tensors="pt", input_data_format="channels_last")
        pixels = torch.as_tensor(given["pixel_values"]).to(self.device)
        model: Any = self.model
        logits = model(pixel_values=pixels, conditional_embeddings=asked.expand(len(batch), -1)).logits
        logits = logits.float().reshape(len(batch), 1, *logits.shape[-2:])  # one picture may come without its axis
        full = functional.interpolate(logits, batch.shape[1:3], mode="bilinear", align_corners=False)
        if not bool(torch.isfinite(full).all()):
            raise UserError("The segmenter gave NaN. Load it in float32.")
        masks: NDArray[np.float32] = full[:, 0].sigmoid().cpu().numpy()
        return masks

    def _tokens(self, text: str) -> dict[str, Tensor]:
        """Ids and attention mask (1, L) of a text in its template."""
        phrase = self.template.format(check_text(text))
        found = self.tokenizer([phrase], return_tensors="pt")
        n_tokens = found["input_ids"].shape[1]
        if n_tokens > self._limit:
            raise UserError(f"`text` must have at most {self._limit} tokens; got {n_tokens} in {phrase!r}. Shorten it.")
        unknown = getattr(self.tokenizer, "unk_token_id", None)
        known_end = unknown in (None, self.tokenizer.eos_token_id)  # CLIP's own tokenizer spells unknown words
        if not known_end and bool((found["input_ids"] == unknown).any()):
            raise UserError(f"The segmenter has no word for something in {text!r}. It knows: {self._words()}.")
        return {name: found[name].to(self.device) for name in ("input_ids", "attention_mask")}

    def _words(self) -> str:
        words = [word for word in self.tokenizer.get_vocab() if word.isalpha()]
        return ", ".join(sorted(words)[:60])


def _image_processor(source: str | Path) -> Any:
    """The image processor of a folder or id; that of CLIPSeg is a ViT's."""
    from transformers import AutoImageProcessor

    loader: Any = AutoImageProcessor
    return loader.from_pretrained(source)
