"""Which images must be rendered, each once, and which of them show what.

A permutation of a concept gives each row one of a few *states* of that concept. With the row's noise kept, the image of
a state is fixed, so all permutations are index work on the images of the states: N(1 + D) images for D binary concepts,
whatever the number of permutations. States are grouped in *strata* whose weights keep the concept's marginal:

- binary: absent and present; one of them is the row's reference image.
- category, and counts of few values: one state for each distinct value.
- segment, and counts of many values: absent, and `n_donors` values carried from rows that have the concept.
- number: `n_donors` values carried from other rows.

Donors are used evenly and a row is never its own donor (its own value is tied to its label, so using it as the
"present" state would bias the importance downwards). Everything hangs on the seed and the rows' ids, nothing on the
order of rows or concepts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genlens.captions import CaptionWriter, plain
from genlens.columns import Concept
from genlens.concepts import ConceptTable
from genlens.errors import UserError, check_integer
from genlens.seeds import row_seed

Noise = Literal["common", "fresh"]
"""Whether a row keeps its noise in all states ("common") or every state has noise of its own ("fresh")."""

MAX_COUNT_STATES = 8
"""Counts with more distinct values than this use donors."""


@dataclass(frozen=True, eq=False)
class ConceptStates:
    """The images of one concept's states.

    Attributes:
        concept: its name.
        index: int64 (N, S, R), number of the image of row i in state slot s at draw r.
        stratum: int64 (S,), stratum of each slot.
        counts: int64 (B,), rows whose own value lies in stratum b.
        own: int64 (N,), stratum of the row's own value.
        strata: B names, e.g. ("absent", "present").
        states: object array (N, S), the concept's value in each slot.
    """

    concept: str
    index: NDArray[np.int64]
    stratum: NDArray[np.int64]
    counts: NDArray[np.int64]
    own: NDArray[np.int64]
    strata: tuple[str, ...]
    states: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Plan:
    """All images of a run: M distinct pairs of caption and seed.

    Attributes:
        captions: M captions.
        seeds: int64 (M,).
        reference: int64 (N, R), number of the image of row i with its own values at draw r.
        states: one entry a concept.
        extras: states that further analyses need (groups, a placebo, ...), by the analysis's name.
    """

    captions: tuple[str, ...]
    seeds: NDArray[np.int64]
    reference: NDArray[np.int64]
    states: tuple[ConceptStates, ...]
    extras: Mapping[str, tuple[ConceptStates, ...]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def n_images(self) -> int:
        """Number of images to render, M."""
        return len(self.captions)

    def n_naive(self, n_repeats: int) -> int:
        """Number of images without the plan: N R (1 + D P), each permutation rendered anew."""
        return int(self.reference.size) * (1 + len(self.states) * n_repeats)

    def n_further(self, states: ConceptStates) -> int:
        """Images of some states that neither the reference nor the concepts' own states need."""
        own = np.concatenate([self.reference.ravel(), *(item.index.ravel() for item in self.states)])
        return len(np.setdiff1d(states.index, own))


