"""Pipelines at few steps, before and after fine-tuning or distillation: the quality card, and how real pictures look.

    python benchmarks/distillation.py DATA --pipelines base=PATH tuned=PATH distilled=PATH --steps 1 2 4 8

`runs/finetune_scenes.sh` makes DATA and the pipelines. DATA is a folder of `genlens data scenes`; rows and seeds are
those that `genlens train-generator` holds out with the same `--held-out` and seed 0. Measured by the scenes judge,
which no generator was trained with, for every pipeline and number of steps:

- AUROC: mean over the ten concepts, captions against the judge's scores.
- gain: its difference from the first pipeline at the first number of steps, paired bootstrap over captions.
- kernel: squared MMD (polynomial kernel of Binkowski et al. 2018) between generated and held-out real pictures on the
  judge's outputs for classes, background and frame, standardised by the real pictures; 0 is equal; standard
  error by the jackknife.
- teacher: mean squared distance of pixels in [0, 1] from the pictures of `--teacher` (a name) at its `--teacher-steps`
  from the same noise, divided by that of the teacher's own pictures from other noise: 1 is as far as another picture of
  the same caption. LCM draws noise between steps, so only its single step can be near.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import genlens
from genlens.classifiers.concept_net import ConceptNet
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.datasets.scenes_captions import CONCEPTS
from genlens.generators.diffusers import DiffusersGenerator
from genlens.prompts.measures import kernel_distance
from genlens.seeds import row_seed
from genlens.training.finetune_data import CaptionedImages, from_table, split
from genlens.training.finetune_quality import QualityProbe, mean_of

Images = NDArray[np.uint8]
_OUTPUTS = 21
"""Of the judge: classes, background and frame; the others are of counts, which are 1 on pages."""
JUDGE = Path(genlens.__file__).parent / "assets" / "scenes_judge"


class Measure:
    """The judge's figures on held-out rows.

    Args:
        data: folder of scenes.
        n_held_out: rows held out.
    """

    def __init__(self, data: Path, n_held_out: int) -> None:
        table = ConceptTable.from_metadata(data, CONCEPTS)
        images = from_table(table)
        _, rows = split(len(images), n_held_out, 0)
        self.images: CaptionedImages = images.take(rows)
        self.judge = ConceptNet.load(JUDGE, device="cpu")
        self.probe = QualityProbe(table, rows, self.images, self.judge, 0)
        real = self.judge.predict([load_image(path) for path in self.images.paths])
        self._centre, self._spread = real.mean(axis=0), real.std(axis=0) + 1e-6
        self.real = self._features(real)
        self.real_auroc = mean_of(self.probe.card(0, real[:, : len(CONCEPTS)].astype(np.float64))).generated

    def _features(self, outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray((outputs - self._centre) / self._spread, dtype=np.float64)[:, :_OUTPUTS]

    def render(self, pipeline: Path, steps: int, guidance: float, draw: int = 0) -> Images:
        """Pictures of the held-out captions; draw 0 has the seeds of the quality card."""
        seeds = [row_seed(0, name) if not draw else row_seed(0, name, draw=draw) for name in self.images.names]
        generator = DiffusersGenerator.from_pretrained(
            pipeline, num_inference_steps=steps, guidance_scale=guidance, device="cpu", channels_last=False
        )
        return np.asarray(generator.generate(self.images.captions, seeds))

    def scores(self, pictures: Images) -> NDArray[np.float64]:
        """Of the concepts, (n, 10)."""
        return self.probe.measure(lambda captions, seeds: pictures)

    def kernel(self, pictures: Images) -> tuple[float, float]:
        """Squared distance from the real pictures, and its standard error."""
        return kernel_distance(self._features(self.judge.predict(pictures)), self.real)


def distance(one: Images, other: Images) -> float:
    """Mean squared difference of pixels in [0, 1]."""
    return float(np.square(one / 255.0 - other / 255.0).mean())


def _named(text: str) -> tuple[str, Path, float]:
    name, _, rest = text.partition("=")
    path, _, guidance = rest.partition("@")
    return name, Path(path), float(guidance or 1)


def figures(measure: Measure, pictures: Images, first: NDArray[np.float64] | None) -> tuple[str, NDArray[np.float64]]:
    """AUROC, gain and kernel distance as text; the scores of the concepts."""
    scores = measure.scores(pictures)
    gain = measure.probe.gain(scores if first is None else first, scores)
    interval = f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
    mean, (far, error) = mean_of(measure.probe.card(0, scores)).generated, measure.kernel(pictures)
    return f"{mean:.3f}  {interval:25s}  {far:5.2f} ({error:.2f})", scores


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pipelines", type=_named, nargs="+", required=True, metavar="NAME=FOLDER[@GUIDANCE]")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--held-out", type=int, default=400)
    parser.add_argument("--teacher", help="name of a pipeline; none: no distances from it")
    parser.add_argument("--teacher-steps", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    measure = Measure(options.data, options.held_out)
    taught: list[Images] = []
    for name, folder, guidance in options.pipelines:
        if name == options.teacher:
            taught = [measure.render(folder, options.teacher_steps, guidance, draw) for draw in (0, 1)]
    print("pipeline     steps  AUROC  gain (95% interval)        kernel (s.e.)  teacher  pictures/s")
    print(f"{'real':12s}     -  {measure.real_auroc:.3f}")
    first = None
    for name, folder, guidance in options.pipelines:
        for steps in options.steps:
            start = time.perf_counter()
            pictures = measure.render(folder, steps, guidance)
            speed = len(pictures) / (time.perf_counter() - start)
            text, scores = figures(measure, pictures, first)
            first = scores if first is None else first
            near = f"{distance(pictures, taught[0]) / distance(taught[1], taught[0]):.3f}" if taught else ""
            print(f"{name:12s} {steps:5d}  {text}  {near:>7s}  {speed:10.1f}", flush=True)


if __name__ == "__main__":
    main()
