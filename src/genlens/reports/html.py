"""The HTML report: one self-contained file without scripts or links to anything outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from genlens._version import __version__
from genlens.files import write_atomic
from genlens.reports import view
from genlens.reports.analysis_view import analysis_view
from genlens.reports.check_view import check_view
from genlens.reports.text import (
    MISSING,
    Row,
    figure,
    headline,
    interval,
    ranking_rows,
    score_name,
    warning_title,
    warnings_of,
)

if TYPE_CHECKING:
    from genlens.importance.result import ImportanceResult

_OWN_PLACE = ("command", "seed", "true_reliance", "versions")
"""Settings that the report shows elsewhere than in the list of settings."""


def write_report(result: ImportanceResult, path: str | Path) -> Path:
    """Write the report of `result`; the file appears whole or not at all.

    Args:
        result: what `permutation_importance` returned or `ImportanceResult.load` read.
        path: the file, by custom ``report.html``; missing folders are made.

    Returns:
        The path written.
    """
    path = Path(path)
    page = render_report(result)
    write_atomic(path, page.encode("utf-8", "replace"))
    return path


def render_report(result: ImportanceResult) -> str:
    """The report of `result` as HTML text.

    Of ``result.settings`` these have a place of their own: ``true_reliance`` (concept -> known weight), ``command``
    (how to repeat the run), ``seed`` and ``versions`` (name -> version); all others are listed.
    """
    environment = Environment(
        loader=PackageLoader("genlens.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(_context(result))


def _context(result: ImportanceResult) -> dict[str, Any]:
    rows = ranking_rows(result)
    score = score_name(result.scoring)
    importance_axis, reliance_axis = view.ranking_axes(rows)
    repeats, repeats_axis = view.repeat_lines(result, rows)
    has_truth = any(row.true_reliance is not None for row in rows)
    said = headline(result, rows)
    return {
        "version": __version__,
        "title": f"genlens report: {said.before}{said.concept}{said.after}",
        "headline": said,
        "score": score,
        "tiles": _tiles(result, score),
        "warnings": [check_view(check) for check in warnings_of(result.checks)],
        "warning_title": warning_title(result.checks) if warnings_of(result.checks) else "",
        "rows": view.ranking_lines(rows),
        "importance_axis": importance_axis,
        "reliance_axis": reliance_axis,
        "confidence": f"{result.confidence:.0%}",
        "has_truth": has_truth,
        "agreement": view.agreement(rows),
        "reading": _reading(rows, score, result, has_truth),
        "n_repeats": f"{result.n_repeats:,}",
        "repeats": repeats,
        "repeats_axis": repeats_axis,
        "checks": [check_view(check) for check in result.checks],
        "analyses": [analysis_view(analysis) for analysis in result.analyses],
        "gallery": view.gallery_parts(result.gallery, rows),
        **_method(result, score),
    }


def _method(result: ImportanceResult, score: str) -> dict[str, Any]:
    versions = result.settings.get("versions")
    settings = [(key, _setting(value)) for key, value in result.settings.items() if key not in _OWN_PLACE]
    return {
        "facts": view.facts(result, score),
        "command": str(result.settings.get("command") or ""),
        "settings": settings,
        "versions": sorted(versions.items()) if isinstance(versions, Mapping) else [],
    }


def _setting(value: Any) -> str:
    """A setting in one line: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


@dataclass(frozen=True)
class _Tile:
    name: str
    value: str
    extra: tuple[str, ...] = ()


def _tiles(result: ImportanceResult, score: str) -> list[_Tile]:
    tiles = [_score_tile(f"Reference {score}", "on generated images", result.reference_score, result.reference_ci)]
    if result.real_score is not None:
        tiles.append(_score_tile(f"Real {score}", "on real images", result.real_score, result.real_ci))
    tiles.append(_Tile("Rows", f"{result.n_rows:,}", (_count(len(result.concepts), "concept"),)))
    naive = (f"instead of {result.n_naive:,}",) if result.n_naive > result.n_images else ()
    tiles.append(_Tile("Images rendered", f"{result.n_images:,}", naive))
    counts = [f"{count} {verdict}" for verdict, count in view.check_counts(result.checks).items()]
    checks = _Tile("Checks", counts[0], tuple(counts[1:])) if counts else _Tile("Checks", "none", ("not checked",))
    return [*tiles, checks]


def _score_tile(name: str, where: str, value: float, ends: tuple[float, float] | None) -> _Tile:
    bracket = interval(*ends) if ends else MISSING
    return _Tile(name, figure(value), (where,) if bracket == MISSING else (bracket, where))


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + "s" * (n != 1)


def _reading(rows: list[Row], score: str, result: ImportanceResult, has_truth: bool) -> list[tuple[str, str]]:
    """One plain sentence for each column of the ranking."""
    lines = [
        (
            "Importance",
            f"The reference {score} ({figure(result.reference_score)}) minus its mean when the concept is permuted; "
            f"0 means that nothing is lost. In brackets its {result.confidence:.0%} interval over rows.",
        ),
        (
            "p and q",
            "How likely an importance this high would be if it made no difference which state a row is in; "
            "q is adjusted for looking at several concepts at once (Benjamini-Hochberg).",
        ),
        (
            "Score reliance",
            "The mean change of the target’s score between off and on: absolute, and signed (+ means that the concept "
            "raises the score; the dark tick). Unlike importance it has no ceiling.",
        ),
    ]
    if has_truth:
        lines.append(("True", "The weight of the concept inside the target model, known here because it was built so."))
    return lines