class PlanBuilder:
    """Collects the distinct images of a plan; what asks for an image that is there already gets its number.

    Attributes:
        table: the rows.
        seed: the run's seed.
        n_draws: noise draws R of each image.
        n_donors: donors a row, at most.
        noise: whether a row keeps its noise in all states.
        texts: N reference captions.
    """

    def __init__(self, table: ConceptTable, seed: int, n_draws: int = 1, n_donors: int = 2, noise: Noise = "common"):
        self.table, self.seed, self.n_draws, self.n_donors, self.noise = table, seed, n_draws, n_donors, noise
        self._writer = CaptionWriter(table)
        self.texts = tuple(self._writer.text(row) for row in range(table.n_rows))
        self._seeds = [[row_seed(seed, row_id, draw) for draw in range(n_draws)] for row_id in table.row_ids]
        self._numbers: dict[tuple[str, int], int] = {}

    def images(self, row: int, text: str, state: str | None = None) -> list[int]:
        """Numbers of the R images of a caption in a row.

        Args:
            row: its noise is used.
            text: the caption.
            state: what the caption shows, such as "cat=1"; with fresh noise each state has noise of its own. None: the
                row as it is.
        """
        if state is None or self.noise == "common":
            seeds = self._seeds[row]
        else:
            seeds = [row_seed(self.seed, self.table.row_ids[row], draw, state) for draw in range(self.n_draws)]
        return [self._numbers.setdefault((text, noise_seed), len(self._numbers)) for noise_seed in seeds]

    def index(self, names: Sequence[str], values: NDArray[Any]) -> NDArray[np.int64]:
        """Number the images of rows in the states of some concepts, all else in their captions as it is.

        Args:
            names: K concepts that change together.
            values: (N, S, K) their values in each state slot of each row.

        Returns:
            (N, S, R) image numbers.
        """
        n_rows, n_slots, _ = values.shape
        own = list(zip(*(self.table.concept(name).values.tolist() for name in names), strict=True))
        common = self.noise == "common"
        index = np.empty((n_rows, n_slots, self.n_draws), dtype=np.int64)
        for row, slots in enumerate(values.tolist()):
            for slot, state in enumerate(slots):
                changed = None if tuple(state) == own[row] else dict(zip(names, state, strict=True))
                text = self.texts[row] if changed is None else self._writer.text(row, changed)
                label = None if common else ", ".join(map("{}={}".format, names, map(plain, state)))
                index[row, slot] = self.images(row, text, label)
        return index

    def finish(
        self,
        reference: NDArray[np.int64],
        states: Sequence[ConceptStates],
        extras: Mapping[str, tuple[ConceptStates, ...]],
    ) -> Plan:
        """The plan of all images asked for so far."""
        captions = tuple(text for text, _ in self._numbers)
        seeds = np.fromiter((noise_seed for _, noise_seed in self._numbers), np.int64, len(self._numbers))
        return Plan(captions, seeds, reference, tuple(states), MappingProxyType(dict(extras)))


Extra = Callable[[PlanBuilder], tuple[ConceptStates, ...]]
"""Asks for the further images of an analysis."""


def make_plan(
    table: ConceptTable,
    seed: int,
    *,
    n_draws: int = 1,
    n_donors: int = 2,
    noise: Noise = "common",
    extras: Mapping[str, Extra] | None = None,
) -> Plan:
    """List the distinct images that every permutation of every concept needs.

    Args:
        table: the rows.
        seed: the run's seed, >= 0; noise and donors depend on it.
        n_draws: noise draws R for each image, >= 1.
        n_donors: donors a row, >= 1, for segments, numbers and counts of many values.
        noise: "common": a row keeps its noise in all states. "fresh": every state has its own, as in the published
            protocol; noisier, and N(1 + 2D) images.
        extras: further images, by the name under which `Plan.extras` holds their states.

    Raises:
        UserError: a number is out of range or `noise` is unknown.
    """
    check_integer("seed", seed, 0)
    check_integer("n_draws", n_draws, 1)
    check_integer("n_donors", n_donors, 1)
    if noise not in ("common", "fresh"):
        raise UserError(f"`noise` must be 'common' or 'fresh'; got {noise!r}.")
    builder = PlanBuilder(table, seed, n_draws, n_donors, noise)
    reference = [builder.images(row, builder.texts[row]) for row in range(table.n_rows)]
    states = [_concept_states(builder, concept) for concept in table.concepts]
    more = {name: extra(builder) for name, extra in (extras or {}).items()}
    return builder.finish(np.array(reference, np.int64), states, more)


def _concept_states(builder: PlanBuilder, concept: Concept) -> ConceptStates:
    values, stratum, own, strata = _states(concept, builder.table.row_ids, builder.seed, builder.n_donors)
    index = builder.index([concept.name], values[:, :, None])
    return ConceptStates(concept.name, index, stratum, np.bincount(own, minlength=len(strata)), own, strata, values)


