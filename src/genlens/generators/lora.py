"""LoRA weights of denoisers whose pipelines have no loader for them (PixArt): W + B A, merged here.

Hu et al. 2021 (arXiv 2106.09685), equation 3, with the scale alpha / r = 1 that `genlens train-generator` trains with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlens.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS_FILE = "pytorch_lora_weights.safetensors"
"""The name under which diffusers looks for LoRA weights in a folder."""
DOWN, UP = ".lora_A.weight", ".lora_B.weight"


def merge_lora(module: nn.Module, weights: Mapping[str, Tensor]) -> int:
    """Add low-rank products to the linear layers of a module, in place.

    Args:
        module: the denoiser.
        weights: "<layer>.lora_A.weight" (r, inputs) and "<layer>.lora_B.weight" (outputs, r).

    Returns:
        Layers changed.

    Raises:
        UserError: a layer isn't there, or has another shape.
    """
    import torch

    layers = [name.removesuffix(DOWN) for name in weights if name.endswith(DOWN)]
    if not layers or set(weights) != {layer + end for layer in layers for end in (DOWN, UP)}:
        found = ", ".join(list(weights)[:3]) or "none"
        raise UserError(f"LoRA weights must be pairs of lora_A and lora_B; got {found}.")
    known = dict(module.named_modules())
    for layer in layers:
        weight = getattr(known.get(layer), "weight", None)
        down, up = weights[layer + DOWN], weights[layer + UP]
        if weight is None or tuple(weight.shape) != (len(up), down.shape[1]):
            raise UserError(f"LoRA weights for {layer} don't fit {type(module).__name__}.")
        with torch.no_grad():
            change = up.double() @ down.double()  # (outputs, inputs)
            weight.copy_((weight.double().cpu() + change.cpu()).to(weight.dtype))
    return len(layers)


def merge_lora_file(pipeline: Any, source: str) -> None:
    """Merge a file of LoRA weights, or a folder with `WEIGHTS_FILE`, into a pipeline's transformer.

    Raises:
        UserError: the pipeline has no transformer, or the file can't be read or doesn't fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    name = type(pipeline).__name__
    transformer = getattr(pipeline, "transformer", None)
    if transformer is None:
        raise UserError(f"`lora` can't be used: a {name} takes no LoRA weights.")
    path = Path(source) / WEIGHTS_FILE if Path(source).is_dir() else Path(source)
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"`lora` {source} can't be read for {name}: {reason}") from error
    merge_lora(transformer, {key.removeprefix("transformer."): value for key, value in found.items()})
