"""Which errors mean that memory ran out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genlens.memory import is_out_of_memory, release_memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("Failed to allocate memory for requested buffer of size 12"),
    ],
)
def test_out_of_memory(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), ValueError("out of memory"), KeyboardInterrupt(), None]
)
def test_anything_else(error: BaseException | None) -> None:
    assert not is_out_of_memory(error)


def test_what_torch_and_numpy_really_raise() -> None:
    with pytest.raises(RuntimeError) as found:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(found.value)
    with pytest.raises(MemoryError) as numpy_found:
        np.empty(2**60, dtype=np.uint8)
    assert is_out_of_memory(numpy_found.value)
    release_memory()
