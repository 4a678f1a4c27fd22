"""Token embeddings into a pipeline's own text encoders: soft prompts, which are no words.

CLIP's text model takes token ids and nothing else. So a pipeline's `encode_prompt` runs as it is, with two changes for
its duration: the tokenizers hand out ids that are given, and the first layer of each text encoder hands out embeddings
that are given. Everything behind it (positions, causal and padding masks, pooling, which layer is read, how several
encoders are joined) is the pipeline's own code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from genlens.errors import UserError
from genlens.generators.prompt_embeddings import check_lengths, token_limits


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder of a pipeline, and its tokenizer.

    Attributes:
        part: name of the encoder in the pipeline, "text_encoder" or "text_encoder_2".
        module: the encoder.
        tokenizer: its tokenizer.
        table: embeddings of the vocabulary, (V, C).
        max_tokens: tokens it takes, special ones included.
    """

    part: str
    module: nn.Module
    tokenizer: Any
    table: Tensor
    max_tokens: int

    def token_ids(self, texts: Sequence[str]) -> Tensor:
        """Token ids int64 (B, max_tokens) of B texts, padded.

        Raises:
            CaptionError: a text is too long.
        """
        check_lengths([(self.tokenizer, self.max_tokens)], list(texts))
        told = self.tokenizer(
            list(texts), padding="max_length", max_length=self.max_tokens, truncation=True, return_tensors="pt"
        )
        ids: Tensor = told.input_ids.to(self.table.device)
        return ids

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings float32 (B, L, C) of token ids (B, L)."""
        return self.table[ids].float()

    def attention_mask(self, ids: Tensor) -> Tensor:
        """1 for tokens, 0 for what fills a row up, int64 (B, L): the end token is a token, what follows it is not."""
        end, filler = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        if end is not None and bool((ids == end).any(dim=1).all()):
            ended = (ids == end).long()
            before: Tensor = ended.cumsum(dim=1) - ended  # end tokens before each place
            return (before == 0).long()
        return torch.ones_like(ids) if filler is None else (ids != filler).long()

    @contextmanager
    def hands_out(self, embeddings: Tensor) -> Iterator[None]:
        """While open, the encoder's first layer gives `embeddings` (B, L, C), whatever ids it is asked for.

        Raises:
            UserError: the encoder didn't look anything up in its table.
        """
        looked_up = 0

        def give(_layer: nn.Module, _ids: Any, found: Tensor) -> Tensor:
            nonlocal looked_up
            looked_up += 1
            return embeddings.to(found)

        with ExitStack() as hooks:
            for layer in self.module.modules():
                if isinstance(layer, nn.Embedding) and layer.weight is self.table:
                    hooks.callback(layer.register_forward_hook(give).remove)
            yield
        if looked_up != 1:
            raise UserError(
                f"The text encoder {type(self.module).__name__} read its table of tokens {looked_up} times for a "
                "prompt, not once. Soft prompts work with CLIP and T5 encoders of transformers."
            )


class _Tokens:
    """Stands in for a tokenizer: the ids are given; everything else is the tokenizer's."""

    def __init__(self, encoder: TextEncoder, ids: Tensor) -> None:
        self._tokenizer = encoder.tokenizer
        self._told = SimpleNamespace(input_ids=ids, attention_mask=encoder.attention_mask(ids))

    def __call__(self, *_texts: Any, **_options: Any) -> Any:
        return self._told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


def text_encoders(pipeline: Any, max_sequence_length: int | None) -> tuple[TextEncoder, ...]:
    """The text encoders of a pipeline, in the order in which it reads them.

    Raises:
        UserError: it has none, or one whose table of token embeddings can't be found.
    """
    parts = sorted(name for name in pipeline.components if name.startswith("text_encoder"))
    parts = [name for name in parts if pipeline.components[name] is not None]
    kind = type(pipeline).__name__
    if not parts:
        raise UserError(f"A {kind} has no text encoder, so there is no prompt to optimise. Take a text-to-image model.")
    limits = {id(tokenizer): limit for tokenizer, limit in token_limits(pipeline, max_sequence_length)}
    found = []
    for part in parts:
        module: Any = pipeline.components[part]
        tokenizer = pipeline.components.get(part.replace("text_encoder", "tokenizer"))
        table = _table(module)
        if table is None or tokenizer is None:
            raise UserError(
                f"The text encoder {type(module).__name__} of {kind} has no table of token embeddings with a tokenizer "
                "beside it. Soft prompts work with CLIP and T5 encoders of transformers."
            )
        found.append(TextEncoder(part, module, tokenizer, table, limits[id(tokenizer)]))
    return tuple(found)


def _table(module: Any) -> Tensor | None:
    try:
        layer = module.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    return layer.weight if isinstance(layer, nn.Embedding) else None


@contextmanager
def given_prompts(
    pipeline: Any, encoders: Sequence[TextEncoder], ids: Sequence[Tensor], embeddings: Sequence[Tensor]
) -> Iterator[None]:
    """While open, `encode_prompt` reads the given ids (B, L) and embeddings (B, L, C), one a text encoder."""
    tokens = {
        encoder.part.replace("text_encoder", "tokenizer"): _Tokens(encoder, rows)
        for encoder, rows in zip(encoders, ids, strict=True)
    }
    with swapped(pipeline, tokens), ExitStack() as stack:
        for encoder, rows in zip(encoders, embeddings, strict=True):
            stack.enter_context(encoder.hands_out(rows))
        yield


@contextmanager
def swapped(pipeline: Any, parts: Mapping[str, Any]) -> Iterator[None]:
    """While open, parts of the pipeline are others; its configuration doesn't notice."""
    before = {name: getattr(pipeline, name) for name in parts}
    for name, part in parts.items():
        object.__setattr__(pipeline, name, part)
    try:
        yield
    finally:
        for name, part in before.items():
            object.__setattr__(pipeline, name, part)
