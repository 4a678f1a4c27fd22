"""What an explanation holds: the optimised prompt beside the best words, the class name and the unoptimised prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from genlens.errors import RunFolderError
from genlens.prompts.words import WordRanking
from genlens.proportions import wilson_interval

EXPLANATION_FILE = "explanation.json"
SOFT, WORDS, CLASS_NAME, UNOPTIMISED = "soft prompt", "best words", "class name", "unoptimised"
"""The prompts that are compared, in the order in which they are shown."""
WORDS_START = "words"
"""A start of the soft prompt: the captions that the word search liked best."""


@dataclass(frozen=True)
class PromptResult:
    """One prompt on the held-out seeds, the same for all prompts.

    Attributes:
        name: one of the four.
        caption: its text; None for the soft prompt, which has none.
        scores: what was maximised, one number a seed.
        assigned: whether each picture is given to the class; None for a neural feature.
        low: lower end of the interval of the mean score.
        high: its upper end.
    """

    name: str
    caption: str | None
    scores: tuple[float, ...]
    assigned: tuple[bool, ...] | None
    low: float
    high: float

    @property
    def mean(self) -> float:
        """Mean score."""
        return sum(self.scores) / len(self.scores)

    @property
    def activation(self) -> float | None:
        """Activation score: share of the pictures given to the class."""
        return None if self.assigned is None else sum(self.assigned) / len(self.assigned)

    def activation_interval(self, confidence: float) -> tuple[float, float] | None:
        """Wilson's interval of it."""
        return None if self.assigned is None else wilson_interval(sum(self.assigned), len(self.assigned), confidence)


@dataclass(frozen=True)
class Difference:
    """The soft prompt against another one, seed by seed: mean difference of the scores, with its interval."""

    against: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Optimisation:
    """How the soft prompt was found.

    Attributes:
        steps: steps taken.
        best_step: the step whose prompt was kept.
        best_restart: and its restart.
        stopped: why it ended early, or None.
        looks: (step, mean score of the best restart on the seeds that chose), in order.
        nearest: for each free token the vocabulary's nearest tokens; they describe, they don't explain.
        starts: texts that the restarts began with, the first restart's first; empty: random tokens or one given text.
    """

    steps: int
    best_step: int
    best_restart: int
    stopped: str | None
    looks: tuple[tuple[int, float], ...]
    nearest: tuple[tuple[str, ...], ...]
    starts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """The explanation of a class or a neural feature.

    Attributes:
        target: as the user wrote it.
        objective: what was maximised.
        class_index: the class; None for a neural feature.
        class_name: its name; None where a neural feature belongs to no class.
        decision: when a picture counts as given to the class; None for a neural feature.
        prompts: the soft prompt first.
        differences: of the soft prompt to each of the others.
        ranking: the words.
        optimisation: how the soft prompt was found.
        confidence: level of all intervals.
        settings: of the run, JSON values by name.
    """

    target: str
    objective: str
    class_index: int | None
    class_name: str | None
    decision: str | None
    prompts: tuple[PromptResult, ...]
    differences: tuple[Difference, ...]
    ranking: WordRanking
    optimisation: Optimisation
    confidence: float
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_images(self) -> int:
        """Held-out seeds."""
        return len(self.prompts[0].scores)

    def prompt(self, name: str) -> PromptResult | None:
        """The result of a prompt; None if there is none of that name."""
        return next((one for one in self.prompts if one.name == name), None)

    def to_json(self) -> str:
        """As JSON text; activation scores with their intervals are written out for other readers."""
        content = asdict(self)
        for entry, one in zip(content["prompts"], self.prompts, strict=True):
            entry |= {"mean": one.mean, "activation": one.activation}
            entry["activation_interval"] = one.activation_interval(self.confidence)
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def load(cls, run: str | Path) -> Explanation:
        """Read the explanation of a finished run.

        Raises:
            RunFolderError: there is none, or it is damaged.
        """
        path = Path(run) / EXPLANATION_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return _from_content(content)
        except FileNotFoundError:
            raise RunFolderError(f"{run} has no finished explanation: there is no {EXPLANATION_FILE}.") from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise RunFolderError(f"{path} is damaged ({type(error).__name__}). Run `genlens explain` again.") from error


def _from_content(content: dict[str, Any]) -> Explanation:
    derived = ("mean", "activation", "activation_interval")
    prompts = []
    for entry in content["prompts"]:
        own = {name: value for name, value in entry.items() if name not in derived}
        own["scores"] = tuple(float(value) for value in own["scores"])
        own["assigned"] = None if own["assigned"] is None else tuple(bool(value) for value in own["assigned"])
        prompts.append(PromptResult(**own))
    optimisation = dict(content["optimisation"])
    optimisation["looks"] = tuple((int(step), float(score)) for step, score in optimisation["looks"])
    optimisation["starts"] = tuple(str(text) for text in optimisation.get("starts", ()))
    optimisation["nearest"] = tuple(tuple(names) for names in optimisation["nearest"])
    return Explanation(
        **content
        | {
            "prompts": tuple(prompts),
            "differences": tuple(Difference(**one) for one in content["differences"]),
            "ranking": WordRanking.from_dict(content["ranking"]),
            "optimisation": Optimisation(**optimisation),
        }
    )
