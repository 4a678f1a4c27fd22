"""Pictures of a run: a few rows in every concept's states, and some images rendered a second time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genlens.captions import plain
from genlens.concepts import ConceptTable
from genlens.engine import Engine, plan_keys
from genlens.generators.protocol import Generator
from genlens.importance.result import Picture
from genlens.plan import ConceptStates, Plan
from genlens.store import encode_png, image_key

N_GALLERY_ROWS = 5
"""Rows shown in the report, the same for every concept, drawn by the seed and not by their scores."""
N_AGAIN = 16
"""Reference images rendered a second time, in another batch, to see whether a seed reproduces its image."""


def rendered_twice(
    engine: Engine, plan: Plan, generator: Generator
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Some reference images, and the same ones rendered again in another batch; kept under keys of their own."""
    numbers = plan.reference[:N_AGAIN, 0][::-1]
    pairs = [(plan.captions[i], int(plan.seeds[i])) for i in numbers]
    first = [image_key(generator.fingerprint, *pair) for pair in pairs]
    again = [image_key(f"{generator.fingerprint} again", *pair) for pair in pairs]
    images = engine.images(generator, dict(zip([*first, *again], [*pairs, *pairs], strict=True)))
    return [images[key] for key in first], [images[key] for key in again]


def pictures(
    engine: Engine,
    table: ConceptTable,
    plan: Plan,
    generator: Generator,
    shown: NDArray[np.float64],
    seed: int,
    whole: NDArray[np.int64],
) -> list[Picture]:
    """The same few of the rows that have all images for every concept, in the first and last of its states."""
    keys = plan_keys(plan, generator)
    rows = whole[np.sort(np.random.default_rng(seed).permutation(len(whole))[:N_GALLERY_ROWS])]
    wanted = [
        (states, int(row), slot) for states in plan.states for row in rows for slot in (0, states.index.shape[1] - 1)
    ]
    numbers = [int(states.index[row, slot, 0]) for states, row, slot in wanted]
    images = engine.images(generator, {keys[i]: (plan.captions[i], int(plan.seeds[i])) for i in numbers})
    return [
        Picture(
            concept=states.concept,
            row_id=table.row_ids[row],
            state=_state_name(states, row, slot),
            caption=plan.captions[number],
            score=float(shown[number]),
            png=encode_png(images[keys[number]]),
        )
        for (states, row, slot), number in zip(wanted, numbers, strict=True)
    ]


def _state_name(states: ConceptStates, row: int, slot: int) -> str:
    if states.strata == ("absent", "present"):
        return ("off", "on")[states.stratum[slot]]
    return plain(states.states[row, slot])
