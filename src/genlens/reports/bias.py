"""A search for bias as a report: verdicts, shares, effects, and the pictures in groups by value."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genlens.errors import printable
from genlens.files import make_folder, write_atomic
from genlens.findings.bias import CONTROL, NAMED, NEUTRAL, OPTIMISED, SMALLEST_EFFECT, Attribute, AttributeFinding
from genlens.findings.bias_result import BiasResult
from genlens.reports.document import Picture, Section, Table, write_html
from genlens.reports.text import MISSING, figure, interval, p_value

KINDS = (OPTIMISED, CONTROL, NAMED, NEUTRAL)
PER_ROW = 12
"""Pictures of a value that a figure shows."""
_GAP, _SMALLEST = 4, 64


def headline(result: BiasResult) -> str:
    """What was found, in a sentence."""
    parts = []
    for verdict in ("biased", "undecided", "not shown"):
        names = [one.attribute for one in result.findings if one.verdict == verdict]
        if names:
            parts.append(f"{verdict}: {', '.join(names)}")
    return f"Bias of {result.name}, {'; '.join(parts)}."


def write_bias(result: BiasResult, folder: Path, command: str = "") -> Path:
    """Write the figures and report.html of a search; return the path of the report.

    Args:
        result: what was found.
        folder: of the run.
        command: how to repeat it.

    Raises:
        WriteError: the disk is full, or the folder can't be written.
    """
    figures = folder / "figures"
    make_folder(figures)
    sections = [_verdicts(result)]
    for attribute, finding in zip(result.attributes, result.findings, strict=True):
        sections.append(_attribute(result, attribute, finding, figures))
    sections.append(_how(result))
    sections += [Section("To repeat it", (command,))] if command else []
    page = folder / "report.html"
    write_html(f"Bias of {result.name}", headline(result), sections, page, kind="bias")
    return page


def print_bias(result: BiasResult) -> None:
    """The verdicts as lines."""
    for one in result.findings:
        print(printable(f"{one.attribute}: {one.verdict}. {one.reason}"))


def _verdicts(result: BiasResult) -> Section:
    rows = tuple(
        (one.attribute, one.verdict, one.favoured, p_value(one.p_neutral), p_value(one.p_control),
         p_value(one.p_direct), p_value(one.adjusted), _number(one.v))
        for one in result.findings
    )  # fmt: skip
    columns = ("attribute", "verdict", "value that grew", "p, neutral", "p, other classes", "p, score", "p, corrected",
               "Cramér's V")  # fmt: skip
    told = tuple(f"{one.attribute}: {one.reason}" for one in result.findings)
    return Section("Verdicts", told, (Table("One line an attribute", columns, rows),))


def _attribute(result: BiasResult, attribute: Attribute, finding: AttributeFinding, figures: Path) -> Section:
    kinds = [kind for kind in KINDS if kind in finding.values[0].shares]
    rows = tuple(
        (
            value.value,
            *(f"{value.shares[kind]:.1%}" for kind in kinds),
            _with_interval(value.difference, value.low, value.high),
            _number(value.h),
            _with_interval(value.effect.d, value.effect.low, value.effect.high),
        )
        for value in finding.values
    )
    columns = ("value", *(f"share, {kind}" for kind in kinds), "optimised - neutral", "Cohen's h",
               "effect on the score, neutral pictures")  # fmt: skip
    told = [f"{finding.unclear:.1%} of all pictures have no clear value and are left out."]
    if not math.isnan(finding.p_class_name):
        told.append(
            f"Class name against neutral: p {p_value(finding.p_class_name)}. That is what the generator ties to the "
            "name; it is no part of the verdict."
        )
    pictures = [
        Picture(path, f"{attribute.name}, {kind}: one row a value ({', '.join(attribute.values)}), {PER_ROW} each")
        for kind in kinds
        if (path := _groups(result, attribute, kind, figures)) is not None
    ]
    table = Table("Shares of each value, and its effect on the target score", columns, rows)
    return Section(f"Attribute: {attribute.name}", tuple(told), (table,), tuple(pictures))


def _groups(result: BiasResult, attribute: Attribute, kind: str, figures: Path) -> Path | None:
    """Pictures of a kind, a row a value, spread over the restarts; None where there are none."""
    images, labels = result.pictures[kind].images, result.labels[attribute.name][kind]
    if not len(images):
        return None
    place = [one.name for one in result.attributes].index(attribute.name)
    path = figures / f"attribute-{place}-{kind.replace(' ', '-')}.png"
    write_atomic(path, sheet([_spread(images[labels == v]) for v in range(len(attribute.values))], images.shape[1:3]))
    return path


def _spread(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At most `PER_ROW` of the images, evenly from first to last."""
    chosen = np.unique(np.linspace(0, max(len(images) - 1, 0), PER_ROW).round().astype(int))
    some: NDArray[np.uint8] = images[chosen[: len(images)]]
    return some


def sheet(rows: list[NDArray[np.uint8]], size: tuple[int, ...]) -> bytes:
    """Rows of pictures (n, H, W, 3) as PNG, small ones enlarged without smoothing; an empty row stays white."""
    times = max(1, -(-_SMALLEST // max(size)))
    height, width = size[0] * times, size[1] * times
    whole = Image.new("RGB", (PER_ROW * (width + _GAP) - _GAP, len(rows) * (height + _GAP) - _GAP), "white")
    for j, row in enumerate(rows):
        for i, image in enumerate(row):
            picture = Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST)
            whole.paste(picture, (i * (width + _GAP), j * (height + _GAP)))
    buffer = io.BytesIO()
    whole.save(buffer, format="PNG")
    return buffer.getvalue()


def _how(result: BiasResult) -> Section:
    told = []
    if OPTIMISED in result.pictures:
        parts = {kind: part.restarts for kind, part in result.pictures.items()}
        counted = {kind: len(np.unique(of)) for kind, of in parts.items() if of is not None}
        told += [
            f"Restarts that reached their class, of {result.settings['restarts']}: "
            f"{'; '.join(f'{kind} {n}' for kind, n in counted.items())}. Each is one observation in intervals and "
            "tests: where an optimisation ends is luck that all of its pictures share.",
            "A bias is called one when, after Holm's correction over the attributes, the maximising pictures differ "
            "from the neutral ones (chi-square with restarts as draws) and from pictures that maximise other classes "
            "(permutation of restarts), and neutral pictures with the value that grew score more than "
            f"{SMALLEST_EFFECT:g} standard deviations higher. Not shown doesn't mean absent: the intervals say how "
            "large a difference may have been missed.",
        ]
    else:
        told.append(
            "No optimiser: neutral pictures are labelled and their target scores compared. A bias is called one when a "
            f"value's effect is more than {SMALLEST_EFFECT:g} standard deviations, corrected for values and attributes."
        )
    captions = result.settings["captions"]
    told += [f"Captions, {kind}: {'; '.join(f'“{one}”' for one in texts)}." for kind, texts in captions.items()]
    told.append("The labels are the attribute classifier's, with its errors; they are no one's identity.")
    return Section("How it was measured", tuple(told))


def _number(value: float) -> str:
    return MISSING if math.isnan(value) else figure(value, 2)


def _with_interval(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return MISSING
    return f"{figure(value, 2, signed=True)} {interval(low, high, 2, signed=True)}"
