"""Where the shapes of a presence-only caption go: a fixed, smooth function of the initial noise.

A caption such as "red circle, blue rectangle" doesn't say where. An ordinary diffusion model then needs many steps to
make up its mind; here the drawer, as teacher, couples every noise with one layout, so noise -> picture is a function
that one step can learn, and all six slots are settled by the noise whatever is present: a flip moves nothing else.

The channel means of standard normal noise (16 numbers, standard normal after scaling) are read as: channels 0 and 1 the
angle of a ring of six slots around the centre (uniform on the circle, and no jump anywhere), 2-7 a size each, 8-10 the
second side of the rectangles, 11 the radius of the ring. The others are unused.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

_USED = 12


def channel_means(noise: Tensor) -> Tensor:
    """Means over the latent's places, scaled to be standard normal: (N, C, H, W) -> (N, C)."""
    height, width = noise.shape[-2:]
    return noise.mean(dim=(2, 3)) * math.sqrt(height * width)


def with_channel_means(noise: Tensor, means: Tensor) -> Tensor:
    """The same noise with its channel means replaced, so it is still standard normal where `means` is."""
    height, width = noise.shape[-2:]
    shift = means / math.sqrt(height * width) - noise.mean(dim=(2, 3))
    return noise + shift[:, :, None, None]


def layout_of(means: Tensor) -> NDArray[np.float32]:
    """Slots, float32 (N, 6, 4) in pixels as in `Slots.params` but not whole numbers, from `channel_means` (N, C)."""
    numbers = means.double()
    uniform = (numbers / math.sqrt(2)).erf()[:, :_USED].numpy()  # in (-1, 1)
    first, second = numbers[:, 0].numpy(), numbers[:, 1].numpy()
    angle = np.arctan2(second, first)[:, None] + np.arange(6) * (math.pi / 3)
    ring = 21.25 + 0.75 * uniform[:, 11:12]
    slots = np.zeros((len(means), 6, 4), dtype=np.float32)
    slots[:, :, 0] = 32 + ring * np.cos(angle)
    slots[:, :, 1] = 32 + ring * np.sin(angle)
    slots[:, :3, 2] = 7.5 + 1.0 * uniform[:, 2:5]
    slots[:, 3:, 2] = 13.5 + 1.5 * uniform[:, 5:8]
    slots[:, 3:, 3] = 13.5 + 1.5 * uniform[:, 8:11]
    return slots
