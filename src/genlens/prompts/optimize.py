"""Optimising a soft prompt: a loop that yields its steps, so that the caller owns logging and stopping."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from genlens.errors import UserError, check_integer
from genlens.generators.protocol import Generator
from genlens.prompts.objectives import Objective
from genlens.prompts.soft import PromptState, SoftPrompt
from genlens.prompts.standing import Standing
from genlens.seeds import row_seed

Noise = Literal["fresh", "fixed"]
"""New noise each step, so that the expectation over seeds is maximised, or the same."""
Precision = Literal["float32", "bfloat16"]
STEPS, RATE, BATCH = 60, 0.1, 4
HELD_OUT = 16
"""Seeds on which the best prompt is chosen."""
STARTS = 16
"""Random starts that are looked at for each restart."""
_COARSE = 8
"""Side of the small pictures that diversity compares, in pixels."""


@dataclass(frozen=True)
class Step:
    """One step of the optimisation.

    Attributes:
        number: 1, 2, ….
        loss: what was minimised.
        score: the objective's mean over this step's pictures, before the prompt moved.
        scores: the same for each restart, (R,).
        held_out: mean score of each restart on the held-out seeds, (R,), after the prompt moved; None where it wasn't
            measured.
        best: the best prompt so far by that score, not by the batch's.
        stopped: why this is the last step; None if it isn't, or if it is simply the last.
    """

    number: int
    loss: float
    score: float
    scores: NDArray[np.float64]
    held_out: NDArray[np.float64] | None
    best: PromptState
    stopped: str | None
    render: Callable[[PromptState, Sequence[int]], NDArray[np.uint8]]
    standing: Callable[[], Standing]
    """A copy of everything that going on from here needs; take it before the next step."""

    def image(self, seed: int | None = None) -> NDArray[np.uint8]:
        """A picture uint8 (H, W, 3) of the best prompt so far."""
        pictures = self.render(self.best, [report_seeds(0, 1)[0] if seed is None else seed])
        first: NDArray[np.uint8] = pictures[0]
        return first


def optimize_prompt(
    prompt: SoftPrompt,
    objective: Objective,
    *,
    steps: int = STEPS,
    rate: float = RATE,
    batch: int = BATCH,
    last_steps: int | None = 1,
    checkpointing: bool | None = None,
    noise: Noise = "fresh",
    diversity: float = 0.0,
    vocabulary_pull: float = 0.0,
    held_out_seeds: int | Sequence[int] = HELD_OUT,
    evaluate_every: int = 10,
    starts: int = STARTS,
    precision: Precision = "float32",
    seed: int = 0,
    resume: Standing | None = None,
) -> Iterator[Step]:
    """Maximise an objective over a soft prompt by Adam, one step at a time.

    Args:
        prompt: changed in place; what counts is `Step.best`.
        objective: see `genlens.prompts.objectives`.
        steps: at most.
        rate: learning rate, in standard deviations of the vocabulary's embeddings.
        batch: pictures of each restart in a step.
        last_steps: denoising steps through which gradients flow, see `GradientGenerator.render`.
        checkpointing: see there.
        noise: new noise each step, or the same. Restarts always share it.
        diversity: weight of the mean distance between the restarts' pictures of the same noise, as small pictures of
            8 x 8 pixels in [0, 1]; > 0 needs two restarts.
        vocabulary_pull: weight of `SoftPrompt.vocabulary_distance`, which pulls tokens towards words.
        held_out_seeds: how many, or which; the best prompt is chosen on them. Report on others (`report_seeds`): the
            best of many is best there by luck as well.
        evaluate_every: steps between two looks at the held-out seeds. The start and the last step always count.
        starts: random starts drawn for each restart that starts from random tokens, of which the best on `batch`
            pictures is taken: prompts that show nothing have nearly no gradient. A start that was given is kept.
        precision: "bfloat16" renders and scores under autocast while gradients are taken.
        seed: of the noise. The same seed gives the same prompt.
        resume: where an optimisation of the same prompt with the same arguments stood; it goes on as if never stopped.

    Yields:
        Steps. If the loss or a gradient is NaN or infinite, the last one says so in `stopped`, and `best` is kept.

    Raises:
        UserError: an argument out of its range; or a start that already scores NaN.
    """
    whole = {"steps": steps, "batch": batch, "evaluate_every": evaluate_every, "starts": starts}
    for name, count in (whole if last_steps is None else whole | {"last_steps": last_steps}).items():
        check_integer(name, count, 1)
    check_integer("seed", seed, 0)
    check_weights(rate, diversity, vocabulary_pull, prompt.restarts)
    for name, chosen, kinds in (("noise", noise, get_args(Noise)), ("precision", precision, get_args(Precision))):
        if chosen not in kinds:
            raise UserError(f"`{name}` must be one of {', '.join(kinds)}; got {chosen!r}.")
    held_out = held_out_noise(seed, held_out_seeds) if isinstance(held_out_seeds, int) else list(held_out_seeds)
    if not held_out:
        raise UserError("`held_out_seeds` must be at least one seed.")
    losses = _Losses(prompt, objective, batch, last_steps, checkpointing, diversity, vocabulary_pull, precision)
    return _run(
        prompt, objective, losses, steps, rate, noise == "fresh", held_out, evaluate_every, starts, seed, resume
    )


def check_weights(rate: float, diversity: float, vocabulary_pull: float, restarts: int) -> None:
    """Check the optimisation's real-valued arguments.

    Raises:
        UserError: a rate that isn't finite and > 0, a weight that isn't finite and >= 0, or diversity of one restart.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise UserError(f"`rate` must be a finite number > 0; got {rate!r}.")
    for name, weight in (("diversity", diversity), ("vocabulary_pull", vocabulary_pull)):
        if not (math.isfinite(weight) and weight >= 0):
            raise UserError(f"`{name}` must be a finite number >= 0; got {weight!r}.")
    if diversity > 0 and restarts < 2:
        raise UserError("`diversity` needs at least two restarts (`restarts`, `--restarts`).")


