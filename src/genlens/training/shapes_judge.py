"""The judge: a small concept classifier, trained on drawings alone, that measures generators of shapes.

It never sees a generated picture and no generator is trained against it; its rows come from their own range of seeds.
Blur, noise, contrast and brightness are varied, so it judges shapes and colours rather than the drawer's exact pixels.

    python -m genlens.training.shapes_judge --out src/genlens/assets/shapes_judge --seconds 150
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genlens.datasets import shapes
from genlens.training.shapes_data import JUDGE_SEEDS, sample_rows
from genlens.training.shapes_vae import to_tensor
from genlens.training.timed import TimedTraining

WIDTHS = (32, 48, 96)


class Judge(nn.Module):
    """Convolutions to 8 x 8 maps of evidence, one a concept, then a soft maximum over places."""

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in widths:
            for source, stride in ((before, 2), (width, 1)):
                layers += [nn.Conv2d(source, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.features = nn.Sequential(*layers)
        self.evidence = nn.Conv2d(before, len(shapes.CONCEPTS), 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N, 6) of pictures (N, 3, 64, 64) in [-1, 1]."""
        logits: Tensor = torch.logsumexp(self.evidence(self.features(pixels)).flatten(2), dim=2)
        return logits

    @torch.no_grad()
    def score(self, images: NDArray[np.uint8], batch: int = 250) -> NDArray[np.float32]:
        """Logits (N, 6) of uint8 pictures (N, 64, 64, 3)."""
        parts = [self(to_tensor(images[i : i + batch])) for i in range(0, len(images), batch)]
        logits: NDArray[np.float32] = torch.cat(parts).numpy()
        return logits


def blur(pixels: Tensor, sigma: float) -> Tensor:
    """Gaussian blur with a standard deviation of `sigma` pixels."""
    reach = torch.arange(-4, 5, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (reach / sigma) ** 2)
    kernel = (kernel / kernel.sum()).repeat(3, 1, 1, 1)
    padded = nn.functional.pad(pixels, (4, 4, 4, 4), mode="replicate")
    rows = nn.functional.conv2d(padded, kernel, groups=3)
    return nn.functional.conv2d(rows, kernel.transpose(2, 3), groups=3)


def disturb(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Random blur for the batch; contrast, brightness and noise for each picture."""
    n = len(pixels)
    if rng.random() < 0.6:
        pixels = blur(pixels, float(rng.uniform(0.3, 1.3)))
    contrast, shift, noise = (
        torch.from_numpy(rng.uniform(low, high, (n, 1, 1, 1))).float()
        for low, high in ((0.85, 1.1), (-0.1, 0.1), (0.0, 0.12))
    )
    return pixels * contrast + shift + noise * torch.randn_like(pixels)


def train_judge(seconds: float, batch: int = 96, rate: float = 3e-3) -> Judge:
    """Train on fresh drawings of random layout (a fifth of them with overlaps), absent shapes as often as present."""
    torch.manual_seed(0)
    judge = Judge()
    judge.features.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    training = TimedTraining("judge", judge, seconds, rate, weight_decay=1e-3, clip=None, every=100)
    for step in training.steps():
        rows = sample_rows(batch, JUDGE_SEEDS + step)
        pixels = disturb(to_tensor(rows.images()), np.random.default_rng(JUDGE_SEEDS + step))
        with torch.autocast("cpu", torch.bfloat16):
            logits = judge(pixels)
        present = torch.from_numpy(rows.presence).float()
        training.update(nn.functional.binary_cross_entropy_with_logits(logits.float(), present))
    return judge.eval()


def save_judge(judge: Judge, folder: Path) -> None:
    """Write `folder`/model.safetensors and config.json."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in judge.state_dict().items()}, folder / "model.safetensors")
    config = {
        "widths": list(WIDTHS),
        "concepts": list(shapes.CONCEPTS),
        "input": "3 x 64 x 64 pixels in [-1, 1]",
        "data_seeds_from": JUDGE_SEEDS,
        "recipe": "python -m genlens.training.shapes_judge",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def load_judge(folder: Path | None = None) -> Judge:
    """The judge of `folder`, or the shipped one, ready to score."""
    from safetensors.torch import load_file

    folder = folder or Path(__file__).parents[1] / "assets" / "shapes_judge"
    judge = Judge(json.loads((folder / "config.json").read_text())["widths"])
    judge.load_state_dict(load_file(folder / "model.safetensors"))
    return judge.eval()


def main(argv: Sequence[str] | None = None) -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(prog="python -m genlens.training.shapes_judge")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=150.0)
    options = parser.parse_args(argv)
    torch.set_num_threads(2)
    save_judge(train_judge(options.seconds), options.out)


if __name__ == "__main__":
    main()
