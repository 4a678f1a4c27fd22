"""Linear layers by oneDNN, on CPUs where torch's own route is slow.

torch multiplies float32 matrices with MKL, which leaves half of the speed of AMD's CPUs unused; oneDNN, which torch has
for its convolutions and its compiler, does not. `benchmarks/throughput.py` prints both speeds. Results differ by
rounding, as they do between two CPUs.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class OneDnnLinear(nn.Linear):
    """A linear layer that oneDNN carries out where no gradient is asked for."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        if torch.is_grad_enabled() or inputs.dtype != torch.float32 or inputs.device.type != "cpu":
            return super().forward(inputs)
        result: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, self.weight, self.bias, "none", [], "")
        return result


def use_onednn(part: Any) -> int:
    """Turn the float32 linear layers of a module on a CPU into `OneDnnLinear`s where that is faster.

    Returns:
        How many there were.
    """
    if not (isinstance(part, nn.Module) and linear_is_slow()):
        return 0
    found = [
        module
        for module in part.modules()
        if type(module) is nn.Linear and module.weight.device.type == "cpu" and module.weight.dtype == torch.float32
    ]
    for module in found:
        module.__class__ = OneDnnLinear  # weights, names and hooks stay
    return len(found)


@cache
def linear_is_slow() -> bool:
    """Whether torch multiplies with MKL on a CPU that MKL slows down, and has oneDNN beside it."""
    known = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return known and torch.backends.mkl.is_available() and _vendor() == "AuthenticAMD"


def _vendor() -> str:
    """Maker of the CPU as Linux tells it; "" elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")
