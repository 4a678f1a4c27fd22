"""Pictures of an experiment's run for its report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genlens.engine import plan_keys
from genlens.generators.protocol import Generator
from genlens.plan import Plan
from genlens.store import ImageStore


def flipped_pictures(plan: Plan, generator: Generator, images: ImageStore, n_rows: int) -> NDArray[np.uint8]:
    """Generated images of the first rows without (0) and with (1) each binary concept: (rows, D, 2, H, W, 3).

    Args:
        plan: whose images have been rendered.
        generator: rendered them.
        images: where they are.
        n_rows: how many rows.
    """
    keys = plan_keys(plan, generator)
    numbers = np.stack([states.index[:n_rows, :, 0] for states in plan.states], axis=1)  # (rows, D, 2)
    wanted = {keys[number] for number in numbers.ravel()}
    found = {key: image for names, part in images.read(wanted) for key, image in zip(names, part, strict=True)}
    flat = np.stack([found[keys[number]] for number in numbers.ravel()])
    return flat.reshape(*numbers.shape, *flat.shape[1:])
