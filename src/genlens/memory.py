"""Running out of memory is no error but a hint that a batch was too big."""

from __future__ import annotations

import gc
import sys

_PHRASES = ("out of memory", "can't allocate memory", "failed to allocate memory", "alloc_failed")
"""What torch (CUDA, MPS, CPU, cuDNN, cuBLAS) and ONNX Runtime say in RuntimeErrors of their own, in lower case."""


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error says that memory, of the machine or of a GPU, didn't suffice."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _PHRASES)


def release_memory() -> None:
    """Give back what nobody uses any more, a GPU's cached blocks among it."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
