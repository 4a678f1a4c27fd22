"""The steps of an explanation that are kept while they run: the optimisation step by step, pictures chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from genlens.classifiers.gradients import DifferentiableClassifier
from genlens.classifiers.protocol import Classifier
from genlens.errors import UserError
from genlens.files import write_atomic
from genlens.progress import Progress
from genlens.prompts.explanation import Optimisation
from genlens.prompts.measures import given_to
from genlens.prompts.objectives import Score
from genlens.prompts.optimize import Step, optimize_prompt, pictures
from genlens.prompts.soft import PromptState, SoftPrompt
from genlens.prompts.standing import Standing
from genlens.store import decode_image, encode_png

if TYPE_CHECKING:
    from genlens.explain import ExplainOptions

CHUNK = 16
"""Pictures rendered together: always the same ones, so that a picture doesn't hang on where a run was stopped."""
_NEAREST = 3


@dataclass(frozen=True)
class Found:
    """An optimisation that is done.

    Attributes:
        best: the prompt that was kept.
        steps: steps taken.
        stopped: why it ended early, or None.
        looks: (step, mean score of the best restart on the seeds that chose).
        starts: texts that restarts began with.
    """

    best: PromptState
    steps: int
    stopped: str | None
    looks: tuple[tuple[int, float], ...]
    starts: tuple[str, ...]

    def summary(self, prompt: SoftPrompt) -> Optimisation:
        """What a report says about it."""
        nearest = nearest_tokens(prompt, self.best)
        best = self.best
        return Optimisation(self.steps, best.step, best.restart, self.stopped, self.looks, nearest, self.starts)


def optimise(
    prompt: SoftPrompt, objective: Score, options: ExplainOptions, checkpoint: Path, progress: Progress,
    starts: tuple[str, ...],
) -> Found:  # fmt: skip
    """Optimise the prompt, or go on after the last step in `checkpoint`, which is written after every step.

    Args:
        prompt: begun from `starts` already.
        objective: what is maximised.
        options: how.
        checkpoint: file of the standing.
        progress: told about pictures.
        starts: kept with what is found.
    """
    standing = Standing.load(checkpoint)
    looks = [] if standing is None else [(int(step), float(score)) for step, score in standing.notes["looks"]]
    stopped = None if standing is None else standing.notes["stopped"]
    begun = 0 if standing is None else standing.number
    if standing is not None and (stopped or begun == options.iterations):
        return Found(standing.best, begun, stopped, tuple(looks), starts)
    steps = optimize_prompt(
        prompt, objective, steps=options.iterations, rate=options.rate, batch=options.batch,
        last_steps=options.last_steps, diversity=options.diversity, vocabulary_pull=options.pull, seed=options.seed,
        resume=standing,
    )  # fmt: skip
    step: Step | None = None
    progress.start("Optimising the prompt", (options.iterations - begun) * options.batch * options.restarts)
    try:
        for step in steps:
            if step.held_out is not None:
                looks.append((step.number, float(np.nanmax(step.held_out))))
            kept = standing if step.stopped else step.standing()
            if kept is not None:
                standing = replace(kept, notes={"looks": looks, "stopped": step.stopped})
                standing.save(checkpoint)
            progress.advance(options.batch * options.restarts)
    finally:
        progress.done()
    if step is None:
        raise ValueError("an optimisation has at least one step")
    return Found(step.best, step.number, step.stopped, tuple(looks), starts)


def render(
    prompt: SoftPrompt, what: PromptState | str, seeds: Sequence[int], folder: Path, progress: Progress
) -> NDArray[np.uint8]:
    """Pictures (n, H, W, 3) of a prompt, kept as PNG files 0000.png, 0001.png … in `folder`; what is there isn't made.

    Raises:
        UserError: a picture in `folder` can't be read.
        WriteError: the disk is full, or the folder can't be written.
    """
    parts: list[NDArray[np.uint8]] = []
    for chunk in _chunks(seeds, folder):
        if all(path.is_file() for path in chunk):
            parts.append(np.stack([_read(path) for path in chunk]))
            continue
        images = pictures(prompt, what, list(chunk.values()))
        for path, image in zip(chunk, images, strict=True):
            write_atomic(path, encode_png(image), durable=False)
        parts.append(images)
        progress.advance(len(chunk))
    return np.concatenate(parts)


def left(seeds: Sequence[int], folder: Path) -> int:
    """Pictures that `render` would make."""
    return sum(len(chunk) for chunk in _chunks(seeds, folder) if not all(path.is_file() for path in chunk))


def assigned(classifier: Classifier, target: int | None, images: NDArray[np.uint8]) -> tuple[bool, ...] | None:
    """Whether the classifier gives each picture to the class; None without a class. See `decision`."""
    if target is None:
        return None
    outputs = np.asarray(classifier.predict(images)).reshape(len(images), -1)  # (n, C)
    return tuple(bool(value) for value in given_to(outputs, classifier.outputs, target))


def decision(model: DifferentiableClassifier) -> str:
    """When a picture counts as given to the class."""
    if model.outputs == "scores" or model.n_classes == 1:
        return f"its output is above {'.5' if model.outputs == 'probabilities' else '0'}"
    return "its output is the largest"


def nearest_tokens(prompt: SoftPrompt, state: PromptState) -> tuple[tuple[str, ...], ...]:
    """For each free token the nearest tokens of the first text encoder's vocabulary, by cosine."""
    encoder = prompt.gradient_generator.encoders[0]
    with torch.no_grad():
        table = functional.normalize(encoder.table.float(), dim=1)  # (V, C)
        near = functional.normalize(state.tokens[0].to(table), dim=1) @ table.T  # (n, V)
        near[:, list(encoder.tokenizer.all_special_ids)] = -math.inf
        found = near.topk(min(_NEAREST, near.shape[1]), dim=1).indices
    return tuple(tuple(encoder.tokenizer.decode([i]).strip() for i in row) for row in found.tolist())


def _chunks(seeds: Sequence[int], folder: Path) -> list[dict[Path, int]]:
    """File -> seed, a mapping for each set of pictures that are rendered together."""
    files = [(folder / f"{i:04d}.png", seed) for i, seed in enumerate(seeds)]
    return [dict(files[start : start + CHUNK]) for start in range(0, len(files), CHUNK)]


def _read(path: Path) -> NDArray[np.uint8]:
    try:
        return decode_image(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read ({error}). Remove it and run the command again.") from error
