"""The result of a permutation importance: frozen, with tables, plots and a folder form without pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from genlens.errors import RunFolderError

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
_FORMAT = 1
_VECTORS = ("importance", "std", "se", "ci_low", "ci_high", "p_value", "q_value", "reliance", "reliance_signed")
_MATRICES = ("reliance_ci", "reliance_signed_ci")
_SCALARS = (
    "reference_score",
    "real_score",
    "confidence",
    "interval",
    "scoring",
    "target_class",
    "n_rows",
    "n_images",
    "n_naive",
    "settings",
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
        matrix: D x D figures, row = concept permuted, column = concept detected, or None.
        labels: names of the matrix's rows and columns.
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
    """What else a run's scores say, in a form that reports can show: a sentence, advice, a table, a matrix.

    Args:
        code: short name, such as "variance" or "adjusted".
        title: what was looked at, in words.
        message: one line with figures.
        advice: what to do about it; empty when nothing needs doing.
        table: records for the report; ``x_low`` and ``x_high`` are the interval of ``x``.
        matrix: figures between concepts, or None.
        labels: names of the matrix's rows and columns.
    """

    code: str
    title: str
    message: str
    advice: str = ""
    table: list[dict[str, Any]] = field(default_factory=list)
    matrix: list[list[float]] | None = None
    labels: list[str] = field(default_factory=list)


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

        vectors = {name: getattr(self, name) for name in RANKING_COLUMNS if name in _VECTORS}
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
        """Write ranking.csv, result.json, checks.json, analyses.json and Parquet files; each is written aside and renamed.

        Args:
            folder: made when missing.

        Returns:
            The folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / "repeats.parquet", lambda path: self.frame().to_parquet(path, index=False))
        _replace(folder / "effects.parquet", lambda path: self._effects_frame().to_parquet(path, index=False))
        _replace(folder / "gallery.parquet", lambda path: self._gallery_frame().to_parquet(path, index=False))
        _write_json(folder / "checks.json", [asdict(check) for check in self.checks])
        _write_json(folder / "analyses.json", [asdict(analysis) for analysis in self.analyses])
        _replace(folder / "ranking.csv", lambda path: self.ranking().to_csv(path, index=False))
        _write_json(folder / "result.json", self._document())
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> ImportanceResult:
        """Read what `save` wrote.

        Args:
            folder: a run folder.

        Raises:
            RunFolderError: there is no result, or a file of it is missing or damaged.
        """
        folder = Path(folder)
        if not (folder / "result.json").is_file():
            raise RunFolderError(f"{folder} holds no result.json; it isn't the folder of a finished run.")
        try:
            return _read(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"The result in {folder} is damaged ({error}); repeat the command that wrote it."
            ) from error

    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = {"format": _FORMAT, "concepts": list(self.concepts)}
        document |= {name: getattr(self, name).tolist() for name in (*_VECTORS, *_MATRICES)}
        document |= {name: getattr(self, name) for name in _SCALARS}
        document |= {"reference_ci": self.reference_ci, "real_ci": self.real_ci}
        return document

    def _effects_frame(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(self.effects.T, columns=list(self.concepts))

    def _gallery_frame(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame([asdict(picture) for picture in self.gallery], columns=list(Picture.__annotations__))


def _read(folder: Path) -> ImportanceResult:
    import pandas as pd

    document = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    checks = json.loads((folder / "checks.json").read_text(encoding="utf-8"))
    analyses = json.loads((folder / "analyses.json").read_text(encoding="utf-8"))
    concepts = tuple(document["concepts"])
    repeats = pd.read_parquet(folder / "repeats.parquet")["importance"].to_numpy(dtype=np.float64)
    effects = pd.read_parquet(folder / "effects.parquet")[list(concepts)].to_numpy(dtype=np.float64)
    gallery = pd.read_parquet(folder / "gallery.parquet").to_dict("records")
    arrays: dict[str, Any] = {name: _array(document[name]) for name in _VECTORS}
    arrays |= {name: _array(document[name]).reshape(len(concepts), 2) for name in _MATRICES}
    return ImportanceResult(
        concepts=concepts,
        repeats=repeats.reshape(len(concepts), -1),
        effects=np.ascontiguousarray(effects.T),
        reference_ci=_interval(document["reference_ci"]),
        real_ci=None if document["real_ci"] is None else _interval(document["real_ci"]),
        checks=tuple(CheckResult(**_with_nan(check)) for check in checks),
        analyses=tuple(Analysis(**_with_nan(analysis)) for analysis in analyses),
        gallery=tuple(Picture(**{str(key): value for key, value in record.items()}) for record in gallery),
        **arrays,
        **{name: document[name] for name in _SCALARS},
    )


def _array(values: list[Any]) -> np.ndarray:
    return np.array(values, dtype=np.float64)  # None (JSON null) becomes NaN


def _interval(ends: list[float | None]) -> tuple[float, float]:
    low, high = _array(ends).tolist()
    return low, high


def _with_nan(check: dict[str, Any]) -> dict[str, Any]:
    """Undo the nulls of the matrix of a check or an analysis; elsewhere None and NaN mean the same."""
    if check["matrix"] is not None:
        check["matrix"] = _array(check["matrix"]).tolist()
    return check


def _null(value: Any) -> Any:
    """Make numpy scalars, tuples and non-finite floats fit for JSON."""
    if isinstance(value, Mapping):
        return {str(key): _null(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_null(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _write_json(path: Path, document: Any) -> None:
    text = json.dumps(_null(document), indent=1, allow_nan=False, ensure_ascii=False)
    _replace(path, lambda aside: aside.write_text(text + "\n", encoding="utf-8"))


def _replace(path: Path, write: Any) -> None:
    """Write a file under a temporary name, flush it to disk and rename it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    write(aside)
    with aside.open("rb") as handle:
        os.fsync(handle.fileno())
    os.replace(aside, path)
