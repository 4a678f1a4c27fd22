"""LoRA on a denoiser: put in, taken out, written as `genlens rank --lora` reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genlens.errors import UserError
from genlens.files import write_atomic
from genlens.generators.lora import WEIGHTS_FILE

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
"""The projections of every attention block, as in diffusers' own recipes."""
ADAPTER = "default"


def add_lora(denoiser: Any, rank: int, seed: int) -> None:
    """Put trainable low-rank layers beside the attention projections; everything else stays frozen.

    alpha equals the rank, so the product is added as it is. A is drawn by the seed, B is 0: nothing changes at first.

    Raises:
        UserError: the denoiser has no such projections.
    """
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(TARGETS), init_lora_weights="gaussian")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(config, denoiser, adapter_name=ADAPTER)
        except ValueError as error:
            raise UserError(f"LoRA finds no attention projections in {type(denoiser).__name__}.") from error
    for name, parameter in denoiser.named_parameters():
        parameter.requires_grad_("lora_" in name)


def lora_weights(trained: dict[str, Tensor]) -> dict[str, Tensor]:
    """Trained parameters by name -> "<layer>.lora_A.weight" and "<layer>.lora_B.weight"."""
    return {name.replace(f".{ADAPTER}.", "."): value.detach().cpu().contiguous() for name, value in trained.items()}


def save_lora(folder: Path, denoiser: str, weights: dict[str, Tensor]) -> Path:
    """Write LoRA weights in diffusers' form.

    Args:
        folder: made if it isn't there.
        denoiser: name of the pipeline's part, "unet" or "transformer".
        weights: as `lora_weights` gives them.

    Returns:
        The file.

    Raises:
        WriteError: it can't be written.
    """
    from safetensors.torch import save

    path = folder / WEIGHTS_FILE
    write_atomic(path, save({f"{denoiser}.{name}": value for name, value in weights.items()}))
    return path
