"""Early stages of the shipped shapes generator: weak generators that are real, for experiments on quality.

    python -m genlens.training.shapes_snapshots --out build/snapshots

The shipped words and autoencoder stay; the denoiser starts from nothing and is stopped early. Its recipe is that of the
shipped one (`genlens.training.shapes_denoiser`) but for two things: captions with positions only, and fresh rows at
every step instead of a pool. Every step's rows, times and noise depend on the seed and the step alone, and the clock
counts steps, so the same call makes the same stages (up to rounding, which depends on the number of threads), and one
that was stopped goes on to the same weights.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from genlens.errors import UserError, check_integer
from genlens.files import make_folder, write_atomic
from genlens.progress import LineProgress, Progress, SilentProgress
from genlens.training.shapes_data import GENERATOR_SEEDS
from genlens.training.shapes_denoiser import Recipe, Trainer
from genlens.training.shapes_generator import load_encoders

STAGES = (120, 180, 220, 260, 320)
"""Steps of training, from "renders mush" to "renders most concepts"."""
FULL_STEPS = 2925
"""Steps of the shipped denoiser: its warm-up and its constant rate are those of the stages."""
DATA_SEED = GENERATOR_SEEDS + 60_000_000
_SEEDS_A_RUN = 10_000
_SAVE_EVERY = 40
_SHIPPED = Path(__file__).parents[1] / "assets" / "shapes_generator"


def snapshots(
    folder: str | Path, steps: Sequence[int] = STAGES, seed: int = 0, progress: Progress | None = None
) -> dict[int, Path]:
    """Train what is missing and return the stages.

    Args:
        folder: where the stages and the checkpoint are kept; stages that are there are not made again.
        steps: numbers of training steps at which the averaged weights are packed, each in [1, 2047].
        seed: of start, rows and noise, in [0, 80,000).
        progress: told about steps of training.

    Returns:
        Steps, ascending -> folder of a diffusers pipeline; see `DiffusersGenerator.from_pretrained`.

    Raises:
        UserError: a number out of its range, no steps, or `folder` holds stages of another seed.
    """
    wanted = _check_steps(steps)
    folder = Path(folder)
    if check_integer("seed", seed, 0) >= 80_000:  # beyond, its rows would be those the judge was trained on
        raise UserError(f"`seed` must be an integer in [0, 80,000); got {seed}.")
    recipe = Recipe(seconds=float(FULL_STEPS), presence_share=0.0, seed=seed)
    _open(folder, recipe)
    stages = {step: folder / f"step-{step:04d}" for step in wanted}
    missing = [step for step in wanted if not stages[step].exists()]
    if missing:
        with torch.random.fork_rng(devices=[]):  # the trainer seeds torch
            _train(folder, recipe, {step: stages[step] for step in missing}, progress or SilentProgress())
    return stages


def _check_steps(steps: Sequence[int]) -> list[int]:
    last = int(FULL_STEPS * (1 - Recipe().decay_share))
    wanted = sorted({check_integer("steps", step, 1) for step in steps})
    if not wanted or wanted[-1] > last:
        raise UserError(f"`steps` must hold numbers of steps in [1, {last}], where the rate is constant; got {steps}.")
    return wanted


def _open(folder: Path, recipe: Recipe) -> None:
    """Make the folder, or refuse one of another recipe."""
    path, text = folder / "recipe.json", json.dumps({**asdict(recipe), "data_seed": DATA_SEED}, indent=1) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UserError(f"{folder} holds stages of another seed or recipe (recipe.json). Choose another folder.")
    make_folder(folder)
    write_atomic(path, text.encode())


def _train(folder: Path, recipe: Recipe, missing: dict[int, Path], progress: Progress) -> None:
    """Train to the last missing stage, packing each on the way."""
    trainer = Trainer(load_encoders(_SHIPPED), recipe, folder)
    if (folder / "checkpoint.pt").exists():
        trainer.resume()
        if trainer.step >= min(missing):  # it is past one that is missing: start over
            trainer = Trainer(load_encoders(_SHIPPED), recipe, folder)
    progress.start("Training the generator (steps)", max(missing) - trainer.step)
    try:
        while trainer.step < max(missing):
            step = trainer.step
            rows_seed = DATA_SEED + _SEEDS_A_RUN * recipe.seed + step
            rows = trainer.encoders.batch(recipe.batch, rows_seed, recipe.presence_share)
            trainer.seconds = float(step)  # the recipe's clock counts steps
            trainer.learn(rows, torch.Generator().manual_seed(rows_seed))
            trainer.seconds = float(trainer.step)
            progress.advance(1)
            if trainer.step in missing:
                _pack(trainer, missing[trainer.step])
            if trainer.step % _SAVE_EVERY == 0 or trainer.step == max(missing):
                trainer.save()
    finally:
        progress.done()


def _pack(trainer: Trainer, to: Path) -> None:
    """The shipped pipeline with the trainer's averaged weights; it appears whole or not at all."""
    aside = to.with_name(f".{to.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    unwanted = shutil.ignore_patterns("transformer", "*.md", "quality.json", "training_log.csv")
    shutil.copytree(_SHIPPED, aside, ignore=unwanted)
    average = type(trainer.average).from_config(trainer.average.config)
    average.load_state_dict(trainer.average.state_dict())
    average.half().save_pretrained(aside / "transformer")
    aside.rename(to)


def main(argv: Sequence[str] | None = None) -> None:
    """Make the stages and say where they are."""
    parser = argparse.ArgumentParser(prog="python -m genlens.training.shapes_snapshots")
    parser.add_argument("--out", type=Path, required=True, help="folder of the stages")
    parser.add_argument("--steps", type=int, nargs="+", default=list(STAGES), help="numbers of training steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    for step, folder in snapshots(options.out, options.steps, options.seed, LineProgress()).items():
        print(f"{step:5d} steps  {folder}")


if __name__ == "__main__":
    main()
