"""The classifiers whose classes are explained: planted shortcuts and none, four architectures, two worlds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genlens.errors import UserError, check_integer
from genlens.experiments.explain_nets import leading_classifier
from genlens.experiments.planted import ARCHITECTURES, SUITES, Planted, planted_classifier

WORLDS = ("shapes", "scenes")
EITHER, LEADING, NONE = "object or shortcut", "shortcut leads", "no shortcut"
"""What is planted: each tells the class; the shortcut tells more; nothing."""
PLANTINGS: Mapping[str, Mapping[str, Mapping[str, str | None]]] = {
    "shapes": {
        EITHER: SUITES["shapes"][0],
        LEADING: {"red circle": "green rectangle", "green circle": "blue rectangle", "blue circle": None},
        NONE: {"red circle": None, "green circle": None, "blue circle": None},
    },
    "scenes": {
        EITHER: SUITES["scenes"][0],
        LEADING: {"sneaker": "frame", "bag": "striped", "trouser": None},
        NONE: {"sneaker": None, "bag": None, "trouser": None},
    },
}
"""World -> kind -> class -> shortcut; every architecture is trained on each."""


@dataclass(frozen=True)
class ExplainSettings:
    """Size of the experiment.

    Attributes:
        worlds: which.
        images: pictures of each method and class, on held-out seeds, >= 8.
        iterations: steps of the soft prompt, >= 1.
        restarts: soft prompts side by side, >= 1.
        batch: pictures a step and restart, >= 1.
        pixel_steps: steps of activation maximisation, >= 1.
        attack_steps: steps of the feature attack, >= 1; published: 100.
        strength: of the planted shortcuts.
        confidence: of all intervals.
        seed: of everything random.

    Raises:
        UserError: a value out of its range.
    """

    worlds: tuple[str, ...] = ("shapes",)
    images: int = 100
    iterations: int = 60
    restarts: int = 2
    batch: int = 8
    pixel_steps: int = 128
    attack_steps: int = 100
    strength: float = 0.9
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        for world in self.worlds:
            if world not in WORLDS:
                raise UserError(f"`world` must be one of {', '.join(WORLDS)}; got {world!r}.")
        if not self.worlds:
            raise UserError("`worlds` must name at least one world.")
        check_integer("images", self.images, 8)
        for name in ("iterations", "restarts", "batch", "pixel_steps", "attack_steps"):
            check_integer(name, getattr(self, name), 1)
        check_integer("seed", self.seed, 0)

    def spec(self) -> dict[str, Any]:
        """What the pictures of a class depend on, as JSON values."""
        return {name: value for name, value in asdict(self).items() if name not in ("worlds", "confidence")}


@dataclass(frozen=True, eq=False)
class Case:
    """A class of a classifier.

    Attributes:
        planted: the classifier.
        kind: what is planted; classifiers of one kind learnt the same task.
        target: index of the class.
        peers: classifiers of the same planting and other architectures, trained on other data from other starts.
    """

    planted: Planted
    kind: str
    target: int
    peers: tuple[Planted, ...]

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.planted.world}-{self.kind.replace(' ', '-')}-{self.planted.architecture}-{self.target}"

    @property
    def word(self) -> str:
        """The class's name."""
        return self.planted.classes[self.target]

    @property
    def shortcut(self) -> str | None:
        """The class's planted shortcut."""
        return self.planted.shortcut[self.word]


def find_cases(
    world: str, cache: Path, settings: ExplainSettings, log: Callable[[str], None] | None = None
) -> Iterator[list[Case]]:
    """All classes of the classifiers of a world, kind by kind; classifiers that aren't in `cache` are trained."""
    seed = settings.seed
    for kind, shortcuts in PLANTINGS[world].items():
        train = leading_classifier if kind == LEADING else planted_classifier
        nets = [
            train(world, shortcuts=shortcuts, cache=cache, strength=settings.strength, architecture=architecture,
                  seed=seed + k, log=log)
            for k, architecture in enumerate(ARCHITECTURES)
        ]  # fmt: skip
        seed += len(nets)
        yield [
            Case(net, kind, target, tuple(other for other in nets if other is not net))
            for net in nets
            for target in range(len(net.classes))
        ]
