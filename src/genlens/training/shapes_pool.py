"""A rolling pool of training rows, already drawn and encoded, each used a few times with other noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from genlens.datasets import shapes
from genlens.training.shapes_data import Rows, sample_rows
from genlens.training.shapes_layout import layout_of, with_channel_means
from genlens.training.shapes_vae import LATENT_CHANNELS, to_tensor

if TYPE_CHECKING:
    from diffusers import AutoencoderTiny
    from transformers import CLIPTextModel, PreTrainedTokenizerFast

TEXT_TOKENS = 40
"""The longest caption of six segments, with its start and end tokens."""


@dataclass
class Batch:
    """Rows as the denoiser sees them.

    Attributes:
        latents: (N, 16, 8, 8), the pictures.
        text: (N, 40, 128) last hidden states of the text encoder; mask: (N, 40).
        means: (N, 16) channel means the noise must have; coupled: (N,) whether it must (presence-only captions).
    """

    latents: Tensor
    text: Tensor
    mask: Tensor
    means: Tensor
    coupled: Tensor

    def rows(self, index: Tensor) -> Batch:
        """The rows at `index`."""
        return Batch(*(value[index] for value in vars(self).values()))

    def noise(self, rng: torch.Generator, boost: float = 1.0, quiet: float = 0.5) -> Tensor:
        """Fresh standard normal noise, with the layout's channel means where the caption leaves the layout open.

        These means, but for a share `quiet` of the rows, are multiplied by up to `boost`, which makes the layout easier
        to find in the noise.
        """
        n = len(self.latents)
        noise = torch.randn(self.latents.shape, generator=rng)
        louder = 1 + (boost - 1) * ((torch.rand(n, 1, generator=rng) - quiet) / (1 - quiet)).clamp(min=0)
        coupled = with_channel_means(noise, self.means * louder)
        return torch.where(self.coupled[:, None, None, None], coupled, noise)


@dataclass
class Captioned:
    """Rows with their captions, and the channel means that the noise of each must have if it is coupled."""

    rows: Rows
    captions: list[str]
    means: Tensor
    coupled: Tensor


def sample_captioned(n: int, seed: int, presence_share: float) -> Captioned:
    """Fresh rows; a share of them has presence-only captions and the layout that its noise will ask for."""
    rng = torch.Generator().manual_seed(seed)
    rows = sample_rows(n, seed)
    coupled = torch.rand(n, generator=rng) < presence_share
    means = torch.randn(n, LATENT_CHANNELS, generator=rng)
    slots = np.where(coupled.numpy()[:, None, None], layout_of(means), rows.slots)
    captions = [
        shapes.presence_caption(row) if free else caption
        for row, free, caption in zip(rows.presence, coupled, rows.captions(), strict=True)
    ]
    return Captioned(Rows(rows.presence, slots), captions, means, coupled)


@dataclass
class Encoders:
    """The frozen stages before the denoiser."""

    vae: AutoencoderTiny
    tokenizer: PreTrainedTokenizerFast
    text_encoder: CLIPTextModel

    @torch.no_grad()
    def words(self, captions: list[str], length: int = TEXT_TOKENS) -> tuple[Tensor, Tensor]:
        """Hidden states (N, length, 128) and mask (N, length) of captions."""
        tokens: Any = self.tokenizer(captions, padding="max_length", max_length=length, return_tensors="pt")
        hidden = self.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
        return hidden.float(), tokens.attention_mask

    @torch.no_grad()
    def pictures(self, rows: Rows) -> Tensor:
        """Latents (N, 16, 8, 8) of drawings."""
        latents: Tensor = self.vae.encode(to_tensor(rows.images())).latents.float()
        return latents

    def encode(self, rows: Captioned) -> Batch:
        """Captioned rows as the denoiser sees them."""
        with torch.autocast("cpu", torch.bfloat16):
            text, mask = self.words(rows.captions)
            latents = self.pictures(rows.rows)
        return Batch(latents, text, mask, rows.means, rows.coupled)

    def batch(self, n: int, seed: int, presence_share: float) -> Batch:
        """Fresh rows; see `sample_captioned`."""
        return self.encode(sample_captioned(n, seed, presence_share))


class Pool:
    """`size` rows of which every `take` replaces a part by fresh ones, so that a row is used about `reuse` times."""

    def __init__(self, encoders: Encoders, size: int, reuse: int, seed: int, presence_share: float) -> None:
        self.encoders, self.reuse, self.seed, self.presence_share = encoders, reuse, seed, presence_share
        self.rng = torch.Generator().manual_seed(seed)
        self.fresh = 0
        parts = [self._next(256) for _ in range(size // 256)]
        self.rows = Batch(*(torch.cat(values) for values in zip(*(vars(p).values() for p in parts), strict=True)))

    def _next(self, n: int) -> Batch:
        self.fresh += 1
        return self.encoders.batch(n, self.seed + self.fresh, self.presence_share)

    def take(self, n: int) -> Batch:
        """`n` rows at random, after `n / reuse` rows were replaced."""
        size = len(self.rows.latents)
        fresh = self._next(n // self.reuse)
        where = torch.randperm(size, generator=self.rng)[: len(fresh.latents)]
        for name, values in vars(fresh).items():
            getattr(self.rows, name)[where] = values
        return self.rows.rows(torch.randint(size, (n,), generator=self.rng))
