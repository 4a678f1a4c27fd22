"""A diffusers pipeline with gradients from its pictures back to the prompt's embeddings.

The pipeline's own `__call__` runs, without the `no_grad` around it, so guidance, schedulers and decoding are those of
`DiffusersGenerator.generate` and so are the pictures. Gradients flow through the decoder and the last K of n denoising
steps: DRaFT-K (Clark et al. 2023, arXiv 2309.17400, section 4.1), K = n being backpropagation through everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from genlens.errors import UserError, check_integer
from genlens.generators.diffusers import DiffusersGenerator
from genlens.generators.pipelines import quiet
from genlens.generators.prompt_embeddings import Embedding, PromptEmbeddings, without_padding
from genlens.generators.text_embeddings import TextEncoder, given_prompts, swapped, text_encoders

MAX_PLAIN_ATTENTION = 1024
"""Tokens of a picture up to which attention on a CPU is plain matrix products: twice as fast backwards, but the matrix
is kept."""
MAX_WITHOUT_CHECKPOINTING = 128 * 128
"""Pixels of a picture up to which checkpointing is off by default."""


@dataclass(frozen=True)
class Conditioning:
    """What the text encoders make of B prompts.

    Attributes:
        arguments: of the pipeline's `__call__`, each (B, …).
    """

    arguments: Embedding

    def __len__(self) -> int:
        return len(next(iter(self.arguments.values())))

    def rows(self, index: Tensor) -> Conditioning:
        """The rows of an index (M,), which may repeat."""
        return Conditioning({name: value.index_select(0, index) for name, value in self.arguments.items()})


class GradientGenerator:
    """A generator's pipeline, differentiable in the embeddings of its prompt.

    All weights of the pipeline are frozen: they take no gradient from now on.

    Args:
        generator: loaded, not compiled. Its steps, guidance, size and options hold here too.

    Attributes:
        generator: as given.
        encoders: the text encoders, one or several.

    Raises:
        UserError: no text encoder, one of an unknown kind, a compiled pipeline, several windows, or a decoder
            that changes its type.
    """

    def __init__(self, generator: DiffusersGenerator) -> None:
        pipeline = getattr(generator, "pipeline", None)
        if pipeline is None or not isinstance(generator, DiffusersGenerator):
            raise UserError(
                f"Gradients need a text-to-image pipeline of diffusers; {type(generator).__name__} has no text encoder."
            )
        if generator.settings["compile"]:
            raise UserError("Gradients need a generator that isn't compiled. Leave the option `compile` out.")
        if generator.settings.get("windows", 1) > 1:
            raise UserError("Soft prompts are read in one window. Leave the option `windows` out.")
        decoder: Any = getattr(pipeline, "vae", None)
        if getattr(getattr(decoder, "config", None), "force_upcast", False) and decoder.dtype == torch.float16:
            raise UserError("The decoder leaves float16 while it runs, which has no gradient. Pass dtype='bfloat16'.")
        self.generator, self.pipeline = generator, pipeline
        options = generator.options
        self.encoders: tuple[TextEncoder, ...] = text_encoders(pipeline, options.get("max_sequence_length"))
        self._embeddings = _GivenEmbeddings(pipeline, options, guided=generator.guidance_scale > 1)
        self._denoiser = next(name for name in ("unet", "transformer") if getattr(pipeline, name, None) is not None)
        for part in pipeline.components.values():
            if isinstance(part, nn.Module):
                part.requires_grad_(False).eval()

    @property
    def device(self) -> torch.device:
        """Where the text encoders' tables lie."""
        return self.encoders[0].table.device

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of the pictures in pixels; None where the pipeline doesn't say."""
        return self.generator.size

    def token_ids(self, texts: Sequence[str]) -> list[Tensor]:
        """Token ids of B texts, int64 (B, L) for each text encoder, padded as the pipeline pads.

        Raises:
            CaptionError: a text is too long.
        """
        return [encoder.token_ids(texts) for encoder in self.encoders]

    def embed(self, ids: Sequence[Tensor]) -> list[Tensor]:
        """Token embeddings float32 (B, L, C) of ids (B, L), for each text encoder."""
        return [encoder.embed(rows) for encoder, rows in zip(self.encoders, ids, strict=True)]

    def condition(self, embeddings: Sequence[Tensor], ids: Sequence[Tensor]) -> Conditioning:
        """Through the text encoders, with gradient to the embeddings.

        Args:
            embeddings: (B, L, C) for each text encoder; what is read.
            ids: int64 (B, L) for each text encoder; where a prompt ends, which decides pooling and masks.

        Raises:
            UserError: the pipeline's way of encoding prompts isn't known.
        """
        with quiet(), given_prompts(self.pipeline, self.encoders, ids, embeddings):
            return Conditioning(self._embeddings.given(len(ids[0])))

    def render(
        self,
        conditioning: Conditioning,
        seeds: Sequence[int],
        *,
        last_steps: int | None = 1,
        checkpointing: bool | None = None,
    ) -> Tensor:
        """Pictures float32 (B, 3, H, W) in [0, 1] of B prompts and B seeds, with gradient to the prompts.

        Args:
            conditioning: B rows.
            seeds: of the noise, one a picture; the same picture as `DiffusersGenerator.generate` with that seed.
            last_steps: K, denoising steps through which gradients flow, counted from the last; None: all. Those before
                keep nothing for the way back.
            checkpointing: keep the inputs of the denoiser's and the decoder's blocks only and compute the rest again
                on the way back: less memory, more time, same gradient. None: for pictures of more than 128 x 128
                pixels.

        Raises:
            UserError: `last_steps` < 1, or as many seeds as prompts aren't given.
        """
        if last_steps is not None:
            check_integer("last_steps", last_steps, 1)
        if len(seeds) != len(conditioning):
            raise UserError(f"`seeds` must be one a prompt; got {len(seeds)} for {len(conditioning)} prompts.")
        noise = [torch.Generator("cpu").manual_seed(int(seed)) for seed in seeds]
        if checkpointing is None:
            checkpointing = self.size is None or self.size[0] * self.size[1] > MAX_WITHOUT_CHECKPOINTING
        again = _Checkpoint(self._plain_attention()) if checkpointing else None
        denoiser = _LastSteps(self.pipeline, getattr(self.pipeline, self._denoiser), last_steps, again)
        call: Any = type(self.pipeline).__call__
        whole = getattr(call, "__wrapped__", call)  # without its `no_grad`
        arguments = self._embeddings.called_with(conditioning.arguments)
        with quiet(), swapped(self.pipeline, {self._denoiser: denoiser}), _attention(self._plain_attention()):
            _set_checkpointing(self.pipeline.vae, again)
            images = whole(
                self.pipeline, **arguments, **self.generator.call_arguments | {"output_type": "pt"}, generator=noise
            ).images
        result: Tensor = images.float()  # (B, 3, H, W)
        return result

    def _plain_attention(self) -> bool:
        """Whether plain attention is faster backwards and its matrix small."""
        height, width = self.size or (2**16, 2**16)
        factor = int(getattr(self.pipeline, "vae_scale_factor", 1))
        return (height // factor) * (width // factor) <= MAX_PLAIN_ATTENTION and self.device.type == "cpu"


class _GivenEmbeddings(PromptEmbeddings):
    """What `encode_prompt` makes of the prompts it reads; nothing is kept but the negative prompt."""

    def given(self, count: int) -> Embedding:
        """Arguments of `__call__` for the prompts that the tokenizers hand out, (count, …)."""
        found = None if self._names is None else self._call([""] * count, guided=False)
        if found is None:
            raise UserError(
                f"{type(self._pipeline).__name__} encodes its prompts in a way that isn't known here. Soft prompts "
                "work with Stable Diffusion 1 and 2, SDXL, latent consistency and PixArt pipelines."
            )
        return found

    def called_with(self, told: Embedding) -> dict[str, Any]:
        """All arguments that say what to show: prompts, and the negative prompt as often."""
        if self._guided and not self._negative:
            with torch.no_grad(), quiet():
                both = self._call([""], guided=True) or {}
            self._negative = {name: value for name, value in both.items() if name.startswith("negative_")}
        count = len(next(iter(told.values())))
        negative = {name: value.expand(count, *value.shape[1:]) for name, value in self._negative.items()}
        if self._masked:
            told, negative = without_padding(told, negative)
        unsaid: dict[str, Any] = {"negative_prompt": None} if "negative_prompt" in self._accepted else {}
        return unsaid | told | negative


class _LastSteps:
    """Stands in for the denoiser: calls before the last K keep nothing for the way back."""

    def __init__(self, pipeline: Any, denoiser: Any, last_steps: int | None, again: _Checkpoint | None) -> None:
        self._pipeline, self._denoiser = pipeline, denoiser
        self._last_steps, self._calls = last_steps, 0
        self._whole = None if _set_checkpointing(denoiser, again) else again

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        steps = len(self._pipeline.scheduler.timesteps)
        self._calls += 1
        if self._last_steps is not None and self._calls <= steps - self._last_steps:
            with torch.no_grad():
                return self._denoiser(*inputs, **named)
        if self._whole is not None and torch.is_grad_enabled():
            return self._whole(self._denoiser, *inputs, **named)
        return self._denoiser(*inputs, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._denoiser, name)


@dataclass(frozen=True)
class _Checkpoint:
    """Runs a block whose inside is forgotten and computed again on the way back, with the same kind of attention."""

    plain_attention: bool

    def __call__(self, block: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
        def run(*inputs: Any, **named: Any) -> Any:
            with _attention(self.plain_attention):
                return block(*inputs, **named)

        return checkpoint(run, *inputs, use_reentrant=False, preserve_rng_state=False, **named)


@contextmanager
def _attention(plain: bool) -> Iterator[None]:
    if plain and torch.is_grad_enabled():
        with sdpa_kernel(SDPBackend.MATH):
            yield
    else:
        yield


def _set_checkpointing(part: Any, again: _Checkpoint | None) -> bool:
    """Whether a model of diffusers can checkpoint its blocks; has it do so from now on, or not."""
    if not getattr(part, "_supports_gradient_checkpointing", False):
        return False
    if again is not None:
        part.enable_gradient_checkpointing(again)
    elif part.is_gradient_checkpointing:
        part.disable_gradient_checkpointing()
    return True
