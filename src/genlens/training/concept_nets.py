"""Training of concept nets on any images whose concepts are known, and of the logistic head of a concept bottleneck."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from genlens.classifiers.concept_net import ARCHITECTURES, ConceptNet
from genlens.classifiers.preprocess import ImagePreprocess
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.errors import UserError, check_integer

Batches = Callable[[int], tuple[NDArray[np.uint8], NDArray[np.float32]]]
"""Step -> images (B, H, W, 3) and labels (B, D): 0, 1, or NaN where one can't be told from the image."""

_BLUR = (0.05, 0.11, 0.2, 0.28, 0.2, 0.11, 0.05)
"""A Gaussian of standard deviation about 1.5 pixels."""


@dataclass(frozen=True)
class Recipe:
    """How a concept net is trained.

    Attributes:
        architecture: a key of `ARCHITECTURES`.
        width: channels of its first stage.
        steps: batches.
        rate: the highest learning rate (AdamW; linear warm-up, then a cosine to 0).
        seed: of the first weights and of the augmentation.
    """

    architecture: str = "plain"
    width: int = 16
    steps: int = 800
    rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.architecture not in ARCHITECTURES:
            raise UserError(f"`architecture` must be one of {', '.join(ARCHITECTURES)}; got {self.architecture!r}.")
        check_integer("width", self.width, 1)
        check_integer("steps", self.steps, 1)
        check_integer("seed", self.seed, 0)

    def spec(self) -> dict[str, Any]:
        """The recipe as a JSON-able mapping."""
        return asdict(self)


