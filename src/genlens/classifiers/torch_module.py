"""Classifiers that are `torch.nn.Module`s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genlens.classifiers.batches import describe_error, predict_batches
from genlens.classifiers.fingerprint import hash_function, hash_module, hash_parts, hash_spec
from genlens.classifiers.preprocess import ImagePreprocess, as_size
from genlens.classifiers.protocol import Images, Outputs, check_outputs_kind
from genlens.errors import UserError, check_integer

Preprocess = ImagePreprocess | Callable[[list[NDArray[np.uint8]]], Tensor]
"""How a list of uint8 (H, W, 3) images becomes the module's input."""


class TorchClassifier:
    """A torch module and the preprocessing it was trained with.

    Args:
        module: takes float32 (B, 3, H, W) and returns a tensor (B,) or (B, C), or an object with `.logits`. It is put
            in evaluation mode and moved to `device`.
        preprocess: an `ImagePreprocess`, or a function from a list of uint8 (H, W, 3) images to the module's input;
            instead of `size`, `mean` and `std`.
        size: pixels, one number or (height, width), to which images are stretched; None: as they come.
        mean: subtracted after pixels are scaled to [0, 1], one a channel.
        std: divided by after that.
        outputs: what the module returns.
        device: "auto" is CUDA, then Apple's MPS, then the CPU.
        batch_size: images at a time.
        fingerprint: text that identifies `preprocess` if that is no plain function.

    Raises:
        UserError: both `preprocess` and `size`, `mean` or `std`; a value out of its range.
    """

    def __init__(
        self,
        module: nn.Module,
        preprocess: Preprocess | None = None,
        *,
        size: int | Sequence[int] | None = None,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        outputs: Outputs = "logits",
        device: str = "auto",
        batch_size: int = 64,
        fingerprint: str | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise UserError(f"`module` must be a torch.nn.Module; got {type(module).__name__}.")
        given = ImagePreprocess(as_size(size), tuple(mean), tuple(std))
        if preprocess is not None and given != ImagePreprocess():
            raise UserError("Give either `preprocess` or `size`, `mean` and `std`, not both.")
        self.preprocess: Preprocess = preprocess or given
        self.outputs: Outputs = check_outputs_kind(outputs)
        self.batch_size = check_integer("batch_size", batch_size, 1)
        self.device = pick_device(device)
        self.module = module.eval().to(self.device)
        self.name = f"The classifier {type(module).__name__}"
        if fingerprint is None and isinstance(self.preprocess, ImagePreprocess):
            fingerprint = hash_spec(self.preprocess.spec())
        elif fingerprint is None:
            fingerprint = hash_function(self.preprocess)
        self._fingerprint = hash_parts("torch", hash_module(module), fingerprint, self.outputs)

    @property
    def fingerprint(self) -> str:
        """Hash of the class's name, the weights and the preprocessing."""
        return self._fingerprint

    def predict(self, images: Images) -> NDArray[np.float32]:
        """Outputs float32 (B, C) of B uint8 images.

        Raises:
            UserError: the module fails, or returns something of the wrong shape or NaN.
        """
        return predict_batches(images, self.batch_size, self.name, self._predict_batch)

    def _predict_batch(self, batch: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        inputs = torch.as_tensor(self.preprocess(batch)).to(self.device)
        with torch.inference_mode():
            found: Any = self.module(inputs)
        found = getattr(found, "logits", found)
        if not isinstance(found, Tensor):
            raise UserError(f"{self.name} must return a tensor or an object with `.logits`; got {type(found)}.")
        result: NDArray[np.float32] = found.detach().float().cpu().numpy()
        return result


def pick_device(device: str) -> torch.device:
    """The torch device of a name; "auto" is the fastest one there is.

    Raises:
        UserError: torch doesn't know the name, or the device isn't there.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"`device` must be one that torch can use here, e.g. 'cpu'; got {device!r} ({describe_error(error)})."
        ) from None
