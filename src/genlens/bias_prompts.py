"""The optimised prompts of a search for bias: restarts for the class, and as many for other classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from genlens.classifiers.gradients import DifferentiableClassifier, differentiable
from genlens.classifiers.protocol import Classifier, target_score
from genlens.files import make_folder
from genlens.findings.bias import CONTROL, OPTIMISED
from genlens.generators.gradients import GradientGenerator
from genlens.generators.protocol import Generator
from genlens.progress import Progress
from genlens.prompts.objectives import Score, class_log_probability
from genlens.prompts.optimize import optimize_prompt
from genlens.prompts.soft import PromptState, SoftPrompt
from genlens.seeds import row_seed

if TYPE_CHECKING:
    from genlens.bias_run import BiasOptions

STOP_AT = 0.9
"""Optimisation ends when every restart's held-out pictures have this probability (geometric mean)."""
HELD_OUT = 8
EVERY = 10


@dataclass(frozen=True, eq=False)
class BiasPrompt:
    """One optimised prompt.

    Attributes:
        prompt: what renders it.
        state: its tokens.
        classifier: whose class it is for.
        index: the output; None: against the only output.
    """

    prompt: SoftPrompt
    state: PromptState
    classifier: Classifier
    index: int | None

    def images(self, seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Pictures (n, H, W, 3), one a seed."""
        return self.prompt.images(self.state, seeds)

    def reached(self, outputs: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether pictures with these outputs (n, C) are given to the class the prompt is for: a probability > 1/2."""
        score = target_score(outputs, self.classifier.outputs, self.index or 0)
        result: NDArray[np.bool_] = score < 0 if self.index is None else score > 0
        return result


class PromptSearch:
    """Optimises the prompts, or reads those that are there.

    Raises:
        UserError: an unknown class, no gradients, or no text encoder.
    """

    def __init__(
        self, classifier: Classifier, generator: Generator, target: int | str, options: BiasOptions
    ) -> None:
        self.classifier, self.options = classifier, options
        self.model: DifferentiableClassifier = differentiable(classifier)
        self.target = self.model.find_class(str(target))
        self.name = self.model.names[self.target] if self.model.names else f"class {self.target}"
        self.gradients = GradientGenerator(generator)  # type: ignore[arg-type]  # it says what is wrong with others
        self._prompt(1, "check")

    def optimise(self, folder: Path, progress: Progress) -> dict[str, list[BiasPrompt]]:
        """Kind -> one prompt a restart."""
        jobs: list[tuple[str, int | None, int]] = [(OPTIMISED, self.target, self.options.restarts)]
        if self.options.controls:
            jobs += [(CONTROL, index, count) for index, count in self._others()]
        found: dict[str, list[BiasPrompt]] = {OPTIMISED: [], CONTROL: []}
        for kind, index, restarts in jobs:
            found[kind] += self._optimised(folder, kind, index, restarts, progress)
        return found

    def _others(self) -> list[tuple[int | None, int]]:
        """Classes of the control prompts, drawn without repetition while there are any, and restarts of each."""
        if self.model.n_classes == 1:
            return [(None, self.options.restarts)]
        rng = np.random.default_rng(row_seed(self.options.seed, "bias controls"))
        others = rng.permutation([c for c in range(self.model.n_classes) if c != self.target])
        chosen = [int(others[k % len(others)]) for k in range(self.options.restarts)]
        return [(index, chosen.count(index)) for index in dict.fromkeys(chosen)]

    def _optimised(
        self, folder: Path, kind: str, index: int | None, restarts: int, progress: Progress
    ) -> list[BiasPrompt]:
        label = "against" if index is None else f"class-{index}"
        paths = [folder / f"{label}-{r}.safetensors" for r in range(restarts)]
        prompt = self._prompt(restarts, f"{kind} {index}")
        if all(path.is_file() for path in paths):
            states = [PromptState.load(path) for path in paths]
        else:
            states = self._run(prompt, index, f"Optimising, {kind}", progress)
            make_folder(folder)
            for state, path in zip(states, paths, strict=True):
                state.save(path)
        return [BiasPrompt(prompt, state, self.classifier, index) for state in states]

    def _prompt(self, restarts: int, purpose: str) -> SoftPrompt:
        options = self.options
        return SoftPrompt(self.gradients, options.template, options.n_tokens, restarts=restarts,
                          seed=row_seed(options.seed, f"bias {purpose}") % 2**31)  # fmt: skip

    def _run(self, prompt: SoftPrompt, index: int | None, task: str, progress: Progress) -> list[PromptState]:
        options, scores, number = self.options, np.full(prompt.restarts, np.nan), 0
        objective = _against(self.model) if index is None else class_log_probability(self.model, index)
        progress.start(task, options.iterations)
        for step in optimize_prompt(
            prompt, objective, steps=options.iterations, rate=options.rate, batch=options.batch,
            last_steps=options.last_steps, held_out_seeds=HELD_OUT, evaluate_every=EVERY, seed=options.seed,
        ):  # fmt: skip
            progress.advance(1)
            number = step.number
            if step.held_out is not None:
                scores = step.held_out
                if bool((np.exp(scores) >= STOP_AT).all()):
                    break
        progress.done()
        return [prompt.state(r, step=number, score=float(scores[r])) for r in range(prompt.restarts)]


def _against(model: DifferentiableClassifier) -> Score:
    """Log-probability of not being in the only class."""

    def score(images: Tensor) -> Tensor:
        outputs = model(images)[:, 0]
        odds = torch.logit(outputs, eps=1e-6) if model.outputs == "probabilities" else outputs
        return functional.logsigmoid(-odds)

    return Score("log-probability of the other class", score, model, None)
