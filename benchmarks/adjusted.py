"""Does adjusting put right what a weak generator spoils? `python benchmarks/adjusted.py [--quick]`.

Rows of the shapes data set, rendered by the drawer with harm switches: a share of each concept's flips that don't show,
and shapes that come and go with others. Target models are heads on the shipped concept net; the concept classifier is
the shipped checker, another network from other data. Truth is permutation at the bottleneck on the real images.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from genlens.captions import reference_captions
from genlens.classifiers.bundled import load_shapes_checker, load_shapes_concepts
from genlens.classifiers.concept_net import sigmoid
from genlens.concepts import ConceptTable
from genlens.datasets.shapes import CONCEPTS, draw, sample_presence, sample_slots
from genlens.generators.drawer import DrawerGenerator
from genlens.plan import Plan, make_plan
from genlens.seeds import row_seed

Floats = NDArray[np.float64]
D = len(CONCEPTS)
LEAKS = (0.55, 0.0, 0.5, 0.0, 0.6, 0.0)  # of concept j into the one after it
IGNORED = (0.0, 0.7, 0.2, 0.55, 0.35, 0.1)  # of concept j's flips


@dataclass(frozen=True)
class Scenario:
    """A generator: its faults for each concept."""

    name: str
    ignored: Sequence[float] = (0.0,) * D
    leaks: Sequence[float] = (0.0,) * D
    blur: float = 0.0

    def generator(self, concept: int, references: dict[int, str]) -> DrawerGenerator:
        """Renders the flips of one concept."""
        leak = (CONCEPTS[concept], CONCEPTS[(concept + 1) % D], self.leaks[concept]) if self.leaks[concept] else None
        return DrawerGenerator(ignore_flips=self.ignored[concept], leak=leak, blur=self.blur, references=references)


SCENARIOS = (
    Scenario("perfect"),
    Scenario("ignores .5", (0.5,) * D),
    Scenario("ignores 0-.7", IGNORED),
    Scenario("leaks .5-.6", leaks=LEAKS),
    Scenario("ignores, leaks", IGNORED, LEAKS),
    Scenario("same, blur 1", IGNORED, LEAKS, 1.0),
)


class Scorer:
    """Both nets' probabilities of images; the same image is scored once."""

    def __init__(self) -> None:
        self.nets = (load_shapes_concepts(device="cpu"), load_shapes_checker(device="cpu"))
        self.known: dict[bytes, Floats] = {}

    def __call__(self, images: NDArray[np.uint8]) -> Floats:
        """(B, 2, D): target's concept net, checker."""
        keys = [blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        new = {key: i for i, key in enumerate(keys) if key not in self.known}
        if new:
            batch = images[list(new.values())]
            found = np.stack([net.probabilities(batch) for net in self.nets], axis=1).astype(np.float64)
            self.known.update(zip(new, found, strict=True))
        return np.stack([self.known[key] for key in keys])


@dataclass(frozen=True, eq=False)
class Rendered:
    """Scores of one scenario's images by the two nets."""

    plan: Plan
    presence: NDArray[np.int64]  # (N, D)
    real: Floats  # (N, 2, D)
    states: list[Floats]  # D times (N, 2, 2, D): row, state, net, concept seen


def render(scenario: Scenario, n_rows: int, seed: int, score: Scorer) -> Rendered:
    """Draw real rows and, with the scenario's faults, all states of their concepts."""
    presence, slots = sample_presence(n_rows, seed), sample_slots(n_rows, seed)
    frame = pd.DataFrame(presence, columns=list(CONCEPTS)).assign(file_name=[f"{seed}-{i}" for i in range(n_rows)])
    table = ConceptTable.from_frame(frame, list(CONCEPTS))
    plan = make_plan(table, seed)
    references = {plan.seeds[i]: text for i, text in zip(plan.reference[:, 0], reference_captions(table), strict=True)}
    references = {int(seed): text for seed, text in references.items()}
    states = []
    for j, concept in enumerate(plan.states):
        index = concept.index[:, :, 0]  # (N, 2)
        generator = scenario.generator(j, references)
        parts = [
            generator.generate([plan.captions[i] for i in column], plan.seeds[column].tolist()) for column in index.T
        ]
        states.append(np.stack([score(images) for images in parts], axis=1))
    return Rendered(plan, presence, score(draw(presence, slots.params)), states)
