"""What the search for spurious features takes and gives, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genlens.errors import UserError, check_integer
from genlens.findings.features import RankedFeature
from genlens.findings.verdict import Part, Verdict
from genlens.segmenters.calibration import Calibration, Share

Rule = Literal["part", "presence"]
"""What decides: whether the object carries the feature, or whether it is there (DiffExplainer's own)."""


@dataclass(frozen=True)
class Settings:
    """How features are explained and judged.

    Attributes:
        top_k: features of the class.
        n_images: pictures of each prompt, on seeds that nothing was optimised or chosen on.
        n_calibration: pictures with the object, and as many without, that the segmenter is tested on.
        restarts: starts of the optimisation: the words that activate the feature most, and one random start.
        steps: of the optimisation.
        batch: pictures of each restart in a step.
        n_tokens: free tokens of the prompt.
        class_weight: weight of the class's log-probability beside the feature (in units of its top tenth over
            generated pictures): so that a feature of several classes is shown as this class has it.
        threshold: share that divides core from spurious.
        rule: what decides, see `Rule`.
        confidence: of the intervals.
        seed: of everything random.
    """

    top_k: int = 5
    n_images: int = 40
    n_calibration: int = 100
    restarts: int = 3
    steps: int = 30
    batch: int = 3
    n_tokens: int = 5
    class_weight: float = 0.1
    threshold: float = 0.5
    rule: Rule = "part"
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("top_k", "n_calibration", "restarts", "steps", "batch", "n_tokens"):
            check_integer(name, getattr(self, name), 1)
        check_integer("n_images", self.n_images, 2)
        check_integer("seed", self.seed, 0)
        if not 0 < self.threshold < 1:
            raise UserError(f"`threshold` must be a share between 0 and 1; got {self.threshold}.")
        if not 0 < self.confidence < 1:
            raise UserError(f"`confidence` must be between 0 and 1; got {self.confidence}.")
        if not 0 <= self.class_weight < float("inf"):
            raise UserError(f"`class_weight` must be a number >= 0; got {self.class_weight}.")
        if self.rule not in ("part", "presence"):
            raise UserError(f"`rule` must be 'part' or 'presence'; got {self.rule!r}.")


@dataclass(frozen=True)
class Target:
    """What is looked for.

    Attributes:
        index: the class's output.
        name: the object, as the segmenter and the generator are told.
        caption: prompt of pictures with the object.
        others: prompts of pictures without it.
    """

    index: int
    name: str
    caption: str
    others: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Evidence:
    """Pictures of a feature's best prompt and what was measured on them; arrays over n pictures.

    Attributes:
        images: uint8 (n, H, W, 3).
        masks: probability of the object, (n, H, W).
        values: the feature.
        parts: the object's part of the feature, NaN where the feature isn't active.
        reach: on as many pictures of the class-name prompt, what the object carries as a share of what the feature's
            own pictures give more than empty or unoptimised ones on average; NaN where that is nothing.
        restarts: (R, 2): each restart's mean feature, and the share of its pictures in which the object was seen.
        class_values: the feature on pictures of the class-name prompt.
        plain_values: the feature on pictures of the unoptimised prompt.
        look: mean share of the feature's gradient that lies on the object, NaN where none is seen.
        area: mean share of the picture that the object takes up, likewise.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.float32]
    values: NDArray[np.float64]
    parts: NDArray[np.float64]
    reach: NDArray[np.float64]
    restarts: NDArray[np.float64]
    class_values: NDArray[np.float64]
    plain_values: NDArray[np.float64]
    look: float
    area: float


@dataclass(frozen=True)
class SeenWord:
    """Something else that a feature's pictures may show.

    Attributes:
        word: what it was asked for.
        share: of the feature's pictures in which it was seen.
        plain: of the unoptimised prompt's pictures.
        gain: mean of the feature under the word as a prompt minus that under the unoptimised prompt.
        low: lower end of the gain's interval.
        high: its upper end.
    """

    word: str
    share: float
    plain: float
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Finding:
    """A feature and the verdict on it.

    Attributes:
        feature: which.
        verdict: core, spurious or undecided, by the rule of the settings.
        by_presence: the verdict of DiffExplainer's rule with an interval.
        share: of its pictures that show the object, corrected.
        part: of its activation that the object carries.
        reach: what the object carries under the class's name, as a share of the same activation.
        score: mean of the feature on its pictures.
        class_score: the same under the class-name prompt.
        plain_score: the same under the unoptimised prompt.
        class_share: share with the object under the class-name prompt, corrected.
        plain_share: the same under the unoptimised prompt.
        restarts: each restart's mean feature and raw share with the object.
        look: share of the feature's gradient on the object; None where it isn't seen.
        area: share of the picture that is the object; None likewise.
        words: what else is seen, the largest excess over the unoptimised prompt first.
        reason: one or two sentences.
    """

    feature: RankedFeature
    verdict: Verdict
    by_presence: Verdict
    share: Share
    part: Part
    reach: Part
    score: float
    class_score: float
    plain_score: float
    class_share: Share
    plain_share: Share
    restarts: tuple[tuple[float, float], ...]
    look: float | None
    area: float | None
    words: tuple[SeenWord, ...]
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        found = asdict(self) | {"feature": self.feature.spec()}
        for name, one in (("part", self.part), ("reach", self.reach)):
            if not one.n:
                found[name]["mean"] = None
        return found


@dataclass(frozen=True, eq=False)
class SpuriousResult:
    """The findings on a class.

    Attributes:
        target: the class.
        calibration: the segmenter's errors.
        findings: by rank.
        evidence: of each finding.
        baseline: pictures of the class-name and of the unoptimised prompt, uint8 (n, H, W, 3) each.
        settings: how it was done.
    """

    target: Target
    calibration: Calibration
    findings: tuple[Finding, ...]
    evidence: tuple[Evidence, ...]
    baseline: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    settings: Settings

    @property
    def spurious(self) -> tuple[Finding, ...]:
        """Those called spurious."""
        return tuple(finding for finding in self.findings if finding.verdict == "spurious")

    def to_dict(self) -> dict[str, Any]:
        """All but the pictures, as JSON values."""
        return {
            "target": asdict(self.target),
            "calibration": self.calibration.spec(),
            "settings": asdict(self.settings),
            "findings": [finding.to_dict() for finding in self.findings],
        }
