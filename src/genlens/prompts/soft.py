"""Soft prompts: a template of fixed tokens with some whose embeddings are free."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genlens.errors import UserError, check_integer
from genlens.generators.diffusers import DiffusersGenerator
from genlens.generators.gradients import Conditioning, GradientGenerator
from genlens.generators.text_embeddings import TextEncoder

DEFAULT_TEMPLATE = "a picture of a {}"
"""DEXTER's (arXiv 2510.14741); "{}" alone where the tokenizer doesn't know its words."""
JITTER = 0.1
"""Spread of the second and later restarts around a start from words, in standard deviations of the vocabulary."""
_STAND_INS = ("x", "a", "word", "thing")


@dataclass(frozen=True)
class PromptState:
    """One optimised prompt: what can be kept, saved and rendered again.

    Attributes:
        tokens: embeddings (n_tokens, C) for each text encoder.
        score: its mean score on the held-out seeds; NaN if not scored.
        step: the step after which it was taken; 0 is the start.
        restart: which of the restarts.
    """

    tokens: tuple[Tensor, ...]
    score: float = float("nan")
    step: int = 0
    restart: int = 0

    def save(self, path: str | Path) -> None:
        """Write a safetensors file."""
        from safetensors.torch import save

        notes = {"score": self.score, "step": self.step, "restart": self.restart}
        tensors = {f"tokens.{i}": value.detach().cpu().contiguous() for i, value in enumerate(self.tokens)}
        Path(path).write_bytes(save(tensors, metadata={"genlens": json.dumps(notes)}))

    @classmethod
    def load(cls, path: str | Path) -> PromptState:
        """Read what `save` wrote.

        Raises:
            UserError: it isn't there or isn't such a file.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="pt") as file:
                notes = json.loads((file.metadata() or {})["genlens"])
                tokens = tuple(file.get_tensor(f"tokens.{i}") for i in range(len(file.keys())))
            return cls(tokens, float(notes["score"]), int(notes["step"]), int(notes["restart"]))
        except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
            kind = type(error).__name__
            raise UserError(f"{path} is no saved prompt ({kind}). PromptState.save writes one.") from error


