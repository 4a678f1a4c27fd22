"""Where an optimisation stands: enough to go on as if it had never been stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genlens.errors import RunFolderError
from genlens.files import write_atomic
from genlens.prompts.soft import PromptState, SoftPrompt

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Standing:
    """The state after a step.

    Attributes:
        number: steps taken.
        tokens: the free embeddings (R, n_tokens, C) for each text encoder.
        moments: for each of them what Adam keeps, by its own names.
        best: the best prompt so far.
        notes: whatever the caller keeps beside it, JSON values.
    """

    number: int
    tokens: tuple[Tensor, ...]
    moments: tuple[dict[str, Tensor], ...]
    best: PromptState
    notes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, number: int, prompt: SoftPrompt, adam: torch.optim.Adam, best: PromptState) -> Standing:
        """A copy of the state of a running optimisation."""
        moments = tuple({name: adam.state[one][name].clone() for name in _MOMENTS} for one in prompt.tokens)
        return cls(number, tuple(one.detach().clone() for one in prompt.tokens), moments, best)

    def restore(self, prompt: SoftPrompt, adam: torch.optim.Adam) -> None:
        """Put the state back.

        Raises:
            RunFolderError: it belongs to another prompt.
        """
        shapes = [tuple(one.shape) for one in prompt.tokens]
        if shapes != [tuple(one.shape) for one in self.tokens]:
            raise RunFolderError(f"The checkpoint doesn't fit: the prompt's tokens have the shapes {shapes}.")
        with torch.no_grad():
            for own, kept, moments in zip(prompt.tokens, self.tokens, self.moments, strict=True):
                own.copy_(kept)
                adam.state[own] = {
                    name: value.clone() if name == "step" else value.to(own, copy=True)
                    for name, value in moments.items()
                }

    def save(self, path: Path) -> None:
        """Write a safetensors file, whole or not at all.

        Raises:
            WriteError: the disk is full, or the folder can't be written.
        """
        from safetensors.torch import save

        tensors = {f"tokens.{i}": value for i, value in enumerate(self.tokens)}
        tensors |= {f"{name}.{i}": one[name] for i, one in enumerate(self.moments) for name in _MOMENTS}
        tensors |= {f"best.{i}": value for i, value in enumerate(self.best.tokens)}
        best = {"score": self.best.score, "step": self.best.step, "restart": self.best.restart}
        told = {"number": self.number, "best": best, "notes": dict(self.notes)}
        whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        write_atomic(path, save(whole, metadata={"genlens": json.dumps(told)}), durable=False)

    @classmethod
    def load(cls, path: Path) -> Standing | None:
        """What `save` wrote; None if there is no such file.

        Raises:
            RunFolderError: it is damaged.
        """
        from safetensors import SafetensorError, safe_open

        if not path.is_file():
            return None
        try:
            with safe_open(str(path), framework="pt") as file:
                told = json.loads(file.metadata()["genlens"])
                n = sum(key.startswith("tokens.") for key in file.keys())  # noqa: SIM118
                tokens = tuple(file.get_tensor(f"tokens.{i}") for i in range(n))
                moments = tuple({name: file.get_tensor(f"{name}.{i}") for name in _MOMENTS} for i in range(n))
                best = PromptState(tuple(file.get_tensor(f"best.{i}") for i in range(n)), **told["best"])
            return cls(int(told["number"]), tokens, moments, best, dict(told["notes"]))
        except (OSError, KeyError, ValueError, TypeError, SafetensorError) as error:
            raise RunFolderError(
                f"{path} is damaged ({type(error).__name__}). Remove it, or pass --overwrite, and begin again."
            ) from error
