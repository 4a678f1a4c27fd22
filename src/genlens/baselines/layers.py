"""Which layer Grad-CAM looks at, and how that layer's output lies in the picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from genlens.errors import UserError

Kind = Literal["channels first", "channels last", "tokens"]

_MAX_PREFIX = 16
_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish)


@dataclass(frozen=True)
class Layout:
    """How a layer's output maps to the picture.

    Attributes:
        kind: "channels first" (B, C, h, w), "channels last" (B, h, w, C) or "tokens" (B, T, C).
        grid: (h, w).
        prefix: tokens before the first patch: class token, distillation token, registers. They are dropped.
    """

    kind: Kind
    grid: tuple[int, int]
    prefix: int = 0

    def to_grid(self, output: Tensor) -> Tensor:
        """Output of the layer as (B, C, h, w)."""
        if self.kind == "channels first":
            return output
        if self.kind == "channels last":
            return output.permute(0, 3, 1, 2)
        patches = output[:, self.prefix :].transpose(1, 2)  # (B, C, h * w)
        return patches.reshape(*patches.shape[:2], *self.grid)

    def from_grid(self, grid: Tensor, output: Tensor) -> Tensor:
        """Inverse of `to_grid`; the prefix tokens are those of `output`."""
        if self.kind == "channels first":
            return grid
        if self.kind == "channels last":
            return grid.permute(0, 2, 3, 1)
        return torch.cat([output[:, : self.prefix], grid.flatten(2).transpose(1, 2)], dim=1)


def find_layout(shape: tuple[int, ...], size: tuple[int, int], grid: tuple[int, int] | None = None) -> Layout | None:
    """Layout of an output of that shape for a picture (H, W), or None if it has no spatial extent.

    A grid must have the picture's proportions (or be `grid`). Up to 16 tokens that precede the patches are recognised.
    """
    if len(shape) == 4:
        for kind, (h, w) in (("channels first", shape[2:]), ("channels last", shape[1:3])):
            if h * w > 1 and (_similar((h, w), size) if grid is None else (h, w) == grid):
                return Layout("channels first" if kind == "channels first" else "channels last", (h, w))
    if len(shape) == 3:
        for prefix in range(min(_MAX_PREFIX + 1, shape[1] - 1)):
            found = _token_grid(shape[1] - prefix, size, grid)
            if found is not None:
                return Layout("tokens", found, prefix)
    return None


def _similar(grid: tuple[int, int], size: tuple[int, int]) -> bool:
    """Same proportions, give or take what rounding to whole cells explains."""
    return abs(grid[0] - grid[1] * size[0] / size[1]) < 1 or abs(grid[1] - grid[0] * size[1] / size[0]) < 1


def _token_grid(count: int, size: tuple[int, int], grid: tuple[int, int] | None) -> tuple[int, int] | None:
    if grid is not None:
        return grid if grid[0] * grid[1] == count else None
    h = round((count * size[0] / size[1]) ** 0.5)
    fits = h >= 2 and count % h == 0 and h * size[1] == count // h * size[0]
    return (h, count // h) if fits else None


def first_tensor(output: Any) -> Any:
    """The output itself, or the first element of a tuple of outputs."""
    return output[0] if isinstance(output, tuple) else output


def default_layer(
    module: nn.Module, inputs: Tensor, score: Callable[[Tensor], Tensor], grid: tuple[int, int] | None = None
) -> str:
    """Name of the layer Grad-CAM's authors would take.

    That is the last convolution (with its normalisation and activation) or, in transformers, the last layer
    normalisation that runs once, still has a spatial extent and through whose patches gradient flows to the score. In
    a transformer with a class token that is the first norm of the last block: behind it patches reach nothing.

    Args:
        module: the network.
        inputs: (1, 3, H, W), a picture as the network takes it.
        score: inputs -> (1,) or (1, K), by running `module`.
        grid: (h, w) of patches where it can't be told from the picture's proportions.

    Raises:
        UserError: there is no such layer.
    """
    size = (int(inputs.shape[-2]), int(inputs.shape[-1]))
    outputs: list[tuple[str, Layout, Tensor]] = []
    runs: Counter[str] = Counter()
    with ExitStack() as stack:
        for name, layer in module.named_modules():
            if name and isinstance(layer, (nn.Conv2d, *_NORMS, *_ACTIVATIONS)):
                hook = _recorder(name, layer, size, grid, outputs, runs)
                stack.callback(layer.register_forward_hook(hook).remove)
        with torch.enable_grad():
            total = score(inputs.detach().requires_grad_(True)).sum()
    if outputs and total.requires_grad:
        gradients = torch.autograd.grad(total, [output for _, _, output in outputs], allow_unused=True)
        for (name, layout, _), gradient in reversed(list(zip(outputs, gradients, strict=True))):
            if runs[name] == 1 and gradient is not None and bool(layout.to_grid(gradient).any()):
                return name
    raise UserError(
        "Grad-CAM found no layer with a spatial extent through which the score's gradient flows. Pass `layer=` by name."
    )


def _recorder(
    name: str,
    layer: nn.Module,
    size: tuple[int, int],
    grid: tuple[int, int] | None,
    outputs: list[tuple[str, Layout, Tensor]],
    runs: Counter[str],
) -> Callable[..., Tensor | None]:
    def record(_module: nn.Module, _args: Any, output: Any) -> Tensor | None:
        runs[name] += 1
        layout = find_layout(tuple(output.shape), size, grid)
        if layout is None or (layout.kind != "channels first" and not isinstance(layer, _NORMS)):
            return None
        outputs.append((name, layout, output))
        copy: Tensor = output.clone()  # an in-place activation behind must not change what was recorded
        return copy

    return record


@contextmanager
def probe(layer: nn.Module, name: str, size: tuple[int, int], grid: tuple[int, int] | None) -> Iterator[nn.Module]:
    """A module through which the layer's output passes as (B, C, h, w) while the context is open.

    Raises:
        UserError: the output of the layer has no spatial extent.
    """
    through = nn.Identity()

    def reroute(_module: nn.Module, _args: Any, output: Any) -> Any:
        first = first_tensor(output)
        shape = tuple(getattr(first, "shape", ()))
        layout = find_layout(shape, size, grid)
        if layout is None:
            raise UserError(
                f"The output of layer {name!r} has the shape {shape}, which is no map of a picture of {size[0]} x "
                f"{size[1]} pixels. Choose another `layer`, or pass `grid=(height, width)` of its patches."
            )
        changed = layout.from_grid(through(layout.to_grid(first)), first)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = layer.register_forward_hook(reroute)
    try:
        yield through
    finally:
        handle.remove()