class SoftPrompt(nn.Module):
    """A prompt whose free tokens are optimised: R restarts of it side by side.

    Args:
        generator: a pipeline with a text encoder.
        template: text with one `{}`, where the free tokens go; None: "a picture of a {}", or "{}" if the tokenizer
            doesn't know those words.
        n_tokens: free tokens.
        start: "random" (embeddings of random tokens of the vocabulary), "word:W" (each token starts as the word W), or
            a text, such as the class's name, whose tokens are repeated until there are `n_tokens`.
        restarts: R. All but the first are moved a little when they start from words.
        seed: of the start.

    Attributes:
        tokens: the free embeddings, (R, n_tokens, C) for each text encoder.
        gradient_generator: renders it.
        random_start: which restarts start from random tokens, so that others may be drawn for them.

    Raises:
        UserError: no text encoder; a template without `{}`; an unknown word; too many tokens.
    """

    def __init__(
        self,
        generator: DiffusersGenerator | GradientGenerator,
        template: str | None = None,
        n_tokens: int = 3,
        *,
        start: str = "random",
        restarts: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.n_tokens = check_integer("n_tokens", n_tokens, 1)
        self.restarts = check_integer("restarts", restarts, 1)
        check_integer("seed", seed, 0)
        own = generator if isinstance(generator, GradientGenerator) else GradientGenerator(generator)
        self.gradient_generator: GradientGenerator = own
        encoders = self.gradient_generator.encoders
        self.template = _template(template, encoders)
        self._places: list[tuple[Tensor, slice]] = [_place(one, self.template, n_tokens) for one in encoders]
        self.random_start = [start == "random"] * restarts
        rng = torch.Generator("cpu").manual_seed(seed)
        self.tokens = nn.ParameterList([nn.Parameter(self._start(encoder, start, rng)) for encoder in encoders])

    def forward(self, restart: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """Embeddings (B, L, C) and ids (B, L), one each a text encoder, of given restarts (B,), by default of all."""
        chosen = torch.arange(self.restarts) if restart is None else restart
        return self.filled([tokens[chosen.to(tokens.device)] for tokens in self.tokens])

    def filled(self, tokens: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The template with given tokens (B, n_tokens, C), one a text encoder: embeddings (B, L, C) and ids (B, L)."""
        rows, all_ids = [], []
        for free, (ids, place), encoder in zip(tokens, self._places, self.gradient_generator.encoders, strict=True):
            fixed = encoder.embed(ids).expand(len(free), -1, -1)  # (B, L, C)
            rows.append(torch.cat([fixed[:, : place.start], free.float(), fixed[:, place.stop :]], dim=1))
            all_ids.append(ids.expand(len(free), -1))
        return rows, all_ids

    def conditioning(self, restart: Tensor | None = None) -> Conditioning:
        """What the text encoders make of the given restarts (B,), with gradient."""
        return self.gradient_generator.condition(*self(restart))

    def state(self, restart: int = 0, *, step: int = 0, score: float = float("nan")) -> PromptState:
        """A copy of one restart as it is now."""
        return PromptState(tuple(one[restart].detach().clone() for one in self.tokens), score, step, restart)

    def set_state(self, state: PromptState, restart: int = 0, *, random: bool = False) -> None:
        """Give a restart the tokens of a state.

        Args:
            state: the tokens.
            restart: which.
            random: they are random tokens, for which `optimize_prompt` may draw others.

        Raises:
            UserError: they have other shapes.
        """
        self._check(state)
        with torch.no_grad():
            for own, given in zip(self.tokens, state.tokens, strict=True):
                own[restart] = given.to(own)
        self.random_start[restart] = random

    def state_of(self, text: str) -> PromptState:
        """The prompt whose free tokens are those of a text, repeated until there are `n_tokens`.

        Raises:
            UserError: more tokens than that, or words that the tokenizer doesn't know.
        """
        return PromptState(tuple(self._of_words(one, text) for one in self.gradient_generator.encoders))

    def random_states(self, count: int, seed: int) -> list[PromptState]:
        """Prompts of random tokens of the vocabulary."""
        rng = torch.Generator("cpu").manual_seed(seed)
        drawn = [_random_tokens(one, count * self.n_tokens, rng) for one in self.gradient_generator.encoders]
        parts = [rows.view(count, self.n_tokens, -1) for rows in drawn]
        return [PromptState(tuple(part[i] for part in parts)) for i in range(count)]

    def images(self, state: PromptState, seeds: Sequence[int], *, batch_size: int = 32) -> NDArray[np.uint8]:
        """Pictures uint8 (B, H, W, 3) of a state, one a seed, without gradient.

        Raises:
            UserError: the state belongs to another prompt.
        """
        self._check(state)
        device = self.gradient_generator.device
        parts = []
        with torch.no_grad():
            told = self.gradient_generator.condition(*self.filled([one[None].to(device) for one in state.tokens]))
            for first in range(0, len(seeds), batch_size):
                some = seeds[first : first + batch_size]
                rows = told.rows(torch.zeros(len(some), dtype=torch.int64, device=device))
                parts.append(as_pixels(self.gradient_generator.render(rows, some, checkpointing=False)))
        return np.concatenate(parts)

    def vocabulary_distance(self) -> Tensor:
        """How far the free tokens lie from the nearest token of the vocabulary: the mean squared distance, as a share
        of the mean squared distance between a token and the vocabulary's mean; scalar, with gradient."""
        distances = []
        for tokens, encoder in zip(self.tokens, self.gradient_generator.encoders, strict=True):
            table = encoder.table.float()
            with torch.no_grad():
                nearest = torch.cdist(tokens.flatten(0, 1), table).argmin(dim=1)  # (R * n,)
            gap = (tokens.flatten(0, 1) - table[nearest]).square().sum(dim=1)
            distances.append(gap.mean() / (table - table.mean(dim=0)).square().sum(dim=1).mean())
        return torch.stack(distances).mean()

    def scales(self) -> list[float]:
        """Standard deviation of the vocabulary's embeddings, one a text encoder: the unit of the learning rate."""
        return [float(one.table.float().std(dim=0).mean()) for one in self.gradient_generator.encoders]

    def _start(self, encoder: TextEncoder, start: str, rng: torch.Generator) -> Tensor:
        count = self.restarts * self.n_tokens
        if start == "random":
            return _random_tokens(encoder, count, rng).view(self.restarts, self.n_tokens, -1).clone()
        rows = self._of_words(encoder, start).expand(self.restarts, -1, -1).clone()  # (R, n, C)
        noise = torch.randn(rows[1:].shape, generator=rng).to(rows)
        rows[1:] += JITTER * encoder.table.float().std(dim=0) * noise
        return rows

    def _of_words(self, encoder: TextEncoder, text: str) -> Tensor:
        own = _words(encoder, text)
        if len(own) > self.n_tokens:
            raise UserError(f"`start` {text!r} has {len(own)} tokens, more than `n_tokens` ({self.n_tokens}).")
        ids = torch.as_tensor([own[i % len(own)] for i in range(self.n_tokens)], device=encoder.table.device)
        return encoder.embed(ids)  # (n, C)

    def _check(self, state: PromptState) -> None:
        wanted = [tuple(one.shape[1:]) for one in self.tokens]
        found = [tuple(one.shape) for one in state.tokens]
        if wanted != found:
            raise UserError(f"The prompt's tokens must have the shapes {wanted}; the state has {found}.")


def as_pixels(images: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) in [0, 1] -> uint8 (B, H, W, 3), rounded as `DiffusersGenerator.generate` rounds.

    Raises:
        UserError: NaN.
    """
    if not bool(torch.isfinite(images).all()):
        raise UserError("The pipeline gave NaN for a prompt. Try a smaller `rate`, or precision='float32'.")
    pixels: NDArray[np.uint8] = (images * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def _template(template: str | None, encoders: Sequence[TextEncoder]) -> str:
    if template is None:
        words = DEFAULT_TEMPLATE.replace("{}", "")
        known = all(one.tokenizer.unk_token_id not in _plain_ids(one, words) for one in encoders)
        return DEFAULT_TEMPLATE if known else "{}"
    if not isinstance(template, str) or template.count("{}") != 1:
        raise UserError(f"`template` must have one {{}}, where the optimised tokens go; got {template!r}.")
    return template


def _place(encoder: TextEncoder, template: str, n_tokens: int) -> tuple[Tensor, slice]:
    """Ids (1, L) of the template with stand-ins for the free tokens, and where those are.

    Raises:
        UserError: no room for them, or they can't be told from the template's tokens.
    """
    around = _plain_ids(encoder, template.replace("{}", " "))
    special = len(encoder.tokenizer("")["input_ids"])
    if len(around) + special + n_tokens > encoder.max_tokens:
        most = encoder.max_tokens - special - len(around)
        raise UserError(f"`n_tokens` must be at most {max(most, 0)} in this template; got {n_tokens}.")
    for word in (*_STAND_INS, *(encoder.tokenizer.decode([i]).strip() for i in _ordinary(encoder)[:50].tolist())):
        alone = _plain_ids(encoder, word) if word else []
        if len(alone) != 1 or alone[0] in around or alone[0] == encoder.tokenizer.unk_token_id:
            continue
        ids = encoder.token_ids([template.replace("{}", " ".join([word] * n_tokens))])
        found = (ids[0] == alone[0]).nonzero()[:, 0].tolist()
        if found and found == list(range(found[0], found[0] + n_tokens)):
            return ids, slice(found[0], found[0] + n_tokens)
    raise UserError(f"`template` {template!r} can't hold optimised tokens: put spaces around its {{}}.")


def _plain_ids(encoder: TextEncoder, text: str) -> list[int]:
    return list(encoder.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _words(encoder: TextEncoder, text: str) -> list[int]:
    """Ids of the start's words.

    Raises:
        UserError: none, or words that the tokenizer doesn't know.
    """
    ids = _plain_ids(encoder, text.removeprefix("word:"))
    unknown, end = encoder.tokenizer.unk_token_id, encoder.tokenizer.eos_token_id
    if not ids or (unknown is not None and unknown != end and unknown in ids):  # CLIP's unknown token is its end token
        raise UserError(f"`start` {text!r} is no text that the tokenizer knows. Give other words, or 'random'.")
    return ids


def _random_tokens(encoder: TextEncoder, count: int, rng: torch.Generator) -> Tensor:
    """Embeddings (count, C) of random tokens."""
    ordinary = _ordinary(encoder)
    ids = ordinary[torch.randint(len(ordinary), (count,), generator=rng)]
    return encoder.embed(ids.to(encoder.table.device))


def _ordinary(encoder: TextEncoder) -> Tensor:
    """Ids of the vocabulary without special tokens."""
    special: set[Any] = set(encoder.tokenizer.all_special_ids)
    return torch.as_tensor([i for i in range(min(len(encoder.tokenizer), len(encoder.table))) if i not in special])
