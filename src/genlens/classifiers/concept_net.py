"""Concept nets: small convolutional networks that say which concepts an image shows, one log-odds a concept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genlens.classifiers.batches import describe_error
from genlens.classifiers.preprocess import ImagePreprocess
from genlens.classifiers.protocol import Images
from genlens.classifiers.torch_module import TorchClassifier
from genlens.errors import UserError

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class PlainNet(nn.Module):
    """Strided convolutions, then the maximum and the mean over places, then one linear layer.

    Args:
        n_concepts: D.
        width: channels of the first layer.
    """

    def __init__(self, n_concepts: int, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(3, width, 5, 2),
            _conv(width, 2 * width, 3, 2),
            _conv(2 * width, 3 * width, 3),
            _conv(3 * width, 4 * width, 3, 2),
            _conv(4 * width, 4 * width, 3),
        )
        self.head = nn.Linear(8 * width, n_concepts)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> log-odds (B, D)."""
        features = self.body(images)  # (B, 4 width, H/8, W/8)
        result: Tensor = self.head(torch.cat([features.amax((2, 3)), features.mean((2, 3))], dim=1))
        return result


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(width, width, 3), nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.relu(inputs + self.body(inputs))


class ResidualNet(nn.Module):
    """Patches, residual blocks, evidence for each concept at each place, pooled by log-mean-exp.

    Args:
        n_concepts: D.
        width: channels of the first stage.
    """

    def __init__(self, n_concepts: int, width: int = 32) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.PixelUnshuffle(4),
            _conv(48, width, 3),
            _Residual(width),
            _conv(width, 2 * width, 3, 2),
            _Residual(2 * width),
            _Residual(2 * width),
        )
        self.evidence = nn.Conv2d(2 * width, n_concepts, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W), sides divisible by 4 -> log-odds (B, D)."""
        evidence = self.evidence(self.body(images)).flatten(2)  # (B, D, places)
        result: Tensor = evidence.logsumexp(dim=2) - float(np.log(evidence.shape[2]))
        return result


ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = {"plain": PlainNet, "residual": ResidualNet}
"""Name in `config.json` -> class; both take (n_concepts, width)."""


class ConceptNet(TorchClassifier):
    """A concept classifier: one independent log-odds a concept (outputs "scores"; 0 is a probability of one half).

    Args:
        module: (B, 3, H, W) -> log-odds (B, D).
        concept_names: D names, in the order of the outputs.
        preprocess: how images are prepared.
        architecture: a key of `ARCHITECTURES`.
        width: its width.
        device: as for `TorchClassifier`.
        batch_size: images at a time.
    """

    def __init__(
        self,
        module: nn.Module,
        concept_names: tuple[str, ...],
        preprocess: ImagePreprocess,
        architecture: str,
        width: int,
        *,
        device: str = "auto",
        batch_size: int = 64,
    ) -> None:
        network: Any = module
        super().__init__(
            network.to(memory_format=torch.channels_last),
            preprocess,
            outputs="scores",
            device=device,
            batch_size=batch_size,
        )
        self.concept_names = concept_names
        self._image = preprocess
        self.architecture = architecture
        self.width = width

    def probabilities(self, images: Images) -> NDArray[np.float32]:
        """Probability of each concept in each of B images: float32 (B, D)."""
        return sigmoid(self.predict(images))

    def save(self, folder: str | Path, **notes: Any) -> None:
        """Write `model.safetensors` and `config.json`.

        Args:
            folder: made if it isn't there.
            **notes: further entries of `config.json`, for the reader.
        """
        from safetensors.torch import save

        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        state = {name: value.cpu().contiguous() for name, value in self.module.state_dict().items()}
        (target / WEIGHTS_FILE).write_bytes(save(state))  # `save_file` would leave it unreadable for other users
        config = {
            "architecture": self.architecture,
            "width": self.width,
            "concepts": list(self.concept_names),
            "preprocess": self._image.spec(),
            **notes,
        }
        (target / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "auto", batch_size: int = 64) -> ConceptNet:
        """Read what `save` wrote.

        Raises:
            UserError: files are missing or don't fit together.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        source = Path(folder)
        missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if not (source / name).is_file()]
        if missing:
            raise UserError(f"{folder} is not a concept net: it has no {' and no '.join(missing)}.")
        try:
            config = json.loads((source / CONFIG_FILE).read_text(encoding="utf-8"))
            names = tuple(str(name) for name in config["concepts"])
            preprocess = ImagePreprocess.from_spec(config["preprocess"])
            with torch.device("meta"):  # no memory for a width that the weights don't have
                module = ARCHITECTURES[config["architecture"]](len(names), config["width"])
            module.load_state_dict(load_file(source / WEIGHTS_FILE), assign=True)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
            raise UserError(f"{folder} is a damaged concept net: {describe_error(error)}.") from error
        return cls(
            module,
            names,
            preprocess,
            config["architecture"],
            config["width"],
            device=device,
            batch_size=batch_size,
        )


def sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logistic function, without overflow."""
    result: NDArray[np.float32] = 0.5 * (1 + np.tanh(0.5 * values))
    return result
