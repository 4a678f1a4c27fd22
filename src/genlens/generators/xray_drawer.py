"""A generator for the X-ray phantom that draws what a caption says, and can err as generators of radiographs do.

Two switches copy what real generators learn from real data: `heeds_text` takes age, sex and BMI from the words of the
findings where they mention them ("72-year-old woman"), whatever the fields say; `fills_in` draws a finding that the
report doesn't mention as often as it occurs in patients of that age, BMI and sex, so that permuting age moves it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from genlens.datasets.xray import DEMOGRAPHIC_RATES, grain, unsaid_rates
from genlens.datasets.xray_drawing import N_ANATOMY, SIGNS, Bodies, draw
from genlens.datasets.xray_reports import DEMOGRAPHICS, read_fields, read_findings, read_mentions

_DRAWING = "xray drawing 1"
_FIELDS, _SIDES = slice(N_ANATOMY, N_ANATOMY + 3), slice(N_ANATOMY + 3, N_ANATOMY + 3 + len(SIGNS))
_N_NUMBERS = N_ANATOMY + 3 + 2 * len(SIGNS)


class XrayDrawer:
    """Draws captions of the phantom: "Age: 1, BMI: 0, Sex: 1, Findings: Left pleural effusion. …".

    The seed decides the anatomy, the grain and the sides that the text leaves open; a finding that the text doesn't
    mention isn't there. A field that the caption lacks is drawn by the seed.

    Args:
        heeds_text: mentions of age, sex and BMI in the text win over the fields.
        fills_in: draw findings that aren't mentioned at their rate given age, BMI and sex; the seed's number for each
            stays when these change.
    """

    def __init__(self, *, heeds_text: bool = False, fills_in: bool = False) -> None:
        self.heeds_text, self.fills_in = heeds_text, fills_in

    @property
    def fingerprint(self) -> str:
        """Hash of the switches."""
        return blake2b(json.dumps([_DRAWING, self.heeds_text, self.fills_in]).encode(), digest_size=16).hexdigest()

    def check_captions(self, captions: Sequence[str]) -> None:
        """Nothing is too long for the drawer; sentences it doesn't know draw nothing."""

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Draw uint8 images (B, 64, 64, 3)."""
        grey = draw(self.bodies(captions, seeds), grain([(int(seed),) for seed in seeds]))
        return np.repeat(grey[..., None], 3, axis=3)

    def bodies(self, captions: Sequence[str], seeds: Sequence[int]) -> Bodies:
        """What is drawn for captions and seeds."""
        numbers = np.stack([np.random.default_rng((int(seed), 0)).random(_N_NUMBERS) for seed in seeds])  # (B, K)
        demographics = (numbers[:, _FIELDS] < DEMOGRAPHIC_RATES).astype(np.int64)
        sides = np.where(numbers[:, _SIDES] < 0.5, -1, 1)
        signs = np.full((len(captions), len(SIGNS)), -1)  # -1: not mentioned
        for i, caption in enumerate(captions):
            for name, value in self._said(caption).items():
                demographics[i, DEMOGRAPHICS.index(name)] = value
            for sign, side in read_findings(caption).items():
                signs[i, sign] = int(side != 0)
                sides[i, sign] = side or sides[i, sign]
        filled = numbers[:, -len(SIGNS) :] < unsaid_rates(demographics)
        unsaid = filled.astype(np.int64) if self.fills_in else np.zeros_like(signs)
        return Bodies(demographics, np.where(signs < 0, unsaid, signs), sides, numbers[:, :N_ANATOMY])

    def _said(self, caption: str) -> dict[str, int]:
        """Age, BMI and sex as the caption has them."""
        fields = read_fields(caption)
        return fields | read_mentions(caption) if self.heeds_text else fields
