"""A hash of what a pipeline is, so that stored images are reused only by the pipeline that made them."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_VOLATILE = ("transformers_version", "torch_dtype", "dtype", "_name_or_path", "_diffusers_version")


def pipeline_fingerprint(pipeline: Any, settings: dict[str, Any]) -> str:
    """Hash of a loaded pipeline and how it is called: 32 hexadecimal digits.

    It covers what runs, whatever file it came from: every weight of every part, bit by bit and with its type (merged
    LoRA weights included), every part's configuration and every tokenizer's vocabulary. Where the files lie and which
    versions wrote them doesn't count.

    Args:
        pipeline: a diffusers pipeline.
        settings: JSON values that images depend on, such as steps and guidance.
    """
    digest = blake2b(digest_size=16, person=b"genlens model")
    _add(digest, [type(pipeline).__name__, settings])
    for name, part in sorted(pipeline.components.items()):
        _add(digest, [name, type(part).__name__, _description(part)])
        if hasattr(part, "state_dict"):
            for key, tensor in sorted(part.state_dict().items()):
                _add(digest, [key, str(tensor.dtype), list(tensor.shape)])
                digest.update(_bytes(tensor))
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    digest.update(json.dumps(value, sort_keys=True, default=str).encode())


def _description(part: Any) -> Any:
    """A part's configuration, or a tokenizer's whole content."""
    if hasattr(part, "get_vocab"):
        return [part.get_vocab(), int(part.model_max_length), str(part.special_tokens_map), _rules(part)]
    config = getattr(part, "config", None)
    if config is None:
        return None
    entries = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    return {name: value for name, value in entries.items() if name not in _VOLATILE}


def _rules(tokenizer: Any) -> Any:
    """How a fast tokenizer splits text (padding and truncation are set anew at each call)."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    content = json.loads(backend.to_str())
    return {name: content.get(name) for name in ("normalizer", "pre_tokenizer", "post_processor", "model")}


def _bytes(tensor: torch.Tensor) -> Any:
    import torch

    flat = tensor.detach().to("cpu").contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
