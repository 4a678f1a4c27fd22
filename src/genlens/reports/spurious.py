"""The report of `genlens spurious`: verdicts with their evidence, pictures with masks, words."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.files import write_atomic
from genlens.findings.spurious_types import Evidence, Finding, SpuriousResult
from genlens.findings.verdict import Part
from genlens.prompts.candidates import Candidate
from genlens.reports.document import Picture, Section, Table, write_html
from genlens.segmenters.calibration import Share

RESULT_FILE = "spurious.json"
_SHOWN, _SIDE = 10, 96
_TINT = np.array([230, 40, 160], dtype=np.float32)


def save_spurious(result: SpuriousResult, listed: Sequence[Candidate], folder: Path) -> Path:
    """Write spurious.json, the sheets of pictures and report.html; returns the report's path."""
    write_atomic(folder / RESULT_FILE, (json.dumps(result.to_dict(), indent=2) + "\n").encode())
    sections = [_overview(result), *_feature_sections(result, folder), _candidates(listed), _how(result)]
    name = result.target.name
    n, found = len(result.findings), len(result.spurious)
    support = f"{found} of the {n} neural features that speak most for {name!r} look spurious."
    path = folder / "report.html"
    write_html(f"What {name!r} rests on", support, sections, path, kind="spurious features")
    return path


def lines(result: SpuriousResult) -> list[str]:
    """One line a feature, for the terminal."""
    return [
        f"feature {one.feature.index:>4}  {one.verdict:9}  object in {_interval(one.share)}, "
        f"carries {_part(one.part)}, under its name {_part(one.reach)}{_words(one)}"
        for one in result.findings
    ]


def _overview(result: SpuriousResult) -> Section:
    rows = tuple(
        (
            f"{one.feature.index}", f"{one.feature.rank}", one.verdict, _interval(one.share), _part(one.part),
            _part(one.reach),            f"{one.score:.2f} ({one.class_score:.2f}; {one.plain_score:.2f})",
            _words(one).removeprefix("; shows ") or "-",
        )
        for one in result.findings
    )  # fmt: skip
    columns = ("feature", "rank", "verdict", "pictures with the object", "part that the object carries",
               "under the class's name", "activation (class name; unoptimised)", "also seen")  # fmt: skip
    class_share, plain_share = result.findings[0].class_share, result.findings[0].plain_share
    text = (
        f"Under the prompt {result.target.caption!r} the object is in {_interval(class_share)} of the pictures, under "
        f"the unoptimised prompt in {_interval(plain_share)}. Shares are corrected for the segmenter's errors; "
        f"intervals are at {result.settings.confidence:.0%}. The parts are of the activation on the "
        "feature's own pictures; under the class's name: what the object carries there, as a share of the same."
    )
    return Section("Verdicts", (text,), (Table("Neural features by their contribution to the class", columns, rows),))


def _feature_sections(result: SpuriousResult, folder: Path) -> list[Section]:
    sections = []
    for one, evidence in zip(result.findings, result.evidence, strict=True):
        path = _sheet(evidence, folder / "figures" / f"feature_{one.feature.index}.png")
        notes = [one.reason]
        if one.look is not None and one.area is not None:
            notes.append(
                f"Where the object is seen, {one.look:.0%} of the feature's gradient lies on it; it takes up "
                f"{one.area:.0%} of the picture."
            )
        rows = tuple((f"{k + 1}", f"{value:.2f}", f"{seen:.0%}") for k, (value, seen) in enumerate(one.restarts))
        columns = ("restart", "activation", "pictures with the object, as counted")
        table = Table("Each restart", columns, rows, short=False)
        title = f"Feature {one.feature.index}: {one.verdict}"
        text = "Pictures of the best prompt on held-out seeds; below, what the segmenter takes for the object."
        sections.append(Section(title, tuple(notes), (table,), (Picture(path, text),)))
    names = (f"the prompt {result.target.caption!r}", "the unoptimised prompt")
    for name, images in zip(names, result.baseline, strict=True):
        path = folder / "figures" / ("class_name.png" if name != names[1] else "unoptimised.png")
        write_atomic(path, _png(_row(images[:_SHOWN])), durable=False)
        sections.append(Section(f"For comparison: {name}", pictures=(Picture(path, f"Pictures of {name}."),)))
    return sections


def _candidates(listed: Sequence[Candidate]) -> Section:
    rows = tuple((one.name, one.target, f"{one.gain:+.2f} [{one.low:+.2f}, {one.high:+.2f}]") for one in listed)
    text = (
        "candidates.json has these words, candidates/ pictures with masks. Annotate your data with them (`genlens "
        "annotate`), then `genlens rank` measures how much the classifier relies on each."
        if listed
        else "None of the words asked for is seen in the pictures of a feature that isn't core."
    )
    tables = (Table("Concepts to annotate and rank", ("concept", "found for", "raises the feature by"), rows),)
    return Section("Candidate concepts", (text,), tables if rows else ())


def _how(result: SpuriousResult) -> Section:
    errors, how = result.calibration, result.settings
    rule = (
        "A feature is core when the object carries at least the threshold of its activation on its own pictures, or "
        "two thirds of it (or the threshold if that is more) on those of the class's name; spurious when neither is "
        "so; undecided where an interval straddles it."
        if how.rule == "part"
        else "A feature is core when the share of its pictures with the object is at least the threshold, spurious "
        "when it is less, undecided where the interval straddles it."
    )
    text = (
        f"{rule} Threshold: {how.threshold:.0%}. The object's part is measured by painting over the object, the rest, "
        "and both.",
        f"The segmenter missed the object in {errors.false_absent:.1%} of {errors.n_with} pictures with it and saw it "
        f"in {errors.false_present:.1%} of {errors.n_without} without.",
    )
    rows = (
        ("pictures a feature", f"{how.n_images}"), ("restarts", f"{how.restarts}"), ("steps", f"{how.steps}"),
        ("pictures a restart and step", f"{how.batch}"), ("free tokens", f"{how.n_tokens}"),
        ("weight of the class", f"{how.class_weight:g}"), ("seed", f"{how.seed}"),
    )  # fmt: skip
    return Section("How it was done", text, (Table("Settings", ("setting", "value"), rows),))


def _interval(share: Share) -> str:
    return f"{share.estimate:.0%} [{share.low:.0%}, {share.high:.0%}]"


def _part(one: Part) -> str:
    return f"{one.mean:.0%} [{one.low:.0%}, {one.high:.0%}]" if one.n else "unknown (never active)"


def _words(one: Finding) -> str:
    seen = [f"{word.word} {word.share:.0%}" for word in one.words if word.share - word.plain > 0.1][:3]
    return f"; shows {', '.join(seen)}" if seen else ""


def _sheet(evidence: Evidence, path: Path) -> Path:
    """Two rows: pictures, and the same with the object tinted."""
    images, masks = evidence.images[:_SHOWN], evidence.masks[:_SHOWN, ..., None]
    grey = images.astype(np.float32).mean(axis=3, keepdims=True) * 0.5 + 100
    tinted = (grey * (1 - masks) + _TINT * masks).clip(0, 255).astype(np.uint8)
    write_atomic(path, _png(np.concatenate([_row(images), _row(np.broadcast_to(tinted, images.shape))])), durable=False)
    return path


def _row(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures beside one another, small ones enlarged by a whole factor, two white pixels between."""
    factor = max(1, _SIDE // images.shape[1])
    large = images.repeat(factor, axis=1).repeat(factor, axis=2)
    padded = np.pad(large, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=255)
    return np.concatenate(list(padded), axis=1)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()
