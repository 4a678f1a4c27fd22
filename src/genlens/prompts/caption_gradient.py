"""The gradient of an objective at the words of a caption: what another word there would change, to first order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genlens.errors import UserError
from genlens.prompts.vocabulary import Vocabulary

if TYPE_CHECKING:
    from genlens.generators.gradients import GradientGenerator

Lengths = tuple[int, ...]
"""Tokens of a word, one number an encoder."""


@dataclass(frozen=True)
class Layout:
    """A caption as tokens.

    Attributes:
        ids: for each encoder int64 (1, T).
        places: for each encoder the positions (M,) of the words' tokens, word after word.
        lengths: tokens of each word.
    """

    ids: list[Tensor]
    places: list[Tensor]
    lengths: tuple[Lengths, ...]


class CaptionGradient:
    """Mean score of a caption over seeds, differentiable in the token embeddings of its words.

    Args:
        generator: renders with gradients.
        objective: images float (B, 3, H, W) in [0, 1] -> (B,), higher is better.
        vocabulary: the words and the template.
        last_steps: denoising steps that the gradient goes through (DRaFT-K), the last ones; None: all.
        checkpointing: compute blocks again on the way back instead of keeping them; see `GradientGenerator.render`.

    Attributes:
        n_images: images rendered so far.
    """

    def __init__(
        self,
        generator: GradientGenerator,
        objective: Callable[[Tensor], Tensor],
        vocabulary: Vocabulary,
        *,
        last_steps: int | None = 1,
        checkpointing: bool | None = None,
    ) -> None:
        self.generator, self.vocabulary = generator, vocabulary
        self._objective = objective
        self._render = partial(generator.render, last_steps=last_steps, checkpointing=checkpointing)
        self._ids: list[list[list[int]]] = [
            encoder.tokenizer(list(vocabulary.words), add_special_tokens=False)["input_ids"]
            for encoder in generator.encoders
        ]
        empty = [word for i, word in enumerate(vocabulary.words) if not all(ids[i] for ids in self._ids)]
        if empty:
            raise UserError(f"The word {empty[0]!r} is nothing to the generator's tokenizer; leave it out.")
        self.groups: dict[Lengths, list[int]] = {}
        """Words of equal length: only they can take one another's place."""
        for i in range(len(vocabulary.words)):
            self.groups.setdefault(self.lengths(i), []).append(i)
        self.n_images = 0

    def lengths(self, word: int) -> Lengths:
        """Tokens of a word."""
        return tuple(len(ids[word]) for ids in self._ids)

    def tables(self, words: Sequence[int]) -> list[Tensor]:
        """For each encoder the embeddings (V, L, C) of V words of equal length."""
        found = []
        for encoder, ids in zip(self.generator.encoders, self._ids, strict=True):
            table = encoder.table
            found.append(table.detach()[torch.tensor([ids[word] for word in words], device=table.device)])
        return found

    def layout(self, words: Sequence[int]) -> Layout:
        """Tokens of the caption with these words.

        Raises:
            UserError: a word is read differently inside the caption than on its own.
        """
        ids = self.generator.token_ids([self.vocabulary.caption(words)])
        places: list[Tensor] = []
        for encoder, own, row in zip(self.generator.encoders, self._ids, ids, strict=True):
            places.append(torch.tensor(self._places(encoder.tokenizer, own, row[0].tolist(), words)))
        return Layout(ids, places, tuple(self.lengths(word) for word in words))

    def _places(
        self, tokenizer: Callable[..., dict[str, list[int]]], own: list[list[int]], row: list[int], words: Sequence[int]
    ) -> list[int]:
        def plain(text: str) -> list[int]:
            return tokenizer(text, add_special_tokens=False)["input_ids"]

        whole, joint = plain(self.vocabulary.caption(words)), self.vocabulary.joint
        shift = next((k for k in range(len(row)) if row[k : k + len(whole)] == whole), 0)  # tokens before the text
        before = self.vocabulary.template.split("{}")[0]
        places: list[int] = []
        for k, word in enumerate(words):
            told = before + "".join(self.vocabulary.words[other] + joint for other in words[:k])
            start = shift + len(plain(told.rstrip()))
            if row[start : start + len(own[word])] != own[word]:
                text = self.vocabulary.words[word]
                raise UserError(f"The tokenizer reads {text!r} differently inside the caption; leave the word out.")
            places += range(start, start + len(own[word]))
        return places

    def score(self, layout: Layout, values: Sequence[Tensor], seeds: Sequence[int]) -> Tensor:
        """Mean score over the seeds of the caption whose words have these embeddings: a tensor ().

        Args:
            layout: of the caption.
            values: for each encoder (M, C), one row a token of the words.
            seeds: one an image.
        """
        embeddings = []
        for base, place, value in zip(self.generator.embed(layout.ids), layout.places, values, strict=True):
            here = place.to(base.device)
            embeddings.append(base.index_put((torch.zeros_like(here), here), value.to(base)))  # (1, T, C)
        told = self.generator.condition(embeddings, layout.ids)
        rows = torch.zeros(len(seeds), dtype=torch.int64, device=self.generator.device)
        images = self._render(told.rows(rows), seeds)  # (B, 3, H, W)
        self.n_images += len(seeds)
        return self._objective(images).mean()

    def gains(self, words: Sequence[int], seeds: Sequence[int]) -> Tensor:
        """First-order estimate of what each word of the vocabulary would add in each place: (n_words, V).

        Exact to first order for words as long as the one they replace; of longer and shorter ones the mean embedding is
        taken against the sum of the gradients.
        """
        layout = self.layout(words)
        values = [torch.cat(parts).requires_grad_() for parts in self._own(words)]  # (M, C) each
        self.score(layout, values, seeds).backward()
        found = torch.zeros(len(words), len(self.vocabulary.words))
        for lengths, group in self.groups.items():
            tables = self.tables(group)
            for k in range(len(words)):
                found[k, group] = self._estimate(layout, values, k, lengths, tables)
        return found

    def _own(self, words: Sequence[int]) -> list[list[Tensor]]:
        """For each encoder the embeddings (L, C) of each word."""
        each = [self.tables([word]) for word in words]
        return [[tables[e][0] for tables in each] for e in range(len(self.generator.encoders))]

    def _estimate(
        self, layout: Layout, values: list[Tensor], k: int, lengths: Lengths, tables: list[Tensor]
    ) -> Tensor:
        """What V words of these lengths would add at place k: (V,)."""
        total = torch.zeros(len(tables[0]))
        for e, (value, table) in enumerate(zip(values, tables, strict=True)):
            start = sum(other[e] for other in layout.lengths[:k])
            part = slice(start, start + layout.lengths[k][e])
            slope, now = value.grad[part], value.detach()[part]  # type: ignore[index]  # (L, C)
            if lengths == layout.lengths[k]:
                gain = ((table - now) * slope).sum((1, 2))
            else:
                gain = (table.mean(1) - now.mean(0)) @ slope.sum(0)
            total += gain.float().cpu()
        return total
