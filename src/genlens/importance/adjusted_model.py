"""The estimator behind adjusted importance: effects of concepts in real rows, and what permuting them would cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy import stats

from genlens.importance.bootstrap import resample_weights
from genlens.importance.first_stage import Strength
from genlens.importance.flips import FlipScores
from genlens.importance.like_rows import LikeRows, unclear
from genlens.importance.moved import MovedRows
from genlens.importance.swaps import benjamini_hochberg
from genlens.importance.two_stage import Effects, Pairs, two_stage

MAX_PAIRED = 8
"""Concepts, those of the largest effects, whose pairs are tried as interactions."""
ROWS_PER_PAIR = 10
"""Least rows for each pair that is tried."""
SHARP = 0.1
"""Standard error of the concept classifier's levels in a real image below which it counts as sharp."""
MAX_ERROR = 0.4
"""Such an error from which no figure is given: effects that differ by row would go unnoticed."""
MAX_DOUBT = 0.05
"""Share of levels in generated images that aren't clear above which a sharp concept classifier is in doubt."""
MIN_CLEAR = 0.1
"""Share of a concept's flips that must then show clearly; chosen on early stages of the shapes generator."""
_LEVEL = 0.05  # false discovery rate among them


@dataclass(frozen=True, eq=False)
class AdjustedModel:
    """Estimates importances with any weights of the rows.

    Args:
        flips: scores of both states.
        stage: which concepts' effects can be told.
        rows: the real images' rows.
        correct_errors: see `adjusted_importance`.
        pairs: interactions in the regression.
        like: which rows are like which; None: all rows have the regression's effects.
    """

    flips: FlipScores
    stage: Strength
    rows: MovedRows
    correct_errors: bool
    pairs: Pairs = ()
    like: LikeRows | None = None

    def fit(self, pairs: Pairs) -> Effects:
        """Two-stage least squares on all rows."""
        return two_stage(self.flips, self.stage.levels(self.flips, self.correct_errors), self.stage.used, pairs)

    def effects(self, weights: np.ndarray) -> np.ndarray:
        """Effects (N, D) of each concept in each row; NaN for concepts that aren't in the regression."""
        used, levels = self.stage.used, self.stage.levels(self.flips, self.correct_errors, weights)
        fit = two_stage(self.flips, levels, used, self.pairs, weights)
        result = fit.of_rows(self.flips.present)
        if self.like is not None:
            result[:, used] += self.like.beyond(fit.residuals, levels, weights)
        return result

    def importances(self, effects: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Importance (D,) of the concepts used, given effects (N, D): exact, or with weights of rows."""
        result = np.full(effects.shape[1], np.nan)
        for j in self.stage.used:
            row = self.flips.present[:, j].astype(np.int64), effects[:, j]
            result[j] = self.rows.importance(*row) if weights is None else self.rows.weighted(*row, weights)
        return result

    def resample(self, n_resamples: int, seed: int, clusters: np.ndarray | None) -> np.ndarray:
        """Importance, absolute and signed reliance on resamples of rows, (3, D, K); NaN where undefined."""
        n_rows, rng = len(self.flips.present), np.random.default_rng(seed)
        result = np.full((3, self.flips.present.shape[1], n_resamples), np.nan)
        for k, chunk in enumerate(resample_weights(n_rows, n_resamples, rng, clusters, 1)):
            weights = chunk[0]
            effects = self.effects(weights)
            sizes = [weights @ np.abs(effects) / weights.sum(), weights @ effects / weights.sum()]
            result[:, :, k] = self.importances(effects, weights), *sizes
        return result

    def doubt(self) -> float:
        """Share of levels in generated images that aren't clear to a sharp concept classifier, else NaN."""
        if self.like is None or not self.like.sharp:
            return float("nan")
        return float(unclear(self.stage.levels(self.flips, self.correct_errors)).mean())

    def doubtful(self, doubt: float) -> tuple[str, ...]:
        """Reasons (D,) to withhold: the first stage's, a concept classifier that can't tell, half-drawn images."""
        reasons = list(self.stage.withheld)
        if self.like is None:
            return tuple(reasons)
        if not self.like.sharp:
            error = float(self.stage.error[self.stage.used].max())
            size = f"its standard error is {error:.2f} of the step from absent to present"
            found = ""
            if self.correct_errors and error >= MAX_ERROR:
                found = f"the concept classifier errs too often in real images: {size} (>= {MAX_ERROR})"
            elif self.correct_errors and self.pairs:
                found = f"effects depend on other concepts, which a concept classifier that errs can't tell: {size}"
            return tuple(found if j in self.stage.used and not reason else reason for j, reason in enumerate(reasons))
        levels = self.stage.levels(self.flips, self.correct_errors)
        for j, share in zip(self.stage.used, self.like.clean(levels).mean(axis=0), strict=True):
            if doubt > MAX_DOUBT and share < MIN_CLEAR and not reasons[j]:
                reasons[j] = (
                    f"only {share:.1%} of its flips show clearly (< {MIN_CLEAR:.0%}), and the concept classifier is in "
                    f"doubt about {doubt:.0%} of what it sees in generated images"
                )
        return tuple(reasons)

    def with_interactions(self, clusters: np.ndarray | None) -> AdjustedModel:
        """Let effects differ by row: by pairs that differ from 0 (Benjamini-Hochberg), and as like rows say."""
        strength = np.nan_to_num(np.abs(self.fit(()).main))
        most = max(m for m in range(MAX_PAIRED + 1) if m * (m - 1) // 2 <= len(self.flips.present) / ROWS_PER_PAIR)
        used = self.stage.used
        chosen = np.sort(used[np.argsort(-strength[used], kind="stable")[:most]]).tolist()
        tried, found = tuple(combinations(chosen, 2)), np.zeros(0, dtype=bool)
        if tried:
            p_values = 2 * stats.norm.sf(np.abs(self.fit(tried).z_values(clusters)))
            found = benjamini_hochberg(p_values) < _LEVEL
        pairs = tuple(pair for pair, is_found in zip(tried, found, strict=True) if is_found)
        levels = self.stage.levels(self.flips, self.correct_errors)
        sharp = self.correct_errors and float(self.stage.error[used].max()) < SHARP
        like = LikeRows.of(self.flips.present, levels, used, strength, sharp)
        return replace(self, pairs=pairs, like=like.cautious(self.fit(pairs).residuals, levels))
