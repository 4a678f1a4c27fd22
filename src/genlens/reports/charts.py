"""Inline SVG strips for the HTML report.

Every strip is as wide as its table cell: x positions are percentages, heights and text are pixels, so a chart is crisp
and its text keeps its size at any width. Colours are CSS classes, so dark mode and print need no second drawing.
Elements are built with ElementTree, which escapes whatever names come in.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from genlens.reports.text import figure

_BINS = 48
_PAD = 0.03


@dataclass(frozen=True)
class Scale:
    """A linear axis over the width of a strip.

    Attributes:
        low: value at the left edge.
        high: value at the right edge, above `low`.
        ticks: values to be written on the axis.
    """

    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """Position of `value` in percent of the width, kept within 0..100."""
        return float(np.clip((value - self.low) / (self.high - self.low) * 100, 0, 100))

    def x(self, value: float) -> str:
        """Position of `value` as an SVG length, such as ``"12.34%"``."""
        return f"{self.share(value):.2f}%"


def scale(values: Iterable[float], *, zero: bool = True, n_ticks: int = 4) -> Scale:
    """The axis that holds all finite `values` (and 0 if `zero`), with round ticks."""
    finite = [float(value) for value in values if math.isfinite(value)] + ([0.0] if zero else [])
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if high - low < 1e-9:
        low, high = low - 0.05 * (not zero), high + 0.05
    pad = (high - low) * _PAD
    rough = (high - low) / n_ticks
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
    ticks = [round(k * step, 10) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    return Scale(low - pad, high + pad, tuple(ticks))


def _strip(height: int, children: Iterable[ElementTree.Element], label: str = "") -> Markup:
    attributes = {"class": "strip", "width": "100%", "height": str(height)}
    attributes |= {"role": "img", "aria-label": label} if label else {"aria-hidden": "true"}
    svg = ElementTree.Element("svg", attributes)
    if label:
        ElementTree.SubElement(svg, "title").text = label
    svg.extend(children)
    return Markup(ElementTree.tostring(svg, encoding="unicode", short_empty_elements=False))


def _line(name: str, x1: str, x2: str, y1: float, y2: float) -> ElementTree.Element:
    return ElementTree.Element("line", {"class": name, "x1": x1, "x2": x2, "y1": f"{y1:g}", "y2": f"{y2:g}"})


def _rect(name: str, axis: Scale, start: float, stop: float, y: float, height: float) -> ElementTree.Element:
    left, right = sorted((axis.share(start), axis.share(stop)))
    place = {"x": f"{left:.2f}%", "width": f"{right - left:.2f}%", "y": f"{y:g}", "height": f"{height:g}"}
    return ElementTree.Element("rect", {"class": name, **place})


def _dot(name: str, axis: Scale, value: float, y: float, radius: float = 4.5) -> ElementTree.Element:
    return ElementTree.Element("circle", {"class": name, "cx": axis.x(value), "cy": f"{y:g}", "r": f"{radius:g}"})


def _grid(axis: Scale, height: int) -> list[ElementTree.Element]:
    """Faint lines at the ticks, a stronger one at zero."""
    return [_line("zero" if tick == 0 else "grid", axis.x(tick), axis.x(tick), 0, height) for tick in axis.ticks]


def axis_strip(axis: Scale, *, height: int = 16) -> Markup:
    """The numbers of an axis, to stand in a column's head."""
    texts = []
    for tick in axis.ticks:
        anchor = "start" if axis.share(tick) < 4 else "end" if axis.share(tick) > 96 else "middle"
        attributes = {"class": "tick", "x": axis.x(tick), "y": str(height - 4), "text-anchor": anchor}
        text = ElementTree.Element("text", attributes)
        text.text = figure(tick, _decimals(axis.ticks)) if tick else "0"
        texts.append(text)
    return _strip(height, texts)


def _decimals(ticks: Sequence[float]) -> int:
    return next((d for d in range(4) if all(abs(round(tick, d) - tick) < 1e-9 for tick in ticks)), 3)


def interval_strip(
    axis: Scale, value: float, low: float, high: float, *, strong: bool = True, height: int = 30
) -> Markup:
    """A bar from 0 to `value` with its interval and a dot: filled if `strong`, hollow otherwise."""
    middle = height / 2
    parts = _grid(axis, height)
    if math.isfinite(value):
        parts.append(_rect("bar", axis, 0, value, middle - 5, 10))
    if math.isfinite(low) and math.isfinite(high):
        parts.append(_line("whisker", axis.x(low), axis.x(high), middle, middle))
        parts += [_line("whisker", axis.x(end), axis.x(end), middle - 4, middle + 4) for end in (low, high)]
    if math.isfinite(value):
        parts.append(_dot("dot" if strong else "dot hollow", axis, value, middle))
    return _strip(height, parts)


