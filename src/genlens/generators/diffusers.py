"""Any diffusers text-to-image pipeline as a generator: its own `__call__` renders, one random stream an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.errors import UserError, check_integer
from genlens.generators.batch_size import BatchSize
from genlens.generators.call_arguments import call_arguments, call_options, checked_guidance, image_size
from genlens.generators.failures import explained, refuse_nan
from genlens.generators.fingerprint import pipeline_fingerprint
from genlens.generators.linear import use_onednn
from genlens.generators.pipelines import load_pipeline, quiet
from genlens.generators.prompt_embeddings import PromptEmbeddings, check_lengths, parameters, token_limits
from genlens.generators.prompt_windows import Limits, check_windows, token_counts
from genlens.generators.speed import channels_last_is_faster, compile_parts, use_channels_last
from genlens.memory import is_out_of_memory, release_memory

LCM_DEFAULTS = {"num_inference_steps": 4, "guidance_scale": 1.0}
"""Steps and guidance of latent consistency models (Luo et al. 2023, arXiv 2310.04378 and 2311.05556)."""


class DiffusersGenerator:
    """A generator around a loaded diffusers pipeline.

    Noise is drawn on the CPU from one `torch.Generator` an image, also the noise that ancestral and consistency
    samplers add at every step, so an image depends neither on its batch nor on the device (up to rounding: at most one
    grey level in float32). Guidance is used where `guidance_scale` > 1, against the pipeline's own negative prompt.

    Args:
        pipeline: a text-to-image pipeline on its device, its safety checker off.
        num_inference_steps: steps; None: the pipeline's own default.
        guidance_scale: strength of classifier-free guidance; <= 1 is off; None: the pipeline's own default.
        size: side or (height, width) of the images in pixels; None: the size the pipeline was trained for.
        batch_size: images at once; None: by their size, and on a GPU of CUDA doubled while its memory has room. Halved,
            for good, when memory runs out.
        threads: torch threads while rendering; None: leave them alone.
        channels_last: memory format of the convolutions; None: where it is faster.
        compile: have torch compile the denoiser and the decoder; pays on GPUs and for many images.
        options: further arguments of the pipeline's `__call__`, such as `negative_prompt` or `clip_skip`.
        windows: windows of the text encoder that each caption is read in, for captions longer than one of them.

    Raises:
        UserError: an argument is out of range or unknown to the pipeline.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        size: int | tuple[int, int] | None = None,
        batch_size: int | None = None,
        threads: int | None = None,
        channels_last: bool | None = None,
        compile: bool = False,
        options: Mapping[str, Any] | None = None,
        windows: int = 1,
    ) -> None:
        self.pipeline = pipeline
        self._windows = check_integer("windows", windows, 1)
        accepted = parameters(pipeline.__call__)
        own = {name: accepted[name].default for name in ("num_inference_steps", "guidance_scale") if name in accepted}
        steps = own.get("num_inference_steps", 1) if num_inference_steps is None else num_inference_steps
        self.num_inference_steps = check_integer("num_inference_steps", steps, 1)
        guidance = own.get("guidance_scale", 1.0) if guidance_scale is None else guidance_scale
        self.guidance_scale = checked_guidance(guidance)
        self.size = image_size(pipeline, size)  # (height, width)
        given = None if batch_size is None else check_integer("batch_size", batch_size, 1)
        self._batch = BatchSize(given, self.size, self.device)
        self._threads = None if threads is None else check_integer("threads", threads, 1)
        self._options = call_options(pipeline, options or {})
        self._limits = token_limits(pipeline, self._options.get("max_sequence_length"))
        for tokenizer, limit in self._limits:
            tokenizer.model_max_length = min(limit, tokenizer.model_max_length)
        self._embeddings = PromptEmbeddings(
            pipeline, self._options, guided=self.guidance_scale > 1, windows=self._windows, limits=self._limits
        )
        self._call = call_arguments(
            pipeline, self.num_inference_steps, self.guidance_scale, self.size, self._options
        )
        pipeline.set_progress_bar_config(disable=True)
        self._channels_last = channels_last_is_faster(pipeline) if channels_last is None else channels_last
        self._compile = compile
        if self._channels_last:
            use_channels_last(pipeline)
        if compile:
            with quiet():
                compile_parts(pipeline)
        else:
            for part in pipeline.components.values():
                use_onednn(part)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        size: int | tuple[int, int] | None = None,
        scheduler: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        batch_size: int | None = None,
        lora: str | Path | Sequence[str | Path] | None = None,
        lcm: bool = False,
        tiny_vae: str | Path | None = None,
        threads: int | None = None,
        channels_last: bool | None = None,
        compile: bool = False,
        options: Mapping[str, Any] | None = None,
        windows: int = 1,
    ) -> DiffusersGenerator:
        """Load a pipeline from a folder or the Hugging Face hub. The safety checker stays off: it blackens images.

        Args:
            source: folder of the pipeline, or its hub id. A file `genlens.json` in it may hold the defaults of
                `num_inference_steps` and `guidance_scale`.
            num_inference_steps: see the class.
            guidance_scale: see the class.
            size: see the class.
            scheduler: name of a diffusers scheduler to use instead, e.g. "DDIM" or "EulerAncestralDiscreteScheduler".
            dtype: "auto" (float32 on the CPU, float16 on a GPU), "float32", "float16" or "bfloat16".
            device: "auto" (a GPU if there is one) or a torch device.
            batch_size: see the class.
            lora: LoRA weights, one or several, merged into the pipeline.
            lcm: sample as a latent consistency model: its scheduler, and 4 steps without guidance by default.
            tiny_vae: folder or hub id of a tiny decoder (TAESD) that takes the VAE's place.
            threads: see the class.
            channels_last: see the class.
            compile: see the class.
            options: see the class.
            windows: see the class.

        Raises:
            UserError: it isn't there, isn't a text-to-image pipeline, or an option doesn't fit it.
        """
        if num_inference_steps is not None:
            check_integer("num_inference_steps", num_inference_steps, 1)
        adapters = [] if lora is None else [lora] if isinstance(lora, (str, Path)) else list(lora)
        pipeline, defaults = load_pipeline(
            source, dtype=dtype, device=device, scheduler=scheduler, lora=adapters, lcm=lcm, tiny_vae=tiny_vae
        )
        chosen: dict[str, Any] = {**defaults, **(LCM_DEFAULTS if lcm else {})}
        given = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
        chosen.update({name: value for name, value in given.items() if value is not None})
        return cls(
            pipeline, **chosen, size=size, batch_size=batch_size, threads=threads, channels_last=channels_last,
            compile=compile, options=options, windows=windows,
        )  # fmt: skip

    @property
    def batch_size(self) -> int:
        """Images rendered at once from now on."""
        return self._batch.value

    @property
    def device(self) -> str:
        """The torch device that renders."""
        return str(getattr(self.pipeline, "device", "cpu"))

    @property
    def settings(self) -> dict[str, Any]:
        """How the pipeline is called, as JSON values."""
        return {
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
            "size": list(self.size) if self.size else None,
            "options": {name: repr(value) for name, value in sorted(self._options.items())},
            "channels_last": self._channels_last,
            "compile": self._compile,
        } | ({"windows": self._windows} if self._windows > 1 else {})

    @property
    def options(self) -> dict[str, Any]:
        """Further arguments of the pipeline's `__call__`: the user's, and those that always hold."""
        return dict(self._options)

    @property
    def call_arguments(self) -> dict[str, Any]:
        """Arguments of the pipeline's `__call__` that are the same for every batch."""
        return dict(self._call)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all weights, configurations, tokenizers and `settings`."""
        return pipeline_fingerprint(self.pipeline, self.settings)

    def check_captions(self, captions: Sequence[str]) -> None:
        """Refuse captions that a text encoder would cut.

        Raises:
            CaptionError: says how many are too long, the longest, its number of tokens and the limit.
        """
        if self._windows == 1:
            check_lengths(self._limits, captions)
        else:
            check_windows(self._limits, captions, self._windows)

    @property
    def token_limit(self) -> int | None:
        """Tokens that the text encoders take in one window, special ones included; None: there is no limit."""
        return min((limit for _, limit in self._limits), default=None)

    @property
    def limits(self) -> Limits:
        """Each tokenizer with the number of tokens, special ones included, that its text encoder takes."""
        return list(self._limits)

    def count_tokens(self, captions: Sequence[str]) -> list[int]:
        """Tokens of captions, special ones included, to be held against `token_limit`."""
        return token_counts(self._limits, captions)

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Render one image for each pair of caption and seed, `batch_size` at a time.

        Returns:
            uint8 array (B, H, W, 3).

        Raises:
            CaptionError: a caption is too long.
            UserError: the pipeline refuses its arguments, can't be compiled or gives NaN, or the memory doesn't hold a
                single image.
        """
        if len(captions) != len(seeds):
            raise UserError(f"`captions` and `seeds` must be equally many; got {len(captions)} and {len(seeds)}.")
        self.check_captions(list(dict.fromkeys(captions)))
        images: list[NDArray[np.uint8]] = []
        start = 0
        with self._own_threads():
            while start < len(captions):
                part = slice(start, start + self.batch_size)
                batch = self._render(captions[part], seeds[part])
                if batch is not None:
                    images.append(batch)
                    start += len(batch)
        return np.concatenate(images)

    def _render(self, captions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8] | None:
        """One call of the pipeline; None, with a smaller `batch_size` from now on, if the memory didn't hold it."""
        import torch

        self._batch.begin()
        try:
            with torch.inference_mode(), quiet():
                told = self._embeddings.arguments(captions)
                noise = [torch.Generator("cpu").manual_seed(int(seed)) for seed in seeds]
                images = self.pipeline(**told, **self._call, generator=noise).images  # (B, H, W, 3) in [0, 1]
        except (RuntimeError, MemoryError, TypeError, ValueError) as error:
            if not is_out_of_memory(error):
                raise explained(error, self.pipeline, compiled=self._compile) from error
            if len(captions) == 1:
                raise UserError(
                    "The memory doesn't hold one image. Choose a smaller `size`, dtype='float16' on a GPU, or another "
                    "`device`."
                ) from error
            self._batch.failed(len(captions))
            images = None
        if images is None:
            release_memory()
            return None
        self._batch.fitted(len(captions))
        array = np.asarray(images, dtype=np.float32)
        refuse_nan(array, self.pipeline)
        return (array * 255).round().clip(0, 255).astype(np.uint8)

    @contextmanager
    def _own_threads(self) -> Iterator[None]:
        import torch

        before = torch.get_num_threads()
        if self._threads is not None:
            torch.set_num_threads(self._threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
