"""Ways to run a pipeline faster. Each changes pixels, if only by rounding, so each is part of the fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genlens.errors import UserError

_DENOISERS = ("unet", "transformer", "prior")


def channels_last_is_faster(pipeline: Any) -> bool:
    """Whether convolutions run faster with the channels last: on CPUs (`benchmarks/throughput.py`) and CUDA."""
    return str(getattr(pipeline, "device", "cpu")).split(":")[0] in ("cpu", "cuda")


def use_channels_last(pipeline: Any) -> None:
    """Store the weights of convolutions with the channels last."""
    import torch

    for name in (*_DENOISERS, "vae"):
        part = getattr(pipeline, name, None)
        if isinstance(part, torch.nn.Module) and not _has_volumes(part):
            module: Any = part
            module.to(memory_format=torch.channels_last)


def compile_parts(pipeline: Any) -> None:
    """Have torch compile the denoiser and the decoder when they first run; takes from seconds to minutes, then pays."""
    import torch

    for name in _DENOISERS:
        part = getattr(pipeline, name, None)
        if isinstance(part, torch.nn.Module):
            part.compile()
    decoder = getattr(getattr(pipeline, "vae", None), "decoder", None)
    if isinstance(decoder, torch.nn.Module):
        decoder.compile()


def load_tiny_vae(source: str | Path, pipeline: Any, dtype: Any) -> Any:
    """Load a tiny decoder (TAESD) that fits a pipeline's latents.

    Args:
        source: folder or hub id of a diffusers `AutoencoderTiny`, such as madebyollin/taesd, with safetensors.
        pipeline: loaded; its own VAE says what latents look like.
        dtype: torch type of the weights.

    Raises:
        UserError: it can't be loaded, or is made for other latents.
    """
    from diffusers import AutoencoderTiny

    path = Path(source).expanduser()
    try:
        vae: Any = AutoencoderTiny.from_pretrained(
            str(path if path.exists() else source), torch_dtype=dtype, use_safetensors=True
        )
    except Exception as error:  # diffusers and the hub's client raise all kinds
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"`tiny_vae` {source} can't be loaded as an AutoencoderTiny: {line}") from error
    own = getattr(pipeline, "vae", None)
    if own is None:
        raise UserError(f"`tiny_vae` can't be used: a {type(pipeline).__name__} has no VAE.")
    wanted, found = (_latents(one) for one in (own, vae))
    if wanted != found:
        raise UserError(
            f"`tiny_vae` {source} decodes {found[0]} channels at scale {found[1]}; the pipeline's latents have "
            f"{wanted[0]} at scale {wanted[1]}. Take the tiny VAE made for this family of models."
        )
    return vae


def _latents(vae: Any) -> tuple[int, int]:
    """Channels of the latents, and pixels a latent has on each side."""
    config = vae.config
    blocks = getattr(config, "block_out_channels", None) or config.decoder_block_out_channels
    return int(config.latent_channels), 2 ** (len(blocks) - 1)


def _has_volumes(part: Any) -> bool:
    """Whether a part convolves in three dimensions, for which channels last is another format."""
    import torch

    return any(isinstance(module, torch.nn.Conv3d) for module in part.modules())
