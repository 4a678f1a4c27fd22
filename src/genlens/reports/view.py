"""What the HTML template shows: a result turned into plain texts, strips and picture addresses."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from genlens.reports import charts
from genlens.reports.text import MISSING, Row, figure, interval, p_value

if TYPE_CHECKING:
    from markupsafe import Markup

    from genlens.importance.result import CheckResult, ImportanceResult, Picture

LARGEST_SIDE = 320
"""Larger pictures are shrunk to this many pixels and kept as JPEG, so that the report opens fast."""
_SMALL_SIDE = 160
_STATE_ORDER = {"off": -1, "absent": -1, "on": 1, "present": 1}


def ranking_lines(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Cells of the ranking table, in rank order."""
    importance, reliance = _importance_axis(rows), _reliance_axis(rows)
    return [_ranking_line(row, importance, reliance) for row in rows]


def ranking_axes(rows: Sequence[Row]) -> tuple[Markup, Markup]:
    """Axes of importance and of reliance for the head of the ranking table."""
    return charts.axis_strip(_importance_axis(rows)), charts.axis_strip(_reliance_axis(rows))


def _importance_axis(rows: Sequence[Row]) -> charts.Scale:
    return charts.scale(value for row in rows for value in (row.importance, row.ci_low, row.ci_high))


def _reliance_axis(rows: Sequence[Row]) -> charts.Scale:
    values = (value for row in rows for value in (row.reliance, row.reliance_signed, *row.reliance_ci))
    return charts.scale(values, n_ticks=2)


def _ranking_line(row: Row, importance: charts.Scale, reliance: charts.Scale) -> dict[str, Any]:
    bracket = interval(row.ci_low, row.ci_high)
    strong = row.stands_out is not False
    return {
        "concept": row.concept,
        "rank": row.rank,
        "weak": not strong,
        "importance": figure(row.importance),
        "interval": "" if bracket == MISSING else bracket,
        "p": p_value(row.p_value),
        "q": p_value(row.q_value),
        "reliance": figure(row.reliance, 2),
        "signed": figure(row.reliance_signed, 2, signed=True),
        "truth": figure(row.true_reliance, 2),
        "importance_strip": charts.interval_strip(importance, row.importance, row.ci_low, row.ci_high, strong=strong),
        "reliance_strip": charts.bar_strip(reliance, row.reliance, *row.reliance_ci, row.reliance_signed),
    }


def agreement(rows: Sequence[Row]) -> str:
    """How well ranking and reliance agree with the known weights; empty where fewer than three are known."""
    known = [row for row in rows if row.true_reliance is not None]
    truth = np.abs([row.true_reliance or 0.0 for row in known])
    importance, reliance = np.array([(row.importance, row.reliance) for row in known]).reshape(-1, 2).T
    measured = np.array([truth, importance, reliance])
    if len(known) < 3 or not np.isfinite(measured).all() or (np.ptp(measured, axis=1) < 1e-12).any():
        return ""
    spearman = np.corrcoef(_ranks(importance), _ranks(truth))[0, 1]
    pearson = np.corrcoef(reliance, truth)[0, 1]
    return (
        "Against the true weights of the target model: rank correlation (Spearman) of importance "
        f"{figure(spearman, 2)}, correlation (Pearson) of score reliance {figure(pearson, 3)}."
    )


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks with ties shared."""
    ranks: np.ndarray = (values[:, None] > values).sum(axis=1) + (values[:, None] == values).sum(axis=1) / 2
    return ranks


def repeat_lines(result: ImportanceResult, rows: Sequence[Row]) -> tuple[list[dict[str, Any]], Markup | None]:
    """The distribution of the repeats, a strip for each concept in rank order, and their axis."""
    if result.n_repeats < 2:
        return [], None
    values = dict(zip(result.concepts, result.repeats, strict=True))
    axis = charts.scale(result.repeats.ravel())
    lines = [
        {
            "concept": row.concept,
            "strip": charts.repeats_strip(axis, values[row.concept], row.concept),
            "mean": figure(float(np.mean(values[row.concept]))),
            "std": figure(row.std),
        }
        for row in rows
    ]
    return lines, charts.axis_strip(axis)


def gallery_parts(gallery: Sequence[Picture], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Pictures by concept in rank order, then by row; concepts without a rank come last."""
    ranked = {row.concept: row for row in rows}
    last = len(rows) + 1
    ordered = sorted(gallery, key=lambda p: (ranked[p.concept].rank if p.concept in ranked else last, p.concept))
    parts = []
    for concept, group in groupby(ordered, key=lambda p: p.concept):
        row = ranked.get(concept)
        by_row: dict[str, list[Picture]] = {}
        for picture in group:
            by_row.setdefault(picture.row_id, []).append(picture)
        summary = f"importance {figure(row.importance)}, score reliance {figure(row.reliance, 2)}" if row else ""
        rank = row.rank if row else None
        lines = [_gallery_row(pictures) for pictures in by_row.values()]
        parts.append({"concept": concept, "rank": rank, "summary": summary, "rows": lines})
    return parts


