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
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from genlens.errors import UserError, check_integer
from genlens.importance.adjusted_model import MAX_DOUBT, AdjustedModel
from genlens.importance.first_stage import instrument_strength
from genlens.importance.flips import check_flips, flip_scores
from genlens.importance.inference import check_confidence
from genlens.importance.moved import MovedRows
from genlens.importance.states import StateScores
from genlens.metrics import Scoring, get_scoring

if TYPE_CHECKING:
    import pandas as pd

MIN_F = 16.38
"""Conditional F below which a concept is withheld: tests of nominal 5% then err in up to 10% (Stock and Yogo 2005)."""


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
        doubt: share of what a sharp concept classifier sees in the generated images that is neither there nor absent,
            NaN where it isn't sharp. Above MAX_DOUBT there are no intervals, for they wouldn't hold the error of that.
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
    doubt: float
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
    model = AdjustedModel(flips, stage, MovedRows(y, real, scoring), correct_errors)
    if interactions and len(stage.used):
        model = model.with_interactions(clusters)
    effects = model.effects(np.ones(len(y)))  # (N, D)
    importance = model.importances(effects)
    resamples = model.resample(n_resamples, seed, clusters)  # (3, D, K)
    ends = _intervals(np.array([importance, np.abs(effects).mean(axis=0), effects.mean(axis=0)]), resamples, confidence)
    doubt = model.doubt()
    withheld = model.doubtful(doubt)
    if doubt > MAX_DOUBT:
        resamples[:], ends[:] = np.nan, np.nan
    shown = np.array([not reason for reason in withheld])
    blank = np.where(shown, 1.0, np.nan)
    main = [float(effect) for effect in model.fit(model.pairs).interaction]
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
        withheld=withheld,
        doubt=doubt,
        real_score=scoring(y, real),
        confidence=confidence,
        n_rows=len(y),
    )


def _spread(resamples: np.ndarray) -> np.ndarray:
    """Standard deviation (D,) of the resamples that are defined, NaN where fewer than two are."""
    known = [row[np.isfinite(row)] for row in resamples]
    return np.array([row.std(ddof=1) if len(row) > 1 else np.nan for row in known])


def _intervals(values: np.ndarray, resamples: np.ndarray, confidence: float) -> np.ndarray:
    """Intervals (3, D, 2) of estimates (3, D): normal, with the standard error over (3, D, K) resamples.

    Percentiles of the resamples hold the truth less often: what a resample adds to the effects' own error makes small
    importances larger.
    """
    half = float(stats.norm.ppf((1 + confidence) / 2)) * np.stack([_spread(part) for part in resamples])
    return np.stack([values - half, values + half], axis=-1)