_Slots = tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64], tuple[str, ...]]
"""Values (N, S), stratum of each slot (S,), own stratum of each row (N,), names of the strata."""


def _states(concept: Concept, row_ids: Sequence[str], seed: int, n_donors: int) -> _Slots:
    if concept.kind == "number":
        donors = _donors(concept, row_ids, seed, n_donors, np.ones(len(row_ids), dtype=bool))
        return donors, np.zeros(donors.shape[1], np.int64), np.zeros(len(row_ids), np.int64), ("any",)
    distinct, own = np.unique(concept.values, return_inverse=True)
    listed = concept.kind in ("binary", "category") or (concept.kind == "count" and len(distinct) <= MAX_COUNT_STATES)
    if listed:
        values = np.empty((len(row_ids), len(distinct)), dtype=object)
        values[:] = distinct.astype(object)
        strata = ("absent", "present") if concept.kind == "binary" else tuple(plain(value) for value in distinct)
        return values, np.arange(len(distinct)), own.astype(np.int64), strata
    present = concept.present
    donors = _donors(concept, row_ids, seed, n_donors, present)
    if present.all():
        return donors, np.zeros(donors.shape[1], np.int64), np.zeros(len(row_ids), np.int64), ("present",)
    absent = np.full((len(row_ids), 1), "" if concept.kind == "segment" else 0, dtype=object)
    stratum = np.array([0] + [1] * donors.shape[1], dtype=np.int64)
    return np.concatenate([absent, donors], axis=1), stratum, present.astype(np.int64), ("absent", "present")


def _donors(
    concept: Concept, row_ids: Sequence[str], seed: int, n_donors: int, pool: NDArray[np.bool_]
) -> NDArray[Any]:
    """Values (N, K) carried from rows in `pool`, each used equally often up to one, never from the row itself.

    Rows of the pool stand in a circle, in an order that is a hash of the seed and their ids, and each takes the values
    of the K rows after it; the other rows are dealt K donors each, round and round. A pool of one row is its own donor.
    """
    order = np.argsort([row_seed(seed, row_id, state=f"donors {concept.name}") for row_id in row_ids])
    circle, others = order[pool[order]], order[~pool[order]]  # (m,), (N - m,)
    n_slots = min(n_donors, max(len(circle) - 1, 1))
    donor = np.empty((len(row_ids), n_slots), dtype=np.int64)
    donor[circle] = circle[(np.arange(len(circle))[:, None] + 1 + np.arange(n_slots)) % len(circle)]
    donor[others] = circle[np.arange(others.size * n_slots).reshape(-1, n_slots) % len(circle)]
    result: NDArray[Any] = concept.values.astype(object)[donor]
    return result


@dataclass(frozen=True)
class Estimate:
    """What a plan costs.

    Attributes:
        n_images: images to render.
        n_captions: distinct captions among them.
        n_naive: images that the published protocol would render.
        seconds: rendering time, or None where the rate isn't known.
    """

    n_images: int
    n_captions: int
    n_naive: int
    seconds: float | None


def estimate(plan: Plan, images_per_second: float | None = None, n_repeats: int = 500) -> Estimate:
    """Say what a plan costs before anything is spent.

    Args:
        plan: the images.
        images_per_second: measured rate of the generator, > 0; None: unknown.
        n_repeats: permutations P a concept.

    Raises:
        UserError: the rate isn't > 0 or `n_repeats` isn't an integer >= 1.
    """
    check_integer("n_repeats", n_repeats, 1)
    if images_per_second is not None and not images_per_second > 0:
        raise UserError(f"`images_per_second` must be > 0; got {images_per_second!r}.")
    seconds = None if images_per_second is None else plan.n_images / images_per_second
    return Estimate(plan.n_images, len(set(plan.captions)), plan.n_naive(n_repeats), seconds)
