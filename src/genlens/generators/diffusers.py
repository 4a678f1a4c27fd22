"""Any diffusers text-to-image pipeline as a generator: its own `__call__` renders, one random stream an image."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.errors import UserError, check_integer
from genlens.generators.fingerprint import pipeline_fingerprint
from genlens.generators.pipelines import load_pipeline, quiet
from genlens.generators.prompt_embeddings import PromptEmbeddings, check_lengths, parameters, token_limits

LCM_DEFAULTS = {"num_inference_steps": 4, "guidance_scale": 1.0}
"""Steps and guidance of latent consistency models (Luo et al. 2023, arXiv 2310.04378 and 2311.05556)."""
_FIXED = {"use_resolution_binning": False, "clean_caption": False}
_OWN = {
    "prompt", "num_inference_steps", "guidance_scale", "height", "width", "generator", "output_type", "return_dict",
    "num_images_per_prompt", "latents", "prompt_embeds", "negative_prompt_embeds",
}  # fmt: skip
_BATCH_PIXELS = 2**22
_MAX_BATCH = 64


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
        batch_size: images at once; None: by their size. Halved, for good, when a GPU runs out of memory.
        threads: torch threads while rendering; None: leave them alone.
        options: further arguments of the pipeline's `__call__`, such as `negative_prompt` or `clip_skip`.

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
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.pipeline = pipeline
        accepted = parameters(pipeline.__call__)
        own = {name: accepted[name].default for name in ("num_inference_steps", "guidance_scale") if name in accepted}
        steps = own.get("num_inference_steps", 1) if num_inference_steps is None else num_inference_steps
        self.num_inference_steps = check_integer("num_inference_steps", steps, 1)
        self.guidance_scale = _guidance(own.get("guidance_scale", 1.0) if guidance_scale is None else guidance_scale)
        self.size = _size(pipeline, size)  # (height, width)
        self.batch_size = (
            _automatic_batch(self.size) if batch_size is None else check_integer("batch_size", batch_size, 1)
        )
        self._threads = None if threads is None else check_integer("threads", threads, 1)
        self._options = _options(pipeline, options or {})
        self._limits = token_limits(pipeline, self._options.get("max_sequence_length"))
        for tokenizer, limit in self._limits:
            tokenizer.model_max_length = min(limit, tokenizer.model_max_length)
        self._embeddings = PromptEmbeddings(pipeline, self._options, guided=self.guidance_scale > 1)
        self._call = self._call_arguments()
        pipeline.set_progress_bar_config(disable=True)

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
        threads: int | None = None,
        options: Mapping[str, Any] | None = None,
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
            threads: see the class.
            options: see the class.

        Raises:
            UserError: it isn't there, isn't a text-to-image pipeline, or an option doesn't fit it.
        """
        if num_inference_steps is not None:
            check_integer("num_inference_steps", num_inference_steps, 1)
        adapters = [] if lora is None else [lora] if isinstance(lora, (str, Path)) else list(lora)
        pipeline, defaults = load_pipeline(
            source, dtype=dtype, device=device, scheduler=scheduler, lora=adapters, lcm=lcm
        )
        chosen: dict[str, Any] = {**defaults, **(LCM_DEFAULTS if lcm else {})}
        given = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
        chosen.update({name: value for name, value in given.items() if value is not None})
        return cls(pipeline, **chosen, size=size, batch_size=batch_size, threads=threads, options=options)

    @property
    def settings(self) -> dict[str, Any]:
        """How the pipeline is called, as JSON values."""
        return {
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
            "size": list(self.size) if self.size else None,
            "options": {name: repr(value) for name, value in sorted(self._options.items())},
        }

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all weights, configurations, tokenizers and `settings`."""
        return pipeline_fingerprint(self.pipeline, self.settings)

    def check_captions(self, captions: Sequence[str]) -> None:
        """Refuse captions that a text encoder would cut.

        Raises:
            CaptionError: says how many are too long, the longest, its number of tokens and the limit.
        """
        check_lengths(self._limits, captions)

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Render one image for each pair of caption and seed, `batch_size` at a time.

        Returns:
            uint8 array (B, H, W, 3).

        Raises:
            CaptionError: a caption is too long.
            UserError: the pipeline refuses its arguments or gives NaN, or a GPU's memory doesn't hold a single image.
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

        try:
            with torch.inference_mode(), quiet():
                told = self._embeddings.arguments(captions)
                noise = [torch.Generator("cpu").manual_seed(int(seed)) for seed in seeds]
                images = self.pipeline(**told, **self._call, generator=noise).images  # (B, H, W, 3) in [0, 1]
        except torch.OutOfMemoryError as error:
            if len(captions) == 1:
                raise UserError(
                    "The GPU's memory doesn't hold one image. Choose a smaller `size`, dtype='float16' or device='cpu'."
                ) from error
            self.batch_size = len(captions) // 2
            images = None
        except (TypeError, ValueError) as error:
            name, reason = type(self.pipeline).__name__, next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(f"{name} refused the call: {reason} Check `scheduler`, `size` and `options`.") from error
        if images is None:
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return None
        array = np.asarray(images, dtype=np.float32)
        if not np.isfinite(array).all():
            bad = int((~np.isfinite(array)).reshape(len(array), -1).any(axis=1).sum())
            dtype = str(self.pipeline.dtype).removeprefix("torch.")
            raise UserError(
                f"The pipeline gave NaN in {bad} of {len(array)} images at dtype {dtype}. "
                "Try another `dtype`: float32, or bfloat16 on a GPU."
            )
        return (array * 255).round().clip(0, 255).astype(np.uint8)

    def _call_arguments(self) -> dict[str, Any]:
        """Arguments of the pipeline's `__call__` that are the same for every batch."""
        accepted = parameters(self.pipeline.__call__)
        height, width = self.size or (None, None)
        arguments: dict[str, Any] = {
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
            "height": height,
            "width": width,
            "output_type": "np",
        } | self._options
        arguments.pop("negative_prompt", None)  # goes in as embeddings
        return {name: value for name, value in arguments.items() if name in accepted and value is not None}

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


