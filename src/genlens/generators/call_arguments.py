"""Arguments that a pipeline's `__call__` takes: found by its signature, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genlens.errors import UserError, check_integer
from genlens.generators.prompt_embeddings import parameters

_FIXED = {"use_resolution_binning": False, "clean_caption": False}
_OWN = {
    "prompt", "num_inference_steps", "guidance_scale", "height", "width", "generator", "output_type", "return_dict",
    "num_images_per_prompt", "latents", "prompt_embeds", "negative_prompt_embeds",
}  # fmt: skip


def checked_guidance(value: Any) -> float:
    """A guidance scale that is a number >= 0, or a `UserError`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise UserError(f"`guidance_scale` must be a number >= 0; got {value!r}.")
    return float(value)


def image_size(pipeline: Any, size: int | tuple[int, int] | None) -> tuple[int, int] | None:
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


def call_options(pipeline: Any, given: Mapping[str, Any]) -> dict[str, Any]:
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


def call_arguments(
    pipeline: Any, steps: int, guidance: float, size: tuple[int, int] | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments that are the same for every batch, those left out that the pipeline doesn't know."""
    accepted = parameters(pipeline.__call__)
    height, width = size or (None, None)
    arguments: dict[str, Any] = {
        "num_inference_steps": steps, "guidance_scale": guidance, "height": height, "width": width,
        "output_type": "np", **options,
    }  # fmt: skip
    arguments.pop("negative_prompt", None)  # goes in as embeddings
    return {name: value for name, value in arguments.items() if name in accepted and value is not None}
