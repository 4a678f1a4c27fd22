"""Adjusted importance: what a concept in the *image* is worth, even where captions don't fully reach the image.

The permutation importance of DEPICT asks what a concept in the caption is worth. Where the generator ignores a share of
the flips, or lets them leak into other concepts, that is something else. Here a caption flip is an instrument: the
concept classifier sees what it did to the image, two-stage least squares divides the target's change by it
(`genlens.importance.first_stage`), and the importance is that of permuting the concept on the *real* images, whose
scores are moved by the estimated effects. Where flips hardly show, the numbers are withheld with the reason.

Assumptions: a flip reaches the target score only through concepts that the concept classifier sees, and the concept
classifier errs on generated images as it does on real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from genlens.errors import UserError, check_integer
from genlens.importance.bootstrap import percentile_interval, resample_weights
from genlens.importance.exact import expected_importance
from genlens.importance.first_stage import Effects, Pairs, Strength, instrument_strength, row_effects, two_stage
from genlens.importance.flips import FlipScores, check_flips, flip_scores
from genlens.importance.inference import check_confidence
from genlens.importance.states import StateScores
from genlens.importance.swaps import benjamini_hochberg
from genlens.metrics import Scoring, get_scoring

if TYPE_CHECKING:
    import pandas as pd

MIN_F = 16.38
"""Conditional F below which a concept is withheld: tests of nominal 5% then err in up to 10% (Stock and Yogo 2005)."""
MAX_PAIRED = 8
"""Concepts, those of the largest effects, whose pairs are tried as interactions."""
ROWS_PER_PAIR = 10
"""Least rows for each pair that is tried."""
_TIE = 1e-9  # share of the scores' range below which they are equal
_LEVEL = 0.05  # false discovery rate among them


@dataclass(frozen=True, eq=False)
class AdjustedResult:
    """Adjusted importance of D concepts; NaN where withheld.

    Args:
        concepts: (D,) names.
        importance: (D,) score on real images - expected score with the concept permuted in the image.
        se: (D,) standard error over rows.
        ci: (D, 2) interval over rows.
        reliance: (D,) mean absolute change of the score between absent and present, on the scale of the unadjusted.
        reliance_ci: (D, 2) its interval.
        reliance_signed: (D,) mean change from absent to present.
        reliance_signed_ci: (D, 2) its interval.
        effects: (D, N) change in each real row.
        interactions: pairs of concepts whose interaction was found, with its coefficient.
        first_stage: (D, D) mean change of concept k's presence in the image when the caption's concept j is flipped on.
        f_statistic: (D,) conditional F of the instruments.
        detection: (D, D) rise of the concept classifier's score k with the presence of j in real images.
        withheld: (D,) reasons, "" where nothing is withheld.
        real_score: score on the real images.
        confidence: level of the intervals.
        n_rows: N.
    """

    concepts: tuple[str, ...]
    importance: np.ndarray
    se: np.ndarray
    ci: np.ndarray
    reliance: np.ndarray
    reliance_ci: np.ndarray
    reliance_signed: np.ndarray
    reliance_signed_ci: np.ndarray
    effects: np.ndarray
    interactions: tuple[tuple[str, str, float], ...]
    first_stage: np.ndarray
    f_statistic: np.ndarray
    detection: np.ndarray
    withheld: tuple[str, ...]
    real_score: float
    confidence: float
    n_rows: int

    def frame(self) -> pd.DataFrame:
        """One row a concept, most important first; withheld concepts last, with the reason."""
        import pandas as pd

        table = pd.DataFrame(
            {
                "concept": self.concepts,
                "importance": self.importance,
                "ci_low": self.ci[:, 0],
                "ci_high": self.ci[:, 1],
                "reliance": self.reliance,
                "reliance_signed": self.reliance_signed,
                "shown": np.diag(self.first_stage),
                "f_statistic": self.f_statistic,
                "withheld": self.withheld,
            }
        )
        table["rank"] = table["importance"].rank(ascending=False, method="first").astype("Int64")
        return table.sort_values("rank", na_position="last", ignore_index=True)


def adjusted_importance(
    y: np.ndarray,
    real: np.ndarray,
    real_concepts: np.ndarray,
    states: Sequence[StateScores],
    concept_states: Sequence[StateScores],
    scoring: str | Scoring | Callable[..., float] = "roc_auc",
    *,
    interactions: bool = True,
    correct_errors: bool = True,
    min_f: float = MIN_F,
    clusters: np.ndarray | None = None,
    confidence: float = 0.95,
    n_resamples: int = 300,
    seed: int = 0,
) -> AdjustedResult:
    """Importance of concepts in the image, from caption flips as instruments.

    Args:
        y: (N,) labels.
        real: (N,) target scores of the real images.
        real_concepts: (N, D) the concept classifier's scores of the real images: probabilities, or log-odds.
        states: the target's scores, (N, S, R), one entry a concept; a slot's stratum is 0 (absent) or 1 (present).
        concept_states: the concept classifier's scores of the same images, (N, S, R, D).
        scoring: AUROC or additive, see `genlens.metrics.get_scoring`.
        interactions: let a concept's effect depend on a row's other concepts: pairs that are found to matter enter the
            regression, and what flips do beyond it in like rows is added. False: one effect for all rows.
        correct_errors: take out what the concept classifier gets wrong on real images.
        min_f: conditional F below which a concept is withheld, >= 0.
        clusters: (N,) groups of dependent rows, or None.
        confidence: level of the intervals.
        n_resamples: bootstrap samples of rows (or clusters), >= 2.
        seed: of the bootstrap, >= 0.

    Raises:
        UserError: shapes that don't fit, concepts that have other states than absent and present, a scoring without a
            closed form, or a number out of range.
    """
    scoring, y = get_scoring(scoring), np.asarray(y)
    real = np.asarray(real, dtype=np.float64).reshape(-1)
    check_flips(y, real, real_concepts, states, concept_states, scoring)
    check_integer("n_resamples", n_resamples, 2)
    check_integer("seed", seed, 0)
    check_confidence(confidence)
    if not min_f >= 0:
        raise UserError(f"`min_f` must be a number >= 0; got {min_f!r}.")
    flips = flip_scores(np.asarray(real_concepts, dtype=np.float64), states, concept_states)
    names = tuple(state.concept for state in states)
    stage = instrument_strength(flips, names, correct_errors, min_f, clusters)
    model = _Model(y, real, flips, stage, scoring, correct_errors, interactions)
    if interactions:
        model = replace(model, pairs=model.find_pairs(clusters))
    importance, effects = model.estimate(np.arange(len(y)))
    resamples = model.resample(n_resamples, seed, clusters)  # (3, D, K)
    ends = _intervals(resamples, confidence)
    shown = np.array([not reason for reason in stage.withheld])
    blank = np.where(shown, 1.0, np.nan)
    main = [float(effect) for effect in model.coefficients(model.pairs).interaction]
    return AdjustedResult(
        concepts=names,
        importance=importance * blank,
        se=_spread(resamples[0]) * blank,
        ci=ends[0] * blank[:, None],
        reliance=np.abs(effects).mean(axis=0) * blank,
        reliance_ci=ends[1] * blank[:, None],
        reliance_signed=effects.mean(axis=0) * blank,
        reliance_signed_ci=ends[2] * blank[:, None],
        effects=effects.T * blank[:, None],
        interactions=tuple((names[k], names[m], value) for (k, m), value in zip(model.pairs, main, strict=True)),
        first_stage=stage.first_stage,
        f_statistic=stage.f_statistic,
        detection=stage.detection,
        withheld=stage.withheld,
        real_score=scoring(y, real),
        confidence=confidence,
        n_rows=len(y),
    )


@dataclass(frozen=True, eq=False)
class _Model:
    """Estimates importances on any choice of rows."""

    y: np.ndarray
    real: np.ndarray
    flips: FlipScores
    stage: Strength
    scoring: Scoring
    correct_errors: bool
    interactions: bool
    pairs: Pairs = ()

    def coefficients(self, pairs: Pairs) -> Effects:
        """Two-stage least squares on all rows."""
        return two_stage(self.flips, self.stage.levels(self.flips, self.correct_errors), self.stage.used, pairs)

    def estimate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Importance (D,) and effects (n, D) with these rows; NaN for concepts that aren't in the regression."""
        y, real, flips = self.y[rows], self.real[rows], self.flips.take(rows)
        present, used = flips.present, self.stage.used
        levels = self.stage.levels(flips, self.correct_errors)
        fit = two_stage(flips, levels, used, self.pairs)
        effects = row_effects(fit, present, levels, used) if self.interactions else fit.of_rows(present)
        importance = np.full(present.shape[1], np.nan)
        for j in used:
            own = present[:, j].astype(np.int64)
            absent = real - effects[:, j] * own
            scores = self._tied(np.stack([absent, absent + effects[:, j]], axis=1))[:, :, None]  # (n, 2, 1)
            states = StateScores("", scores, np.arange(2), np.bincount(own, minlength=2), own)
            importance[j] = expected_importance(y, self._tied(real)[:, None], states, self.scoring)
        return importance, effects

    def _tied(self, scores: np.ndarray) -> np.ndarray:
        """Make scores equal that differ by the rounding of sums alone, for the AUROC counts ties a half."""
        step = float(np.ptp(self.real)) * _TIE
        return np.asarray(np.round(scores / step) * step) if step and self.scoring.kind == "auroc" else scores

    def resample(self, n_resamples: int, seed: int, clusters: np.ndarray | None) -> np.ndarray:
        """Importance, absolute and signed reliance on resamples of rows, (3, D, K); NaN where undefined."""
        n_rows, rng = len(self.y), np.random.default_rng(seed)
        result = np.full((3, self.flips.present.shape[1], n_resamples), np.nan)
        for k, weights in enumerate(resample_weights(n_rows, n_resamples, rng, clusters, 1)):
            rows = np.repeat(np.arange(n_rows), weights[0].astype(np.int64))
            if len(np.unique(self.y[rows])) == 2 or self.scoring.kind != "auroc":
                importance, effects = self.estimate(rows)
                result[:, :, k] = importance, np.abs(effects).mean(axis=0), effects.mean(axis=0)
        return result

    def find_pairs(self, clusters: np.ndarray | None) -> Pairs:
        """Interactions that differ from 0 (Benjamini-Hochberg), among the concepts of the largest effects."""
        strength = np.abs(self.coefficients(()).main)  # NaN sorts last
        most = max(m for m in range(MAX_PAIRED + 1) if m * (m - 1) // 2 <= len(self.y) / ROWS_PER_PAIR)
        chosen = sorted(j for j in np.argsort(-strength, kind="stable")[:most].tolist() if np.isfinite(strength[j]))
        tried = tuple(combinations(chosen, 2))
        if not tried:
            return ()
        p_values = 2 * stats.norm.sf(np.abs(self.coefficients(tried).z_values(clusters)))
        found = benjamini_hochberg(p_values) < _LEVEL
        return tuple(pair for pair, is_found in zip(tried, found, strict=True) if is_found)


def _spread(resamples: np.ndarray) -> np.ndarray:
    """Standard deviation (D,) of the resamples that are defined, NaN where fewer than two are."""
    known = [row[np.isfinite(row)] for row in resamples]
    return np.array([row.std(ddof=1) if len(row) > 1 else np.nan for row in known])


def _intervals(resamples: np.ndarray, confidence: float) -> np.ndarray:
    """Percentile intervals (..., 2) of (..., K) resamples, NaN where all are."""
    ends = [
        percentile_interval(row, confidence) if np.isfinite(row).any() else (np.nan, np.nan)
        for row in resamples.reshape(-1, resamples.shape[-1])
    ]
    return np.array(ends).reshape(*resamples.shape[:-1], 2)
