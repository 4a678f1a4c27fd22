"""Training in several processes of one thread each: every step ends with the mean of their gradients.

On a busy machine threads of one process wait for one another in loops that take processor time; processes don't.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_PATIENCE = 300.0
"""Seconds after which a process gives up on the others."""


class Team:
    """One process of a team; alone by default.

    Attributes:
        rank: number of this process, 0 for the one that writes files.
        size: number of processes.
    """

    def __init__(self, rank: int = 0, board: Tensor | None = None, barrier: Any = None) -> None:
        self.rank, self.size = rank, 1 if board is None else len(board)
        self._board, self._barrier = board, barrier

    def mean(self, values: Tensor) -> Tensor:
        """The mean of the processes' values (P,), the same to the last bit in all of them."""
        if self._board is None:
            return values
        self._board[self.rank, : len(values)] = values
        self._barrier.wait(_PATIENCE)
        result = self._board[:, : len(values)].mean(dim=0)
        self._barrier.wait(_PATIENCE)
        return result

    def same(self, value: float) -> float:
        """The mean of one number of each process."""
        return float(self.mean(torch.tensor([value]))) if self.size > 1 else value

    def average_gradients(self, model: nn.Module) -> None:
        """Replace the gradients of `model` by the processes' mean."""
        if self.size == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()


def run_team(work: Callable[..., None], size: int, numbers: int, arguments: tuple[Any, ...]) -> None:
    """Call `work(team, *arguments)` in `size` forked processes; this one is number 0.

    Args:
        work: a function of a module, so that other processes can import it.
        size: number of processes.
        numbers: the most that they have to average at once.
        arguments: the other arguments.
    """
    if size == 1:
        work(Team(), *arguments)
        return
    context: Any = torch.multiprocessing.get_context("fork")
    board, barrier = torch.zeros(size, numbers).share_memory_(), context.Barrier(size)
    others = [
        context.Process(target=work, args=(Team(rank, board, barrier), *arguments), daemon=True)
        for rank in range(1, size)
    ]
    for process in others:
        process.start()
    work(Team(0, board, barrier), *arguments)
    for process in others:
        process.join()
