"""The result of a permutation importance: frozen, with tables, plots and a folder form without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["passed", "failed", "undecided", "not applicable"]
RANKING_COLUMNS = (
    "concept",
    "importance",
    "std",
    "ci_low",
    "ci_high",
    "p_value",
    "q_value",
    "reliance",
    "reliance_signed",
    "rank",
)


@dataclass(frozen=True)
class Picture:
    """A rendered row in one state of a concept, for the report.

    Args:
        concept: the concept that is switched.
        row_id: the row's id.
        state: label of the state, such as "on" or "off".
        caption: the caption it was rendered from.
        score: the target model's score.
        png: the encoded image.
    """

    concept: str
    row_id: str
    state: str
    caption: str
    score: float
    png: bytes = field(repr=False)


@dataclass(frozen=True)
class CheckResult:
    """Verdict on one of the method's assumptions.

    Args:
        code: "effective-generation", "independent-permutation" or "reproducible-generation".
        title: the assumption in words.
        verdict: "undecided" when the interval straddles the threshold or there are too few rows.
        value: the figure that is judged (the worst one), or None.
        threshold: the most it may be, or None.
        message: one line with figures.
        remedy: what to do; empty when nothing needs doing.
        table: records for the report.
        matrix: D x (D + W) figures, row = concept permuted, column = concept detected (also the watched), or None.
        labels: names of the matrix's columns; the first of them are those of its rows.
    """

    code: str
    title: str
    verdict: Verdict
    value: float | None
    threshold: float | None
    message: str
    remedy: str
    table: list[dict[str, Any]] = field(default_factory=list)
    matrix: list[list[float]] | None = None
    labels: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Analysis:
    """What else a run's scores say, in a form that reports can show: a sentence, advice, a table, a chart, a matrix.

    A list of numbers in a table is shown as their distribution.

    Args:
        code: short name, such as "variance" or "adjusted".
        title: what was looked at, in words.
        message: one line with figures.
        advice: what to do about it; empty when nothing needs doing.
        table: records for the report; ``x_low`` and ``x_high`` are the interval of ``x``.
        matrix: figures between concepts, or None.
        labels: names of the matrix's rows and columns.
        chart: how the table's first column that has an interval is drawn: "interval", a strip a record; "curve", over
            the table's second column, one curve for each value of its first.
        reading: what the table's columns are.
        guide: what the matrix's rows, columns and figures are.
    """

    code: str
    title: str
    message: str
    advice: str = ""
    table: list[dict[str, Any]] = field(default_factory=list)
    matrix: list[list[float]] | None = None
    labels: list[str] = field(default_factory=list)
    chart: Literal["", "interval", "curve"] = ""
    reading: str = ""
    guide: str = ""


@dataclass(frozen=True, eq=False)
class ImportanceResult:
    """Importance of D concepts over N rows, in the table's order of concepts; `ranking()` sorts it.

    Args:
        concepts: (D,) names.
        importance: (D,) reference score - expected permuted score; higher = the model relies on it more.
        std: (D,) standard deviation of the importance over the sampled permutations (as in scikit-learn).
        se: (D,) standard error over rows.
        ci_low: (D,) lower end of the interval over rows.
        ci_high: (D,) upper end.
        p_value: (D,) one-sided, from swapping states within rows.
        q_value: (D,) Benjamini-Hochberg over the concepts.
        reliance: (D,) mean absolute change of the score between states.
        reliance_ci: (D, 2) its interval.
        reliance_signed: (D,) mean change of the score from off to on; NaN for categories.
        reliance_signed_ci: (D, 2) its interval.
        repeats: (D, P) importance of every sampled permutation.
        effects: (D, N) change of each row's score from off to on; NaN where undefined.
        reference_score: score on the reference images.
        reference_ci: its interval (NaN, NaN where it can't be had).
        real_score: score on the real images, or None.
        real_ci: its interval, or None.
        confidence: level of all intervals.
        interval: how the importance's were made: "influence", "percentile" or "bca" (both bootstrap).
        scoring: name of the score.
        target_class: index of the class explained, or None.
        n_rows: N.
        n_images: distinct images rendered.
        n_naive: images that permuting captions one by one would have taken.
        settings: everything else needed to repeat the run (JSON types).
        checks: verdicts on the method's assumptions.
        analyses: what else the scores say.
        gallery: pictures for the report.
        row_ids: N names of the rows; their numbers where none are given.
        own: (D, N) text, the state each row has of each concept; empty texts where none are given.
    """

    concepts: tuple[str, ...]
    importance: np.ndarray
    std: np.ndarray
    se: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    p_value: np.ndarray
    q_value: np.ndarray
    reliance: np.ndarray
    reliance_ci: np.ndarray
    reliance_signed: np.ndarray
    reliance_signed_ci: np.ndarray
    repeats: np.ndarray
    effects: np.ndarray
    reference_score: float
    reference_ci: tuple[float, float]
    real_score: float | None = None
    real_ci: tuple[float, float] | None = None
    confidence: float = 0.95
    interval: str = "influence"
    scoring: str = "roc_auc"
    target_class: int | None = None
    n_rows: int = 0
    n_images: int = 0
    n_naive: int = 0
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    checks: tuple[CheckResult, ...] = ()
    analyses: tuple[Analysis, ...] = ()
    gallery: tuple[Picture, ...] = ()
    row_ids: tuple[str, ...] = ()
    own: np.ndarray = field(default_factory=lambda: np.empty((0, 0), dtype=object))

    def __post_init__(self) -> None:
        """Name the rows."""
        if not self.row_ids:
            object.__setattr__(self, "row_ids", tuple(str(row) for row in range(self.effects.shape[1])))
        if not self.own.size:
            object.__setattr__(self, "own", np.full(self.effects.shape, "", dtype=object))

    @property
    def n_repeats(self) -> int:
        """P, the sampled permutations."""
        return int(self.repeats.shape[1])

    @property
    def rank(self) -> np.ndarray:
        """(D,) 1 = most important; ties go by the table's order."""
        rank = np.empty(len(self.concepts), dtype=np.int64)
        rank[np.argsort(-self.importance, kind="stable")] = np.arange(1, len(rank) + 1)
        return rank

    def ranking(self) -> pd.DataFrame:
        """One row a concept, most important first; columns `RANKING_COLUMNS`."""
        import pandas as pd

        vectors = {name: getattr(self, name) for name in RANKING_COLUMNS if name not in ("concept", "rank")}
        frame = pd.DataFrame({"concept": list(self.concepts), **vectors, "rank": self.rank})
        return frame.sort_values("rank")[list(RANKING_COLUMNS)].reset_index(drop=True)

    def frame(self) -> pd.DataFrame:
        """Tidy frame of every sampled permutation: concept, repeat, importance."""
        import pandas as pd

        n_concepts, n_repeats = self.repeats.shape
        return pd.DataFrame(
            {
                "concept": np.repeat(np.array(self.concepts, dtype=object), n_repeats),
                "repeat": np.tile(np.arange(n_repeats), n_concepts),
                "importance": self.repeats.ravel(),
            }
        )

    def row_effects(self) -> pd.DataFrame:
        """Tidy frame of what switching each concept does in each row: row_id, concept, own, effect.

        `own` is the state the row has; `effect` is the change of its score from off to on (per standard deviation
        upwards for numbers), NaN where there is none, as for categories.
        """
        import pandas as pd

        n_concepts, n_rows = self.effects.shape
        return pd.DataFrame(
            {
                "row_id": np.tile(np.array(self.row_ids, dtype=object), n_concepts),
                "concept": np.repeat(np.array(self.concepts, dtype=object), n_rows),
                "own": self.own.ravel(),
                "effect": self.effects.ravel(),
            }
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the ranking with its intervals; returns the matplotlib axes, never shows them."""
        from genlens.reports.plots import plot_ranking

        return plot_ranking(self, ax=ax)

    def to_html(self, path: str | Path) -> Path:
        """Write the self-contained report and return its path."""
        from genlens.reports.html import write_report

        written: Path = write_report(self, path)
        return written

    def save(self, folder: str | Path) -> Path:
        """Write ranking.csv, result.json, checks.json, analyses.json and Parquet files, each whole or not at all.

        Args:
            folder: made when missing.

        Returns:
            The folder.

        Raises:
            WriteError: the disk is full, or the folder can't be written.
        """
        from genlens.importance.saved import write_result

        folder = Path(folder)
        write_result(self, folder)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> ImportanceResult:
        """Read what `save` wrote.

        Args:
            folder: a run folder.

        Raises:
            RunFolderError: there is no result, or a file of it is missing, damaged or belongs to another result.
        """
        from genlens.importance.saved import read_result

        return read_result(Path(folder))
