"""Drawn chest radiographs of 64 x 64 pixels: a body, and whatever of age, BMI, sex and findings it has.

Everything is a pure function of its arguments, and every attribute is drawn by a term of its own: one can be changed
with all else kept. Coordinates run from -1 to 1, x to the right, y down; as on real films the patient's right side is
on the left of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genlens.errors import UserError

IMAGE_SIZE = 64
SIGNS = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
"""The twelve findings that are drawn; those from the third on, edema and devices apart, are on one side."""
N_ANATOMY = 12
AGES, BMIS = (20, 60, 90), (18, 30, 42)
"""Lowest, dividing and highest age in years and body mass index in kg/m2."""

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Bodies:
    """What N pictures show.

    Attributes:
        demographics: (N, 3) 0 or 1: older than 60, body mass index above 30, female.
        signs: (N, 12) 0 or 1, in the order of `SIGNS`.
        sides: (N, 12) -1: the patient's right (left in the picture), 1: the left.
        anatomy: (N, 12) in [0, 1]: what else differs between bodies. 0: age within its half, 1: BMI within its half,
            2: lung height, 3: lung width, 4: heart size, 5: shift, 6: exposure, 7: contrast, 8: height of the findings,
            9: their size, 10: their density, 11: tilt of the ribs.

    Raises:
        UserError: the shapes don't fit.
    """

    demographics: NDArray[np.int64]
    signs: NDArray[np.int64]
    sides: NDArray[np.int64]
    anatomy: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check the shapes."""
        n = len(self.demographics)
        wanted = {"demographics": 3, "signs": len(SIGNS), "sides": len(SIGNS), "anatomy": N_ANATOMY}
        for name, width in wanted.items():
            if np.shape(getattr(self, name)) != (n, width):
                raise UserError(f"`{name}` must have the shape ({n}, {width}); got {np.shape(getattr(self, name))}.")

    def __len__(self) -> int:
        return len(self.demographics)

    def take(self, rows: ArrayLike) -> Bodies:
        """The bodies of some rows."""
        return Bodies(*(value[np.asarray(rows)] for value in vars(self).values()))

    @property
    def ages(self) -> NDArray[np.float64]:
        """(N,) years: the half says which range, the anatomy where in it."""
        return _within(AGES, self.demographics[:, 0], self.anatomy[:, 0])

    @property
    def bmis(self) -> NDArray[np.float64]:
        """(N,) kg/m2, likewise."""
        return _within(BMIS, self.demographics[:, 1], self.anatomy[:, 1])


