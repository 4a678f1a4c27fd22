"""How many images a pipeline renders at once: as many as a GPU's memory holds, never more."""

from __future__ import annotations

from typing import Any

_PIXELS = 2**22
_FIRST, _MOST = 64, 256
_SHARE = 0.8
"""A batch is doubled only if twice its memory stays below this share of what the GPU could give."""


class BatchSize:
    """A number of images that shrinks when memory runs out and, on a GPU of CUDA, grows while there is room.

    It depends on memory only, not on timing: the same machine finds the same batches.

    Args:
        given: the user's number, which never grows; None: begin by the size of the images.
        size: (height, width) in pixels, or None where it isn't known.
        device: of the pipeline.
    """

    def __init__(self, given: int | None, size: tuple[int, int] | None, device: str) -> None:
        automatic = 4 if size is None else max(1, min(_FIRST, _PIXELS // (size[0] * size[1])))
        self.value = automatic if given is None else given
        self._grows = given is None and device.startswith("cuda")
        self._device = device

    def begin(self) -> None:
        """A batch is about to be rendered."""
        if self._grows:
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)

    def fitted(self, n: int) -> None:
        """A batch of `n` images was rendered: double it if that fits as well."""
        if self._grows and n >= self.value:
            resting, peak, limit = memory_use(self._device)
            self._grows = self.value < _MOST and resting + 2 * (peak - resting) <= _SHARE * limit
            if self._grows:
                self.value = min(2 * self.value, _MOST)

    def failed(self, n: int) -> None:
        """A batch of `n` > 1 images was too big: halve it, for good."""
        self._grows = False
        self.value = max(1, n // 2)


def memory_use(device: Any) -> tuple[int, int, int]:
    """Bytes of a GPU that are in use now, were in use at most, and could be in use by this process."""
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    resting = torch.cuda.memory_allocated(device)
    return resting, torch.cuda.max_memory_allocated(device), free + torch.cuda.memory_reserved(device)