def train_concept_net(
    batches: Batches,
    concept_names: Sequence[str],
    recipe: Recipe,
    *,
    size: tuple[int, int] = (64, 64),
    log: Callable[[str], None] | None = None,
) -> ConceptNet:
    """Train a concept net: binary cross-entropy of each concept, on mildly augmented images.

    Args:
        batches: what step i is trained on.
        concept_names: D names.
        recipe: architecture, length, rate and seed.
        size: (height, width) of the images `batches` gives, which is also what the net resizes to, in pixels.
        log: gets a line every 100 steps.
    """
    preprocess = ImagePreprocess(size, mean=(0.5,) * 3, std=(0.25,) * 3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        module: Any = ARCHITECTURES[recipe.architecture](len(concept_names), recipe.width)
    module.train().to(memory_format=torch.channels_last)
    rng = np.random.default_rng(recipe.seed)
    optimizer = torch.optim.AdamW(module.parameters(), lr=recipe.rate, weight_decay=1e-2)
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * _rate_factor(step / recipe.steps)
        images, labels = batches(step)
        inputs = torch.from_numpy(preprocess(list(augment(images, rng))))
        with torch.autocast("cpu", torch.bfloat16):
            logits = module(inputs)
        loss: Any = masked_loss(logits.float(), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if log and (step % 100 == 0 or step == recipe.steps - 1):
            log(f"step {step + 1} of {recipe.steps}: loss {loss.item():.4f}")
    return ConceptNet(module, tuple(concept_names), preprocess, recipe.architecture, recipe.width, device="cpu")


def masked_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy of logits (B, D) against labels (B, D), those that are NaN left out."""
    known = ~labels.isnan()
    losses = functional.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def _rate_factor(progress: float, warmup: float = 0.05) -> float:
    if progress < warmup:
        return (progress + 1e-3) / warmup
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))


def augment(images: NDArray[np.uint8], rng: np.random.Generator, shift: int = 3) -> NDArray[np.uint8]:
    """Mild faults such as generated images have: shift, blur, colour cast, fine and coarse noise.

    Args:
        images: (B, H, W, 3).
        rng: draws a fault's strength for every image on its own; each is absent from a good share of them.
        shift: pixels by which an image is moved at most; 0 where masks must stay true.

    Returns:
        uint8 (B, H, W, 3).
    """
    n, height, width, _ = images.shape
    down, right = rng.integers(-shift, shift + 1, (2, n, 1))
    rows = np.clip(np.arange(height) + down, 0, height - 1)
    columns = np.clip(np.arange(width) + right, 0, width - 1)
    shifted = images[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    pixels = torch.from_numpy(shifted).permute(0, 3, 1, 2).float()

    def strength(share: float, largest: float, *shape: int) -> Tensor:
        drawn = rng.random((n, *shape)) * largest * (rng.random((n, *(1 for _ in shape))) < share)
        return torch.from_numpy(drawn.astype(np.float32))

    pixels = torch.lerp(pixels, _blur(pixels), strength(0.6, 1.0, 1, 1, 1))
    pixels = pixels * (1 + strength(0.5, 0.2, 3, 1, 1) - strength(0.5, 0.2, 3, 1, 1))
    fine = torch.from_numpy(rng.standard_normal(pixels.shape, dtype=np.float32))
    coarse = torch.from_numpy(rng.standard_normal((n, 3, 8, 8), dtype=np.float32))
    coarse = functional.interpolate(coarse, (height, width), mode="bilinear")
    pixels = pixels + strength(0.5, 15.0, 1, 1, 1) * fine + strength(0.5, 15.0, 1, 1, 1) * coarse
    return pixels.clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


def _blur(pixels: Tensor) -> Tensor:
    channels, reach = pixels.shape[1], len(_BLUR) // 2
    kernel = torch.tensor(_BLUR).expand(channels, 1, 1, len(_BLUR))
    padded = functional.pad(pixels, (reach,) * 4, mode="replicate")
    across = functional.conv2d(padded, kernel, groups=channels)
    return functional.conv2d(across, kernel.transpose(2, 3), groups=channels)


def table_batches(
    table: ConceptTable, *, size: tuple[int, int] = (64, 64), batch_size: int = 64, seed: int = 0
) -> Batches:
    """Batches of a table's own images, stretched to `size`, against the presence of its concepts.

    Args:
        table: with `image_paths`; images are read once and kept, N x height x width x 3 bytes.
        size: (height, width) in pixels.
        batch_size: images a batch.
        seed: of the rows' order.

    Raises:
        UserError: the table has no images.
    """
    if table.image_paths is None:
        raise UserError("The table has no images to train on. Give its rows a `file_name` and pass `image_root`.")
    preprocess = ImagePreprocess(size, interpolation="bicubic")
    images = np.concatenate([preprocess.resized([load_image(path)]) for path in table.image_paths])
    presence = table.presence().astype(np.float32)

    def batches(step: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rows = np.random.default_rng((seed, step)).choice(len(images), min(batch_size, len(images)), replace=False)
        return images[rows], presence[rows]

    return batches


def fit_logistic_head(
    concepts: NDArray[np.floating], labels: NDArray[Any], *, strength: float = 1.0
) -> tuple[NDArray[np.float64], float]:
    """Logistic regression of binary labels on concept predictions: weights and bias of a `ConceptBottleneck`.

    Args:
        concepts: c_hat (N, D).
        labels: (N,), two distinct values; the larger one is the positive class.
        strength: inverse of the L2 penalty, scikit-learn's C.

    Returns:
        Weights (D,) and bias, on the log-odds scale.

    Raises:
        UserError: the labels don't have two classes.
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) != 2:
        raise UserError(f"`labels` must have two classes; got {len(np.unique(labels))}.")
    model = LogisticRegression(C=strength, max_iter=1000).fit(concepts, labels)
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def concept_quality(net: ConceptNet, images: NDArray[np.uint8], labels: NDArray[np.floating]) -> dict[str, Any]:
    """AUROC of each concept, and the share of right answers at a probability of one half.

    Args:
        net: the concept net, D concepts.
        images: (N, H, W, 3).
        labels: (N, D), 0, 1 or NaN (left out).

    Returns:
        A JSON-able mapping: auroc (a mapping by concept), auroc_mean, auroc_min, accuracy, n.
    """
    from sklearn.metrics import roc_auc_score

    scores = net.predict(images)
    known = ~np.isnan(labels)
    auroc = {
        name: round(float(roc_auc_score(labels[known[:, j], j], scores[known[:, j], j])), 6)
        for j, name in enumerate(net.concept_names)
    }
    return {
        "auroc": auroc,
        "auroc_mean": round(float(np.mean(list(auroc.values()))), 6),
        "auroc_min": min(auroc.values()),
        "accuracy": round(float(((scores > 0) == (labels > 0.5))[known].mean()), 6),
        "n": len(images),
    }
