"""Small classifiers with a penultimate layer of few units: four architectures, one recipe, saved as safetensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from genlens.classifiers.batches import describe_error
from genlens.classifiers.preprocess import ImagePreprocess
from genlens.classifiers.torch_module import TorchClassifier
from genlens.errors import UserError, check_integer
from genlens.files import write_atomic
from genlens.training.concept_nets import augment

Labelled = Callable[[int], tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]]
"""Step -> images (B, H, W, 3), classes (B,) and the words each image shows (B, W), 0 or 1."""

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
_MEAN, _STD = (0.5,) * 3, (0.25,) * 3
_WARMUP = 0.1


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class _Pool(nn.Module):
    """Maximum over places: (B, C, H, W) -> (B, C)."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.amax((2, 3))


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(inputs, outputs, 3, stride), nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )  # fmt: skip
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.shortcut(maps) + self.body(maps))


class _Transformer(nn.Module):
    """Overlapping patches of 8 pixels as tokens, two layers of attention, each unit's maximum over tokens."""

    def __init__(self, n_features: int, width: int, size: int) -> None:
        super().__init__()
        self.patches = nn.Sequential(_conv(3, 16, 5, 2), _conv(16, 32, 3, 2), nn.Conv2d(32, width, 3, 2, 1))
        self.places = nn.Parameter(torch.randn(1, (size // 8) ** 2, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.units = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, n_features), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.places  # (B, places, width)
        units: Tensor = self.units(self.layers(tokens)).amax(dim=1)  # (B, F)
        return units


def _plain(n_features: int, size: int) -> nn.Module:
    return nn.Sequential(
        _conv(3, 16, 5, 2), _conv(16, 32, 3, 2), _conv(32, 48), _conv(48, 64, 3, 2), _conv(64, n_features), _Pool()
    )


def _residual(n_features: int, size: int) -> nn.Module:
    return nn.Sequential(
        nn.PixelUnshuffle(4), _conv(48, 32), _Residual(32, 32), _Residual(32, 48, 2), _Residual(48, n_features),
        _Pool(),
    )  # fmt: skip


def _alexnet(n_features: int, size: int) -> nn.Module:
    side = size // 16
    return nn.Sequential(
        _conv(3, 32, 7, 2), nn.MaxPool2d(3, 2, 1), _conv(32, 64, 5), nn.MaxPool2d(3, 2, 1), _conv(64, 64),
        _conv(64, 64), nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(64 * side * side, 96), nn.ReLU(),
        nn.Linear(96, n_features),
    )  # fmt: skip


BODIES: Mapping[str, Callable[[int, int], nn.Module]] = {
    "plain": _plain,
    "residual": _residual,
    "transformer": lambda n_features, size: _Transformer(n_features, 64, size),
    "alexnet": _alexnet,
}
"""Architecture -> its body, a function of (units of the penultimate layer, side of the images in pixels).

"plain" is a stack of convolutions and "residual" has skips: each unit is its channel's maximum over places.
"transformer" attends between patches, each unit its maximum over tokens. "alexnet" has AlexNet's order of convolutions,
overlapping maximum pooling and wide layers, with batch normalisation in the place of its local one."""


class PlantedNet(nn.Module):
    """A body, the penultimate layer `features` (a ReLU of F units, none negative), the linear layer `head`.

    Args:
        architecture: a key of `BODIES`.
        n_classes: C.
        n_features: F.
        size: side of the images in pixels, a multiple of 16.
    """

    def __init__(self, architecture: str, n_classes: int, n_features: int = 24, size: int = 64) -> None:
        super().__init__()
        self.body = BODIES[architecture](n_features, size)
        self.features = nn.ReLU()
        self.head = nn.Linear(n_features, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, C)."""
        logits: Tensor = self.head(self.features(self.body(images)))
        return logits


@dataclass(frozen=True)
class NetRecipe:
    """How a classifier is trained: AdamW, linear warm-up, then a cosine to 0.

    Attributes:
        architecture: a key of `BODIES`.
        n_features: F, units of the penultimate layer.
        steps: batches.
        rate: the highest learning rate; None: one that suits the architecture.
        word_weight: weight of a second linear head on the units, which names what the image shows and is thrown away
            after the training: as in a network that learnt more than its classes, the units then tell things apart.
        seed: of the first weights and of the augmentation.
    """

    architecture: str = "plain"
    n_features: int = 24
    steps: int = 400
    rate: float | None = None
    word_weight: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.architecture not in BODIES:
            raise UserError(f"`architecture` must be one of {', '.join(BODIES)}; got {self.architecture!r}.")
        check_integer("n_features", self.n_features, 1)
        check_integer("steps", self.steps, 1)
        check_integer("seed", self.seed, 0)

    def spec(self) -> dict[str, Any]:
        """The recipe as a JSON-able mapping."""
        return asdict(self)


def train_net(
    batches: Labelled,
    n_classes: int,
    recipe: NetRecipe,
    *,
    n_words: int = 0,
    size: int = 64,
    log: Callable[[str], None] | None = None,
) -> PlantedNet:
    """Train a classifier by cross-entropy on mildly augmented images.

    Args:
        batches: what step i is trained on.
        n_classes: C.
        recipe: architecture, length, rate and seed.
        n_words: W.
        size: side of the images in pixels.
        log: gets a line every 100 steps.
    """
    preprocess = ImagePreprocess((size, size), mean=_MEAN, std=_STD)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = PlantedNet(recipe.architecture, n_classes, recipe.n_features, size)
        namer = nn.Linear(recipe.n_features, max(n_words, 1))
    network: Any = net.train()
    network.to(memory_format=torch.channels_last)
    rng = np.random.default_rng(recipe.seed)
    rate = recipe.rate or (1e-3 if recipe.architecture == "transformer" else 3e-3)
    optimizer = torch.optim.AdamW([*net.parameters(), *namer.parameters()], lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, recipe.steps + 1, pct_start=_WARMUP)
    for step in range(recipe.steps):
        images, labels, words = batches(step)
        inputs = torch.from_numpy(preprocess(list(augment(images, rng))))
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):  # the fused one is slow backwards
            units = net.features(net.body(inputs))  # (B, F)
            logits = net.head(units)
            loss: Any = functional.cross_entropy(logits.float(), torch.from_numpy(labels))
            if recipe.word_weight:
                named = functional.binary_cross_entropy_with_logits(namer(units).float(), torch.from_numpy(words))
                loss = loss + recipe.word_weight * named
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
        schedule.step()
        if log and (step % 100 == 0 or step == recipe.steps - 1):
            log(f"step {step + 1} of {recipe.steps}: loss {loss.item():.4f}")
    return net.eval()


def as_net_classifier(net: nn.Module, names: Sequence[str], size: int = 64) -> TorchClassifier:
    """The network as a classifier of uint8 images: logits (B, C); `class_names` says what the columns are."""
    preprocess = ImagePreprocess((size, size), mean=_MEAN, std=_STD)
    classifier: Any = TorchClassifier(net, preprocess, outputs="logits", device="cpu")
    classifier.class_names = tuple(names)
    return classifier  # type: ignore[no-any-return]


def penultimate(classifier: TorchClassifier, images: NDArray[np.uint8], batch: int = 256) -> NDArray[np.float32]:
    """Units of the penultimate layer of a `PlantedNet`: float32 (N, F) of images (N, H, W, 3)."""
    module: Any = classifier.module
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            inputs = torch.as_tensor(classifier.preprocess(list(images[start : start + batch])))
            parts.append(module.features(module.body(inputs)).float().numpy())
    return np.concatenate(parts)


def save_net(net: PlantedNet, folder: Path, config: Mapping[str, Any]) -> None:
    """Write `model.safetensors`, then `config.json`: a folder with a config is whole."""
    from safetensors.torch import save

    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    write_atomic(folder / WEIGHTS_FILE, save(state))
    write_atomic(folder / CONFIG_FILE, (json.dumps(dict(config), indent=2) + "\n").encode())


def load_net(folder: Path, n_classes: int, recipe: NetRecipe, size: int = 64) -> PlantedNet | None:
    """Read what `save_net` wrote; None where there is none.

    Raises:
        UserError: the weights are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not (folder / CONFIG_FILE).is_file():
        return None
    net = PlantedNet(recipe.architecture, n_classes, recipe.n_features, size)
    try:
        net.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{folder} is a damaged classifier: {describe_error(error)}. Delete it.") from error
    return net.eval()