def _within(ends: tuple[int, int, int], above: NDArray[np.int64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    low, middle, high = ends
    below_value, above_value = low + share * (middle - low), middle + (0.02 + 0.98 * share) * (high - middle)
    return np.where(above == 1, above_value, below_value)


def draw(bodies: Bodies, grain: Floats | None = None) -> NDArray[np.uint8]:
    """Draw pictures.

    Args:
        bodies: what they show.
        grain: (N, 64, 64) noise of mean 0 and standard deviation 1, or None for smooth pictures.

    Returns:
        uint8 (N, 64, 64).
    """
    canvas = _Canvas(bodies)
    image = _body(canvas) + _findings(canvas)
    image = 0.5 + (image - 0.5) * (0.94 + 0.12 * canvas.u(7)) + 0.05 * (canvas.u(6) - 0.5)
    if grain is not None:
        image = image + 0.02 * grain
    shown: NDArray[np.uint8] = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return shown


class _Canvas:
    """Coordinates and what several parts of the drawing share, as arrays that broadcast to (N, H, W)."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        places = (np.arange(IMAGE_SIZE, dtype=np.float32) + np.float32(0.5)) / np.float32(IMAGE_SIZE / 2) - 1
        self.y = places[None, :, None]
        self.x = places[None, None, :] - 0.08 * (self.u(5) - 0.5)  # (N, 1, W)
        self.old = _column((bodies.ages - AGES[0]) / (AGES[2] - AGES[0]))
        self.fat = _column((bodies.bmis - BMIS[0]) / (BMIS[2] - BMIS[0]))
        self.female = _column(bodies.demographics[:, 2])
        self.half_width = 0.26 + 0.05 * (self.u(3) - 0.5)
        self.half_height = 0.60 + 0.10 * (self.u(2) - 0.5)
        self.lungs = {side: self.lung(side) for side in (-1, 1)}
        self.inside = self.lungs[-1] + self.lungs[1]

    def u(self, k: int) -> Floats:
        """(N, 1, 1) the anatomy's number k."""
        return _column(self._bodies.anatomy[:, k])

    def has(self, sign: str) -> Floats:
        """(N, 1, 1) whether the finding is there."""
        return _column(self._bodies.signs[:, SIGNS.index(sign)])

    def side(self, sign: str) -> Floats:
        """(N, 1, 1) -1 or 1."""
        return _column(self._bodies.sides[:, SIGNS.index(sign)])

    def lung(self, side: int | Floats, shrink: float = 1.0) -> Floats:
        """(N, H, W) how much of a pixel a lung covers."""
        across = (self.x - side * 0.36) / (self.half_width * shrink)
        down = (self.y + 0.08) / (self.half_height * shrink)
        return _edge(1 - np.sqrt(across**2 + np.abs(down) ** 3 + 1e-6), 0.06)

    def of_side(self, sign: str) -> Floats:
        """(N, H, W) the lung on the finding's side."""
        return np.where(self.side(sign) < 0, self.lungs[-1], self.lungs[1])

    def blob(self, x: Floats | float, y: Floats | float, width: Floats | float, height: Floats | float) -> Floats:
        """(N, H, W) a Gaussian."""
        result: Floats = np.exp(-0.5 * (((self.x - x) / width) ** 2 + ((self.y - y) / height) ** 2))
        return result


def _body(c: _Canvas) -> Floats:
    """Soft tissue, lungs, bones, heart and breasts: what age, BMI and sex show in."""
    bone = 1.25 - 0.85 * c.old
    shoulders = _edge(c.y + 0.86, 0.06)
    width = (0.66 + 0.30 * c.fat - 0.05 * c.female) * (0.38 + 0.62 * shoulders)
    image = _edge(width - np.abs(c.x), 0.025) * (0.44 + 0.12 * c.fat)
    image = image - (0.34 - 0.10 * c.fat) * c.inside
    cage = _edge(1 - np.sqrt((c.x / 0.70) ** 2 + ((c.y + 0.08) / 0.80) ** 2), 0.05)
    phase = c.y - (0.45 + 0.2 * c.u(11)) * np.abs(c.x) ** 1.5
    image = image + 0.13 * bone * cage * np.clip(np.cos(2 * np.pi * 3.6 * phase), 0, 1) ** 2
    for side in (-1, 1):
        collar = c.y + 0.70 + 0.16 * (side * c.x - 0.35)
        image = image + 0.14 * bone * np.exp(-0.5 * (collar / 0.035) ** 2) * _edge(0.62 - np.abs(c.x), 0.05)
    spine = _edge(0.075 - np.abs(c.x), 0.02)
    image = image + (0.08 + 0.14 * bone * (0.75 + 0.25 * np.cos(2 * np.pi * 4.5 * c.y))) * spine
    big, wide = c.has("Cardiomegaly"), c.has("Enlarged Cardiomediastinum")
    across = (0.22 + 0.03 * (c.u(4) - 0.5)) * (1 + 0.5 * big)
    heart = _edge(1 - np.sqrt(((c.x - 0.10 - 0.06 * big) / across) ** 2 + ((c.y - 0.30) / 0.28) ** 2), 0.10)
    middle = _edge(0.10 + 0.10 * wide - np.abs(c.x - 0.02), 0.025) * _edge(0.25 - np.abs(c.y + 0.32), 0.08)
    image = image + 0.30 * np.maximum(heart, 0.8 * middle)
    image = image + 0.20 * c.old**2 * c.blob(0.17, -0.42, 0.07, 0.07)  # the aortic knob
    dome = c.y - 0.56 - 0.10 * (np.abs(c.x) - 0.36) ** 2 * 4
    image = image + 0.16 * _edge(dome, 0.04) * _edge(width - np.abs(c.x), 0.025)
    whole: Floats = image + c.female * _breasts(c)
    return whole


def _breasts(c: _Canvas) -> Floats:
    shadow: Floats = np.zeros(1, dtype=np.float32)
    for side in (-1, 1):
        across, down = (c.x - side * 0.40) / (0.26 + 0.05 * c.fat), (c.y - 0.34) / 0.27
        shadow = shadow + _edge(1 - np.sqrt(across**2 + down**2), 0.10) * _edge(c.y - 0.10, 0.10)
    return 0.13 * shadow


def _findings(c: _Canvas) -> Floats:
    """What the findings add to the picture; the two of the heart are drawn with it."""
    drop = 0.16 * (c.u(8) - 0.5)
    size, dense = 0.85 + 0.3 * c.u(9), 0.85 + 0.3 * c.u(10)
    image: Floats = np.zeros(1, dtype=np.float32)
    side = c.side("Lung Opacity")
    haze = c.blob(side * 0.38, -0.10 + drop, 0.16 * size, 0.15 * size)
    image = image + 0.24 * dense * c.has("Lung Opacity") * haze * c.inside
    side = c.side("Lung Lesion")
    nodule = _edge(0.085 * size - np.hypot(c.x - side * 0.40, c.y + 0.36 + drop), 0.015)
    image = image + 0.34 * dense * c.has("Lung Lesion") * nodule
    wings = c.blob(-0.24, -0.05, 0.13, 0.26) + c.blob(0.24, -0.05, 0.13, 0.26)
    lines = 0.75 + 0.25 * np.cos(2 * np.pi * 8 * c.y)
    image = image + 0.24 * dense * c.has("Edema") * wings * lines * c.inside
    lobe = _edge(0.16 * size - np.abs(c.y - 0.20 - drop), 0.02)
    image = image + 0.27 * dense * c.has("Consolidation") * lobe * c.of_side("Consolidation")
    slope = c.y - 0.02 - drop - 0.25 * c.side("Atelectasis") * c.x
    plates = np.exp(-0.5 * (slope / 0.022) ** 2) + np.exp(-0.5 * ((slope - 0.12) / 0.022) ** 2)
    image = image + 0.30 * dense * c.has("Atelectasis") * plates * c.of_side("Atelectasis")
    image = image + c.has("Pneumothorax") * _pneumothorax(c)
    side = c.side("Pleural Effusion")
    meniscus = c.y - 0.36 + 0.35 * np.clip(side * c.x - 0.36, -0.3, 0.3) + 0.5 * drop
    image = image + 0.36 * c.has("Pleural Effusion") * _edge(meniscus, 0.03) * c.of_side("Pleural Effusion")
    side = c.side("Pleural Other")
    plaque = _edge(0.03 - np.abs(side * c.x - 0.60), 0.012) * _edge(0.20 * size - np.abs(c.y - 0.10 - drop), 0.03)
    image = image + 0.34 * dense * c.has("Pleural Other") * plaque
    side = c.side("Fracture")
    callus = c.blob(side * 0.62, -0.34 + drop, 0.045, 0.045) - c.blob(side * 0.62, -0.22 + drop, 0.045, 0.045)
    image = image + 0.42 * c.has("Fracture") * callus
    whole: Floats = image + c.has("Support Devices") * _devices(c)
    return whole


def _pneumothorax(c: _Canvas) -> Floats:
    """Air beside a collapsed lung: a dark rim and the thin line of the pleura."""
    across = (c.x - c.side("Pneumothorax") * 0.33) / (c.half_width * 0.72)
    down = (c.y - 0.04) / (c.half_height * 0.72)
    inner = 1 - np.sqrt(across**2 + np.abs(down) ** 3 + 1e-6)
    rim = c.of_side("Pneumothorax") * (1 - _edge(inner, 0.06))
    line = np.exp(-0.5 * (inner / 0.06) ** 2) * c.of_side("Pneumothorax")
    air: Floats = 0.22 * line - 0.20 * rim
    return air


def _devices(c: _Canvas) -> Floats:
    """A pacemaker above the left lung with its lead, and a tube in the windpipe."""
    box = _edge(0.085 - np.abs(c.x - 0.46), 0.01) * _edge(0.065 - np.abs(c.y + 0.56), 0.01)
    way = c.x - 0.10 - 0.32 * np.clip((0.30 - c.y) / 0.86, 0, 1) ** 2
    lead = np.exp(-0.5 * (way / 0.018) ** 2) * _edge(0.43 - np.abs(c.y + 0.13), 0.02)
    tube = np.exp(-0.5 * ((c.x + 0.01) / 0.018) ** 2) * _edge(-0.45 - c.y, 0.02)
    devices: Floats = 0.42 * np.maximum(np.maximum(box, 0.8 * lead), 0.7 * tube)
    return devices


def _column(values: ArrayLike) -> Floats:
    """(N,) -> (N, 1, 1)."""
    return np.asarray(values, dtype=np.float32)[:, None, None]


def _edge(distance: Floats, softness: float) -> Floats:
    """0 to 1, a half where `distance` is 0: the soft edge of a form that is inside where it is positive."""
    result: Floats = 0.5 * (1 + np.tanh(distance / np.float32(2 * softness)))
    return result