def _run(
    prompt: SoftPrompt, objective: Objective, losses: _Losses, steps: int, rate: float, fresh: bool,
    held_out: list[int], every: int, starts: int, seed: int, resume: Standing | None,
) -> Iterator[Step]:  # fmt: skip
    groups = [
        {"params": [tokens], "lr": rate * scale} for tokens, scale in zip(prompt.tokens, prompt.scales(), strict=True)
    ]
    adam = torch.optim.Adam(groups, betas=(0.9, 0.99))
    if resume is None:
        if starts > 1:
            _choose_starts(prompt, objective, starts, losses.batch, seed)
        best = _best(prompt, objective, held_out, 0, None)[0]
    else:
        resume.restore(prompt, adam)
        best = resume.best
    for number in range(1 if resume is None else resume.number + 1, steps + 1):
        loss, scores = losses(_seeds("optimise", seed, losses.batch, number if fresh else 0))
        adam.zero_grad()
        problem = None if math.isfinite(float(loss.detach())) else f"the loss is {float(loss.detach())}"
        if problem is None:
            loss.backward()
            if not all(bool(torch.isfinite(one.grad).all()) for one in prompt.tokens if one.grad is not None):
                problem = "the gradient isn't finite"
        measured = None
        if problem is None:
            adam.step()
            if number % every == 0 or number == steps:
                best, measured = _best(prompt, objective, held_out, number, best)
        else:
            problem = f"Stopped at step {number}: {problem}. The best prompt is that of step {best.step}."
        yield Step(
            number, float(loss.detach()), float(scores.mean()), scores.cpu().numpy(), measured, best, problem,
            prompt.images, partial(Standing.of, number, prompt, adam, best),
        )  # fmt: skip
        if problem is not None:
            return