def _guidance(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise UserError(f"`guidance_scale` must be a number >= 0; got {value!r}.")
    return float(value)


def _size(pipeline: Any, size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """(height, width): the given one, checked, or the one the pipeline was trained for; None where it doesn't say."""
    factor = int(getattr(pipeline, "vae_scale_factor", 1))
    if size is None:
        model = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
        sample = getattr(getattr(model, "config", None), "sample_size", None)
        if sample is None:
            return None
        height, width = (sample, sample) if isinstance(sample, int) else sample
        return int(height) * factor, int(width) * factor
    height, width = (size, size) if isinstance(size, int) else size
    for side in (height, width):
        if check_integer("size", side, 1) % factor:
            raise UserError(f"`size` must be a multiple of {factor}, the pipeline's scale; got {side}.")
    return int(height), int(width)


def _automatic_batch(size: tuple[int, int] | None) -> int:
    return 4 if size is None else max(1, min(_MAX_BATCH, _BATCH_PIXELS // (size[0] * size[1])))


def _options(pipeline: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Further arguments of `__call__`: fixed ones where the pipeline knows them, then the user's."""
    accepted = parameters(pipeline.__call__)
    for name in given:
        if name not in accepted or name in _OWN:
            raise UserError(f"`options` has '{name}', which {type(pipeline).__name__} doesn't take as an option.")
    options: dict[str, Any] = {name: value for name, value in _FIXED.items() if name in accepted}
    longest = accepted.get("max_sequence_length")
    if longest is not None:
        tokenizers = [part for name, part in pipeline.components.items() if name.startswith("tokenizer") and part]
        known = [int(part.model_max_length) for part in tokenizers]
        options["max_sequence_length"] = min(int(longest.default), max(known, default=int(longest.default)))
    return options | dict(given)
