"""Captions -> what the text encoders make of them: once a distinct caption, and never cut."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genlens.errors import CaptionError, UserError
from genlens.generators.prompt_windows import Limits, joined, split_windows

if TYPE_CHECKING:
    import torch

CACHE_BYTES = 256 * 2**20
"""Embeddings are kept up to this size, then the least recently used go."""
_IMAGE_EMBEDDINGS = {"ip_adapter_image_embeds", "negative_ip_adapter_image_embeds"}
_POOLED = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
_MASKED = ("prompt_embeds", "prompt_attention_mask", "negative_prompt_embeds", "negative_prompt_attention_mask")
_PLAIN = ("prompt_embeds", "negative_prompt_embeds")

Embedding = dict[str, "torch.Tensor"]
"""Arguments of the pipeline's `__call__` for one caption, each with a leading dimension of 1."""


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    """Parameters of a function by name."""
    return dict(inspect.signature(function).parameters)


class PromptEmbeddings:
    """Text embeddings of a pipeline's captions.

    Stable Diffusion, SDXL, SD3, latent consistency and PixArt pipelines, and all that return the same, are given
    embeddings. The others get the caption itself (`arguments` then is `{"prompt": captions}`).

    Args:
        pipeline: a diffusers pipeline.
        options: of its `encode_prompt`, e.g. `negative_prompt`, `clip_skip`.
        guided: whether the embeddings of the negative prompt are needed as well.
        cache_bytes: see `CACHE_BYTES`.
        windows: windows of the text encoder that every caption is read in (`genlens.generators.prompt_windows`).
        limits: the pipeline's tokenizers and their limits, needed for more than one window.
    """

    def __init__(
        self,
        pipeline: Any,
        options: Mapping[str, Any],
        *,
        guided: bool,
        cache_bytes: int = CACHE_BYTES,
        windows: int = 1,
        limits: Limits = (),
    ) -> None:
        self._windows, self._limits = windows, limits
        self._pipeline, self._options = pipeline, dict(options)
        self._accepted = parameters(pipeline.__call__)
        self._guided = guided and "negative_prompt_embeds" in self._accepted
        self._names = _returned_names(pipeline)
        self._masked = _ignores_padding(pipeline)
        self._cache: OrderedDict[str, Embedding] = OrderedDict()
        self._negative: Embedding = {}
        self._cache_bytes, self._used = cache_bytes, 0
        self.n_encoded = 0
        """Captions encoded so far, without the negative prompt."""

    def arguments(self, captions: Sequence[str]) -> dict[str, Any]:
        """Arguments of the pipeline's `__call__` that say what to show: tensors (B, …), or the captions."""
        import torch

        new = [caption for caption in dict.fromkeys(captions) if caption not in self._cache]
        if new and self._names is not None and not self._encode(new):
            self._names = None
        if self._names is None:
            if self._windows > 1:
                name = type(self._pipeline).__name__
                raise UserError(f"{name} takes no text embeddings, so it can't read a caption in several windows.")
            negative_prompt = self._options.get("negative_prompt")
            prompt: dict[str, Any] = {"prompt": list(captions)}
            return prompt | ({} if negative_prompt is None else {"negative_prompt": [negative_prompt] * len(captions)})
        for caption in captions:
            self._cache.move_to_end(caption)
        rows = [self._cache[caption] for caption in captions]
        told = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
        negative = {name: torch.cat([tensor] * len(rows)) for name, tensor in self._negative.items()}
        if self._masked:
            told, negative = without_padding(told, negative)
        self._trim()
        unsaid: dict[str, Any] = {"negative_prompt": None} if "negative_prompt" in self._accepted else {}
        return unsaid | told | negative  # PixArt's negative prompt is "" by default and refused beside embeddings

    def _encode(self, captions: list[str]) -> bool:
        """Fill the cache; False if `encode_prompt` doesn't return what the arguments of `__call__` suggest."""
        if self._guided and not self._negative:
            guided = self._call(captions[:1], guided=True)
            self._negative = {name: value for name, value in (guided or {}).items() if name.startswith("negative_")}
        found = self._call(captions, guided=False)
        if found is None or (self._guided and not self._negative):
            return False
        for i, caption in enumerate(captions):
            own = {name: value[i : i + 1].clone() for name, value in found.items()}
            self._cache[caption] = own
            self._used += _size(own)
        self.n_encoded += len(captions)
        return True

    def _call(self, captions: list[str], *, guided: bool) -> Embedding | None:
        """Embeddings of captions, by the arguments of `__call__`: tensors (len(captions), …); windows are joined."""
        if self._windows == 1:
            return self._encoded(captions, guided=guided)
        parts = [split_windows(self._limits, caption) for caption in captions]
        filled = [part + [""] * (self._windows - len(part)) for part in parts]
        found = self._encoded([text for part in filled for text in part], guided=guided)
        return None if found is None else joined(found, self._windows, [len(part) for part in parts])

    def _encoded(self, captions: list[str], *, guided: bool) -> Embedding | None:
        """What `encode_prompt` returns, by the arguments of `__call__`: tensors (len(captions), …)."""
        arguments = {
            "prompt": captions,
            "device": self._pipeline._execution_device,
            "num_images_per_prompt": 1,
            "do_classifier_free_guidance": guided,
        } | self._options
        if "negative_prompt" in self._options:
            said = [self._options["negative_prompt"]] + [""] * (self._windows - 1)
            arguments["negative_prompt"] = said * (len(captions) // self._windows)
        known = parameters(self._pipeline.encode_prompt)
        returned = self._pipeline.encode_prompt(**{name: arguments[name] for name in arguments if name in known})
        names = self._names or ()
        if not isinstance(returned, tuple) or len(returned) != len(names):
            return None
        pairs = zip(names, returned, strict=True)
        found = {name: value for name, value in pairs if value is not None and name in self._accepted}
        return found if all(len(value) == len(captions) for value in found.values()) else None

    def _trim(self) -> None:
        while self._used > self._cache_bytes and self._cache:
            _, oldest = self._cache.popitem(last=False)
            self._used -= _size(oldest)


def _size(embedding: Embedding) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in embedding.values())