def bar_strip(axis: Scale, value: float, low: float, high: float, signed: float, *, height: int = 30) -> Markup:
    """A bar from 0 to `value` with its interval; a tick at `signed` where that is known."""
    middle = height / 2
    parts = _grid(axis, height)
    if math.isfinite(value):
        parts.append(_rect("bar second", axis, 0, value, middle - 5, 10))
    if math.isfinite(low) and math.isfinite(high):
        parts.append(_line("whisker second", axis.x(low), axis.x(high), middle, middle))
    if math.isfinite(signed):
        parts.append(_line("mark", axis.x(signed), axis.x(signed), middle - 8, middle + 8))
    return _strip(height, parts)


def repeats_strip(axis: Scale, values: ArrayLike, name: str, *, height: int = 46) -> Markup:
    """The distribution of a concept's repeats: a histogram over a box of quartiles with whiskers at 2.5% and 97.5%."""
    array = np.asarray(values, dtype=float)
    array = array[np.isfinite(array)]
    parts = _grid(axis, height)
    if not len(array):
        return _strip(height, parts, f"{name}: no repeats.")
    base = height - 15
    counts, edges = np.histogram(array, bins=_BINS, range=(axis.low, axis.high))
    for k in np.flatnonzero(counts):
        tall = max(1.5, (base - 2) * counts[k] / counts.max())
        parts.append(_rect("histogram", axis, edges[k], edges[k + 1], base - tall, tall))
    q = np.quantile(array, [0.025, 0.25, 0.5, 0.75, 0.975])
    y = base + 7
    parts.append(_line("whisker thin", axis.x(q[0]), axis.x(q[4]), y, y))
    parts.append(_rect("box", axis, q[1], q[3], y - 4, 8))
    parts.append(_line("mark", axis.x(q[2]), axis.x(q[2]), y - 5, y + 5))
    spread = f"median {figure(q[2])}, middle half {figure(q[1])} to {figure(q[3])}"
    return _strip(height, parts, f"{name}: {spread}, 95% from {figure(q[0])} to {figure(q[4])}.")


def change_strip(axis: Scale, start: float, stop: float, *, height: int = 30) -> Markup:
    """Two dots joined by a line: hollow at `start` (real images), filled at `stop` (generated ones)."""
    parts = _grid(axis, height)
    if math.isfinite(start) and math.isfinite(stop):
        parts.append(_line("whisker", axis.x(start), axis.x(stop), height / 2, height / 2))
        parts += [_dot("dot hollow", axis, start, height / 2), _dot("dot", axis, stop, height / 2)]
    return _strip(height, parts)


_CURVE_HEIGHT = 150
_MARGIN = 8  # pixels above and below a curve


def _y(axis: Scale, value: float) -> float:
    return _MARGIN + (1 - axis.share(value) / 100) * (_CURVE_HEIGHT - 2 * _MARGIN)


def curve_plot(horizontal: Scale, vertical: Scale, points: Sequence[tuple[float, ...]], label: str) -> Markup:
    """A curve through points with their intervals.

    Args:
        horizontal: axis of the points' x.
        vertical: axis of their y.
        points: (x, y, low, high) each, in the order of x.
        label: the curve in words, for those who can't see it.
    """
    parts = [_line("grid", horizontal.x(tick), horizontal.x(tick), 0, _CURVE_HEIGHT) for tick in horizontal.ticks]
    heights = [(tick, _y(vertical, tick)) for tick in vertical.ticks]
    parts += [_line("zero" if tick == 0 else "grid", "0", "100%", height, height) for tick, height in heights]
    known = [point for point in points if all(math.isfinite(value) for value in point[:2])]
    for (x, y, *_), (next_x, next_y, *_) in itertools.pairwise(known):
        parts.append(_line("path", horizontal.x(x), horizontal.x(next_x), _y(vertical, y), _y(vertical, next_y)))
    for x, y, low, high in known:
        if math.isfinite(low) and math.isfinite(high):
            parts.append(_line("whisker thin", horizontal.x(x), horizontal.x(x), _y(vertical, low), _y(vertical, high)))
        parts.append(_dot("dot", horizontal, x, _y(vertical, y), 3))
    return _strip(_CURVE_HEIGHT, parts, label)


def vertical_axis(axis: Scale) -> Markup:
    """The numbers of a curve's vertical axis, to stand at its left."""
    texts = []
    for tick in axis.ticks:
        place = {"x": "100%", "y": f"{_y(axis, tick) + 4:g}", "text-anchor": "end"}
        text = ElementTree.Element("text", {"class": "tick", **place})
        text.text = figure(tick, _decimals(axis.ticks)) if tick else "0"
        texts.append(text)
    return _strip(_CURVE_HEIGHT, texts)
