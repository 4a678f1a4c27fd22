"""Training for so many seconds: the learning rate follows the clock, so a slow machine ends as gently as a fast one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from genlens.training.team import Team


def warmup_cosine(progress: float, warmup: float = 0.03) -> float:
    """Factor on the learning rate at a share `progress` in [0, 1] of the training time."""
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))


class TimedTraining:
    """AdamW for `seconds` of wall-clock time; the caller owns data and loss.

    ::

        training = TimedTraining("vae", vae, seconds, rate)
        for step in training.steps():
            training.update(loss_of(step))

    Args:
        name: for the lines it prints.
        module: what is trained.
        seconds: wall-clock time.
        rate: the highest learning rate; see `warmup_cosine`.
        betas: of AdamW.
        weight_decay: of AdamW.
        clip: largest norm of the gradient; None: as it is.
        every: steps from one line to the next.
        team: processes that share each batch; the first prints. None: this one alone.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        seconds: float,
        rate: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        clip: float | None = 1.0,
        every: int = 50,
        team: Team | None = None,
    ) -> None:
        self.name, self.module, self.seconds, self.rate = name, module, seconds, rate
        self.clip, self.every, self.team = clip, every, team or Team()
        self.optimizer = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=weight_decay, betas=betas)
        self.step, self.elapsed = 0, 0.0

    def steps(self) -> Iterator[int]:
        """Numbers of steps from 0 until the time is over; each wants one `update`."""
        start = time.monotonic()
        while (elapsed := self.team.same(time.monotonic() - start)) < self.seconds:
            self.elapsed = elapsed
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * warmup_cosine(elapsed / self.seconds)
            yield self.step
            self.step += 1

    def update(self, total: Tensor, /, **shown: Tensor) -> None:
        """Go one step down the gradient of `total`; the line shows it as "loss", or the numbers `shown`."""
        self.optimizer.zero_grad()
        total.backward()
        self.team.average_gradients(self.module)
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.clip)
        self.optimizer.step()
        if self.step % self.every == 0 and not self.team.rank:
            numbers = "  ".join(f"{name} {value:.4f}" for name, value in (shown or {"loss": total}).items())
            print(f"{self.name} {self.elapsed:5.0f} s  step {self.step}  {numbers}", flush=True)
