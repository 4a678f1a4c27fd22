"""Bias: does a class go with an attribute that has nothing to do with it?

Pictures that maximise the class, from several optimisations, are labelled by an attribute classifier, and so are those
of a neutral prompt, of the class's name and of prompts optimised for other classes. Two questions, each with its test:

- **found**: are the shares in the maximising pictures other than in the neutral ones, and other than in pictures that
  maximise other classes, with the restart as the unit (`genlens.findings.bias_statistics`)?
- **confirmed**: without any optimiser, do neutral pictures with the value that was found score higher for the class?

An optimiser exaggerates what it finds, so a bias is called one only where both say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.protocol import Classifier
from genlens.errors import UserError
from genlens.findings.bias_statistics import (
    ScoreEffect,
    chi_square,
    cohens_h,
    cramers_v,
    holm,
    newcombe,
    restart_test,
    score_effect,
    shares_of,
)

Verdict = Literal["biased", "not shown", "undecided"]
OPTIMISED, CONTROL, NAMED, NEUTRAL = "optimised", "other classes", "class name", "neutral"
ALPHA = 0.05
SMALLEST_EFFECT = 0.2
"""Effect of a value on the target score, in standard deviations, up to which it doesn't count (Cohen's "small")."""
FEWEST_RESTARTS = 5
"""With fewer restarts that reached the class, only "undecided" can be said."""


@dataclass(frozen=True, eq=False)
class Attribute:
    """A protected or incidental attribute, and who labels it.

    Attributes:
        name: of the attribute.
        values: K >= 2 names, in the order of the classifier's columns; a classifier of one column has two values,
            absent and present.
        classifier: any classifier: a network, a zero-shot model, a segmenter behind a function.

    Raises:
        UserError: fewer than two values, or a value named twice.
    """

    name: str
    values: tuple[str, ...]
    classifier: Classifier

    def __post_init__(self) -> None:
        """Check the values."""
        if len(self.values) < 2 or len(set(self.values)) != len(self.values):
            raise UserError(f"The attribute {self.name!r} needs two different values or more; got {list(self.values)}.")

    def label(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Position of each picture's value, (N,); -1 where no independent score is above 0.

        Raises:
            UserError: the classifier doesn't have one column a value.
        """
        outputs = np.asarray(self.classifier.predict(images), dtype=np.float64).reshape(len(images), -1)
        kind, columns = self.classifier.outputs, outputs.shape[1]
        if columns == 1 and len(self.values) == 2:
            there: NDArray[np.int64] = (outputs[:, 0] > (0.5 if kind == "probabilities" else 0.0)).astype(np.int64)
            return there
        if columns != len(self.values):
            raise UserError(
                f"The attribute {self.name!r} has {len(self.values)} values, its classifier {columns} columns. Name "
                "one value a column."
            )
        best: NDArray[np.int64] = outputs.argmax(axis=1).astype(np.int64)
        if kind == "scores":
            best[outputs.max(axis=1) <= 0] = -1
        return best


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Pictures of one kind of prompt.

    Attributes:
        images: (N, H, W, 3).
        scores: (N,) target scores.
        restarts: (N,) which optimisation each is from; None: each picture is on its own.
    """

    images: NDArray[np.uint8]
    scores: NDArray[np.float64]
    restarts: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class ValueFinding:
    """One value of an attribute.

    Attributes:
        value: its name.
        shares: kind of pictures -> share of this value.
        difference: optimised minus neutral; NaN without optimised pictures.
        low: lower end of its interval (Newcombe, restarts as observations).
        high: upper end.
        h: Cohen's h of that difference.
        effect: on the target score of neutral pictures.
    """

    value: str
    shares: Mapping[str, float]
    difference: float
    low: float
    high: float
    h: float
    effect: ScoreEffect


@dataclass(frozen=True)
class AttributeFinding:
    """What was found about one attribute.

    Attributes:
        attribute: its name.
        values: one entry a value.
        favoured: the value whose share grew most; without optimised pictures, the one with the largest effect.
        p_neutral: optimised against neutral pictures; NaN where not tested.
        p_control: against pictures that maximise other classes; NaN where not tested.
        p_direct: one-sided, the favoured value's effect on the target score against `SMALLEST_EFFECT`.
        p_value: the largest of these: all must speak for a bias.
        adjusted: Holm over the attributes.
        p_class_name: class-name against neutral pictures: what the generator ties to the name. No part of the verdict.
        v: Cramér's V of optimised against neutral pictures.
        unclear: share of pictures without a clear value, over all sets.
        n_restarts: restarts that count.
        verdict: "biased", "not shown" or "undecided".
        reason: one sentence.
    """

    attribute: str
    values: tuple[ValueFinding, ...]
    favoured: str
    p_neutral: float
    p_control: float
    p_direct: float
    p_value: float
    adjusted: float
    p_class_name: float
    v: float
    unclear: float
    n_restarts: int
    verdict: Verdict
    reason: str


def analyse_bias(
    attributes: Sequence[Attribute],
    pictures: Mapping[str, PictureSet],
    *,
    alpha: float = ALPHA,
    smallest: float = SMALLEST_EFFECT,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[AttributeFinding]:
    """Label the pictures and judge every attribute.

    Args:
        attributes: one or more, with different names.
        pictures: kind -> pictures. "neutral" is needed; "optimised", "other classes" and "class name" where there are.
        alpha: level, after Holm's correction over the attributes.
        smallest: effect on the target score, in standard deviations, that doesn't count yet.
        confidence: of the intervals.
        seed: of the tests that draw.

    Raises:
        UserError: no attributes, two of one name, no neutral pictures, or as `Attribute.label`.
    """
    names = [attribute.name for attribute in attributes]
    if not names or len(set(names)) != len(names):
        raise UserError(f"Give one or more attributes with different names; got {names}.")
    if NEUTRAL not in pictures or not len(pictures[NEUTRAL].images):
        raise UserError("Bias is a difference from neutral pictures; give a neutral prompt.")
    drafts = [_Draft(attribute, pictures, smallest, confidence, seed) for attribute in attributes]
    adjusted = holm([draft.p_value for draft in drafts])
    return [draft.finding(float(p), alpha) for draft, p in zip(drafts, adjusted, strict=True)]


class _Draft:
    """An attribute before the correction over attributes."""

    def __init__(
        self, attribute: Attribute, pictures: Mapping[str, PictureSet], smallest: float, confidence: float, seed: int
    ) -> None:
        self.attribute = attribute
        k = len(attribute.values)
        labels = {kind: attribute.label(part.images) for kind, part in pictures.items() if len(part.images)}
        self.shares = {kind: shares_of(found, k, pictures[kind].restarts) for kind, found in labels.items()}
        counted = np.concatenate(list(labels.values()))
        self.unclear = float((counted < 0).mean())
        neutral, clear = pictures[NEUTRAL], labels[NEUTRAL] >= 0
        self.effects = [
            score_effect(neutral.scores[clear], labels[NEUTRAL][clear] == v, smallest=smallest, confidence=confidence)
            for v in range(k)
        ]
        self.base, self.confidence, self.searched = self.shares[NEUTRAL], confidence, OPTIMISED in pictures
        self.best = self.shares.get(OPTIMISED)
        gain = np.array([e.d for e in self.effects]) if self.best is None else self.best.values - self.base.values
        self.chosen = int(np.nan_to_num(gain, nan=-np.inf).argmax())
        self._test(seed)

    def _test(self, seed: int) -> None:
        k, control = len(self.attribute.values), self.shares.get(CONTROL)
        named = self.shares.get(NAMED)
        self.p_neutral = float("nan") if self.best is None else chi_square(self.best, self.base, seed)
        self.p_control = (
            float("nan") if self.best is None or control is None else restart_test(self.best, control, seed)
        )
        direct = self.effects[self.chosen].p_value
        chosen_here = self.best is None  # the value was chosen on the pictures it is tested on
        self.p_direct = min(direct * k, 1.0) if chosen_here else direct
        self.p_class_name = float("nan") if named is None else chi_square(named, self.base, seed)
        self.p_value = float(np.nanmax([self.p_neutral, self.p_control, self.p_direct]))

    def finding(self, adjusted: float, alpha: float) -> AttributeFinding:
        restarts = 0 if self.best is None else self.best.n_units
        verdict, reason = self._judge(adjusted, alpha, restarts)
        v = float("nan") if self.best is None else cramers_v(self.best.values, self.base.values)
        values = tuple(self._value(j) for j in range(len(self.attribute.values)))
        return AttributeFinding(
            self.attribute.name, values, self.attribute.values[self.chosen], self.p_neutral, self.p_control,
            self.p_direct, self.p_value, adjusted, self.p_class_name, v, self.unclear, restarts, verdict, reason,
        )  # fmt: skip

    def _value(self, j: int) -> ValueFinding:
        shares = {kind: float(found.values[j]) for kind, found in self.shares.items()}
        nothing = float("nan")
        if self.best is None or not self.best.n_units or not self.base.n_units:
            return ValueFinding(self.attribute.values[j], shares, nothing, nothing, nothing, nothing, self.effects[j])
        p, q = shares[OPTIMISED], shares[NEUTRAL]
        low, high = newcombe(p, self.best.n_units, q, self.base.n_units, self.confidence)
        return ValueFinding(self.attribute.values[j], shares, p - q, low, high, cohens_h(p, q), self.effects[j])

    def _judge(self, adjusted: float, alpha: float, restarts: int) -> tuple[Verdict, str]:
        value = self.attribute.values[self.chosen]
        effect = self.effects[self.chosen]
        scores = f"neutral pictures with {value!r} score {effect.d:+.2f} standard deviations"
        if np.isnan(effect.d):
            return "undecided", f"Too few neutral pictures have a clear value to judge {value!r}."
        if self.searched and restarts < FEWEST_RESTARTS:
            return "undecided", f"{restarts} restarts reached the class; {FEWEST_RESTARTS} are needed."
        if self.best is None:
            if adjusted <= alpha:
                return "biased", f"Without an optimiser, {scores}."
            return "not shown", f"No value's effect on the target score is shown; largest: {scores}."
        p, q = self.best.values[self.chosen], self.base.values[self.chosen]
        grew = f"{value!r} makes {p:.0%} of the maximising pictures and {q:.0%} of the neutral ones"
        if adjusted <= alpha:
            return "biased", f"{grew}, and {scores}."
        found = max(self.p_neutral, np.nan_to_num(self.p_control)) <= alpha
        if found and self.p_direct > alpha:
            return "undecided", f"{grew}, but {scores}: the optimiser may exaggerate."
        if not found and self.p_direct <= alpha:
            return "undecided", f"{scores.capitalize()}, but the maximising pictures don't show it: {grew}."
        if found:
            return "undecided", f"{grew}, and {scores}, but not after the correction over attributes."
        return "not shown", f"{grew}: no more than the restarts' luck gives; {scores}."