def _ignores_padding(pipeline: Any) -> bool:
    """Whether the denoiser masks the tokens that only fill a caption up (PixArt, Sana): leaving them out is safe."""
    denoiser = getattr(pipeline, "transformer", None)
    return denoiser is not None and "encoder_attention_mask" in parameters(denoiser.forward)


def without_padding(told: Embedding, negative: Embedding) -> tuple[Embedding, Embedding]:
    """Cut what is padding in every row, of the captions and of the negative prompt: attention to it is exactly 0.

    Rows without any token attend to padding evenly, so nothing is cut where there is one.
    """
    both = told | negative
    masks = [value for name, value in both.items() if name.endswith("attention_mask")]
    embeds = [value for name, value in both.items() if name.endswith("prompt_embeds")]
    if not masks or any(tensor.shape[:2] != masks[0].shape for tensor in (*masks, *embeds)):
        return told, negative
    filled = [mask.bool() for mask in masks]  # each (B, L)
    if not all(bool(mask.any(dim=1).all()) for mask in filled):
        return told, negative
    used = max(int(mask.any(dim=0).nonzero().max()) + 1 for mask in filled)
    return tuple({name: value[:, :used] for name, value in part.items()} for part in (told, negative))  # type: ignore[return-value]


def _returned_names(pipeline: Any) -> tuple[str, ...] | None:
    """What `encode_prompt` returns, in order, by the arguments of `__call__`; None if it isn't one of those known."""
    if not hasattr(pipeline, "encode_prompt"):
        return None
    accepted = {name for name in parameters(pipeline.__call__) if "embeds" in name or "attention_mask" in name}
    accepted -= _IMAGE_EMBEDDINGS
    for names in (_POOLED, _MASKED, _PLAIN):
        if accepted == set(names):
            return names
    return _PLAIN if accepted == {"prompt_embeds"} else None  # latent consistency: guidance is an input of the model


def token_limits(pipeline: Any, max_sequence_length: int | None) -> list[tuple[Any, int]]:
    """Each tokenizer of the pipeline and the number of tokens, special ones included, that its text encoder takes."""
    limits = []
    for name, tokenizer in sorted(pipeline.components.items()):
        if not name.startswith("tokenizer") or tokenizer is None:
            continue
        encoder = pipeline.components.get(name.replace("tokenizer", "text_encoder"))
        positions = getattr(getattr(encoder, "config", None), "max_position_embeddings", None)
        known = [tokenizer.model_max_length, positions, max_sequence_length]
        limits.append((tokenizer, min(int(value) for value in known if value is not None)))
    return limits


def check_lengths(limits: Sequence[tuple[Any, int]], captions: Sequence[str]) -> None:
    """Refuse captions that a text encoder would cut.

    Raises:
        CaptionError: says how many are too long, the longest, its number of tokens and the limit.
    """
    if not captions:
        return
    for tokenizer, limit in limits:
        lengths = [len(ids) for ids in tokenizer(list(captions), truncation=False, verbose=False)["input_ids"]]
        too_long = [i for i, length in enumerate(lengths) if length > limit]
        if too_long:
            worst = max(too_long, key=lengths.__getitem__)
            verb = "is" if len(too_long) == 1 else "are"
            raise CaptionError(
                f"{len(too_long)} of {len(captions)} captions {verb} longer than the text encoder's limit of {limit} "
                f"tokens; the longest has {lengths[worst]}: {_shortened(captions[worst])!r}. Drop concepts, shorten "
                "the template, or choose what is to be done about long captions (--long-captions)."
            )


def _shortened(text: str) -> str:
    return text if len(text) <= 90 else f"{text[:60]} … {text[-25:]}"