def _gallery_row(pictures: Sequence[Picture]) -> dict[str, Any]:
    names = {"": "absent"} | ({"0": "off", "1": "on"} if {picture.state for picture in pictures} == {"0", "1"} else {})
    named = [replace(picture, state=names.get(picture.state, picture.state)) for picture in pictures]
    ordered = sorted(named, key=lambda picture: _STATE_ORDER.get(picture.state, 0))
    first, final = ordered[0], ordered[-1]
    change = final.score - first.score if len(ordered) == 2 else math.nan
    known = math.isfinite(change)
    return {
        "row_id": first.row_id,
        "pictures": [_picture(picture) for picture in ordered],
        "change": f"score {figure(change, 2, signed=True)} when {final.state}" if known else "",
        "direction": "up" if known and change > 0 else "down",
        "caption": marked_caption(first.caption, final.caption) if final.caption or first.caption else None,
    }


def _picture(picture: Picture) -> dict[str, Any]:
    score = figure(picture.score, 2, signed=True)
    uri, width, height = picture_uri(picture.png)
    said = f"caption “{picture.caption}”" if picture.caption else "empty caption"
    return {
        "uri": uri,
        "width": width,
        "height": height,
        "small": max(width, height) <= _SMALL_SIDE,
        "state": picture.state,
        "score": score,
        "alt": f"Row {picture.row_id}, {picture.concept} {picture.state}: {said}, score {score}.",
    }


def picture_uri(png: bytes) -> tuple[str, int, int]:
    """A data URI for an encoded picture, with its width and height in pixels.

    Pictures up to `LARGEST_SIDE` stay the PNG they are; larger ones are shrunk and become JPEG.
    """
    with Image.open(io.BytesIO(png)) as image:
        if max(image.size) <= LARGEST_SIDE:
            return f"data:image/png;base64,{base64.b64encode(png).decode()}", *image.size
        small = image.convert("RGB")
    small.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}", *small.size


@dataclass(frozen=True)
class MarkedCaption:
    """A caption cut in three: `marked` is what another state's caption lacks."""

    before: str
    marked: str
    after: str


def marked_caption(without: str, caption: str) -> MarkedCaption:
    """Mark what `caption` says beyond `without`, in whole words and whole segments where it can."""
    start, shorter = 0, min(len(without), len(caption))
    while start < shorter and without[start] == caption[start]:
        start += 1
    tail = 0
    while tail < shorter - start and without[-1 - tail] == caption[-1 - tail]:
        tail += 1
    stop = len(caption) - tail
    start, stop = _slide(caption, start, stop)
    while 0 < start < stop and caption[start - 1].isalnum() and caption[start].isalnum():
        start -= 1
    while start < stop < len(caption) and caption[stop - 1].isalnum() and caption[stop].isalnum():
        stop += 1
    marked = caption[start:stop]
    start += len(marked) - len(marked.lstrip(", "))
    stop = max(start, stop - (len(marked) - len(marked.rstrip(", "))))
    return MarkedCaption(caption[:start], caption[start:stop], caption[stop:])


def _slide(text: str, start: int, stop: int) -> tuple[int, int]:
    """Of all equivalent places of an insertion take one that begins a segment ("red" + " circle, red" is ambiguous)."""
    shift = 0
    while True:
        at = start - shift
        if at == 0 or text[:at].endswith(", "):
            return at, stop - shift
        if text[at - 1] != text[stop - shift - 1] or stop == start:
            return start, stop
        shift += 1


def facts(result: ImportanceResult, score: str) -> list[tuple[str, str]]:
    """What was measured on what, as pairs of name and text."""
    images = f"{result.n_images:,} distinct ones"
    if result.n_naive > result.n_images > 0:
        times = f"{result.n_naive / result.n_images:,.0f} times as many"
        images += f", where permuting captions one by one would have taken {result.n_naive:,} ({times})"
    pairs = [
        ("Rows", f"{result.n_rows:,}"),
        ("Concepts", f"{len(result.concepts):,}"),
        ("Images rendered", images),
        ("Score", score + (f", target class {result.target_class}" if result.target_class is not None else "")),
        ("Permutations", f"exact expectation over all of them; {result.n_repeats:,} sampled for the distribution"),
        ("Intervals", f"{result.confidence:.0%} over rows ({_INTERVALS.get(result.interval, result.interval)})"),
    ]
    seed = result.settings.get("seed")
    return [*pairs, ("Seed", str(seed))] if seed is not None else pairs


_INTERVALS = {"influence": "influence functions", "bootstrap": "bootstrap"}


def check_counts(checks: Sequence[CheckResult]) -> Mapping[str, int]:
    """How many checks have each verdict, in a fixed order, verdicts without a check left out."""
    order = ("failed", "undecided", "passed", "not applicable")
    counts = {verdict: sum(check.verdict == verdict for check in checks) for verdict in order}
    return {verdict: count for verdict, count in counts.items() if count}