class _Losses:
    """The loss of one step."""

    def __init__(
        self, prompt: SoftPrompt, objective: Objective, batch: int, last_steps: int | None, checkpointing: bool | None,
        diversity: float, vocabulary_pull: float, precision: Precision,
    ) -> None:  # fmt: skip
        self.prompt, self.objective, self.batch = prompt, objective, batch
        self.how: dict[str, Any] = {"last_steps": last_steps, "checkpointing": checkpointing}
        self.diversity, self.vocabulary_pull, self.precision = diversity, vocabulary_pull, precision

    def __call__(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Loss, and the mean score of each restart (R,) float64, of one picture a restart and seed."""
        restarts, generator = self.prompt.restarts, self.prompt.gradient_generator
        whose = torch.arange(restarts, device=generator.device).repeat_interleave(len(seeds))  # (R * B,)
        narrow = self.precision == "bfloat16"
        with torch.autocast(generator.device.type, torch.bfloat16) if narrow else nullcontext():
            told = self.prompt.conditioning().rows(whose)
            images = generator.render(told, list(seeds) * restarts, **self.how)
            scores = self.objective(images).float().view(restarts, len(seeds))
        loss = -scores.mean()
        if self.diversity:
            loss = loss - self.diversity * spread(images.view(restarts, len(seeds), *images.shape[1:]))
        if self.vocabulary_pull:
            loss = loss + self.vocabulary_pull * self.prompt.vocabulary_distance()
        return loss, scores.detach().double().mean(dim=1)


def spread(images: Tensor) -> Tensor:
    """Mean root-mean-square distance between two restarts' small pictures of the same noise, from (R, B, 3, H, W)."""
    restarts = len(images)
    small = functional.adaptive_avg_pool2d(images.flatten(0, 1), _COARSE).reshape(*images.shape[:2], -1)  # (R, B, 192)
    one, other = torch.triu_indices(restarts, restarts, 1)
    return (small[one] - small[other]).square().mean(dim=2).add(1e-8).sqrt().mean()


def _choose_starts(prompt: SoftPrompt, objective: Objective, starts: int, batch: int, seed: int) -> None:
    """Give each restart without a given start the best of `starts` random ones."""
    seeds = _seeds("start", seed, batch)
    for restart in range(prompt.restarts):
        if not prompt.random_start[restart]:
            continue
        drawn = prompt.random_states(starts, _seeds("start tokens", seed, 1, restart)[0])
        scores = [held_out_scores(prompt, state, objective, seeds).mean() for state in drawn]
        if np.isfinite(scores).any():
            prompt.set_state(drawn[int(np.nanargmax(scores))], restart, random=True)


def _best(
    prompt: SoftPrompt, objective: Objective, seeds: list[int], number: int, best: PromptState | None
) -> tuple[PromptState, NDArray[np.float64]]:
    """The best prompt after looking at all restarts on the held-out seeds, and their mean scores (R,)."""
    measured = np.full(prompt.restarts, np.nan)
    for restart in range(prompt.restarts):
        state = prompt.state(restart, step=number)
        measured[restart] = held_out_scores(prompt, state, objective, seeds).mean()
        if np.isfinite(measured[restart]) and (best is None or measured[restart] > best.score):
            best = PromptState(state.tokens, float(measured[restart]), number, restart)
    if best is None:
        raise UserError(f"The start scores {measured[0]} on {objective.name}. Another `start`, or precision='float32'?")
    return best, measured


def held_out_scores(
    generator: SoftPrompt | Generator,
    prompt: PromptState | str,
    objective: Objective,
    seeds: Sequence[int],
    *,
    batch_size: int = 32,
) -> NDArray[np.float64]:
    """Scores (n,) of a prompt's pictures on n seeds: the same way for soft prompts and for captions.

    Args:
        generator: the soft prompt that a state belongs to; any generator for a caption.
        prompt: a state of the soft prompt, or a caption.
        objective: scores pictures, as they are after rounding to grey levels.
        seeds: one a picture.
        batch_size: pictures at a time.

    Raises:
        UserError: a caption for a soft prompt's generator that has none, or a picture with NaN.
    """
    parts = []
    for first in range(0, len(seeds), batch_size):
        some = list(seeds[first : first + batch_size])
        pixels = pictures(generator, prompt, some)
        with torch.no_grad():
            scores = objective(torch.as_tensor(pixels).permute(0, 3, 1, 2).float() / 255)
        parts.append(scores.double().cpu().numpy())
    result: NDArray[np.float64] = np.concatenate(parts)
    return result


def pictures(generator: SoftPrompt | Generator, prompt: PromptState | str, seeds: Sequence[int]) -> NDArray[np.uint8]:
    """Pictures uint8 (n, H, W, 3) of a soft prompt's state or of a caption, one a seed."""
    if isinstance(prompt, PromptState):
        if not isinstance(generator, SoftPrompt):
            raise UserError("A state is rendered by the SoftPrompt it belongs to.")
        return generator.images(prompt, list(seeds))
    source: Generator = generator.gradient_generator.generator if isinstance(generator, SoftPrompt) else generator
    images: NDArray[np.uint8] = source.generate([prompt] * len(seeds), list(seeds))
    return images


def held_out_noise(seed: int, count: int) -> list[int]:
    """Seeds on which the best prompt is chosen; never those of the optimisation or of a report."""
    return _seeds("held out", seed, check_integer("held_out_seeds", count, 1))


def report_seeds(seed: int, count: int) -> list[int]:
    """Seeds for the figures that are reported; neither optimised nor chosen on."""
    return _seeds("report", seed, check_integer("count", count, 1))


def _seeds(purpose: str, seed: int, count: int, draw: int = 0) -> list[int]:
    return [row_seed(seed, f"prompt {purpose} {i}", draw) for i in range(count)]
