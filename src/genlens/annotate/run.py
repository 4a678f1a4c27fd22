"""The run of `genlens annotate`: score, calibrate, label, write; a run that was stopped goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.annotate.calibration import calibrate
from genlens.annotate.files import (
    Pictures,
    check_columns,
    output_path,
    read_hand_labels,
    read_pictures,
    write_labels,
)
from genlens.annotation import Annotation, LabelErrors
from genlens.annotators.protocol import Annotator
from genlens.datasets.images import load_image
from genlens.datasets.tables import concept_names
from genlens.errors import UserError, check_integer
from genlens.files import write_atomic
from genlens.progress import Progress, SilentProgress

OUT = "annotated.csv"
PART = 256
"""Images whose scores are kept in one file while the run goes on."""
NOTHING = 0.0
"""Score of a concept of which an annotator that counts found no instance."""


@dataclass(frozen=True)
class Annotated:
    """What a run wrote.

    Attributes:
        path: the metadata file.
        annotation: thresholds and errors.
        shares: concept -> share of the images labelled as showing it.
    """

    path: Path
    annotation: Annotation
    shares: Mapping[str, float]


def annotate(
    data: str | Path,
    annotator: Annotator,
    concepts: Sequence[str],
    *,
    name: str = "annotator",
    out: str = OUT,
    thresholds: Mapping[str, float] | None = None,
    labels: str | Path | None = None,
    counts: bool = False,
    folds: int = 5,
    batch_size: int = 16,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Annotated:
    """Label the images of a folder.

    Args:
        data: imagefolder, its metadata file, or a folder of images without metadata.
        annotator: finds concepts.
        concepts: D names.
        name: how the annotator is called in the annotation.
        out: name of the new metadata file in the folder of the images; columns that are there are kept, every concept
            gets a column and "<concept> score". ``<out>.annotation.json`` holds thresholds and errors.
        thresholds: concept -> score above which it is present; others are calibrated, or the annotator's own.
        labels: metadata file with `file_name` and a column a concept (1, 0, empty where nobody said) for some images.
        counts: write how many instances lie above the threshold instead of 0 or 1.
        folds: of the cross-validation that measures errors.
        batch_size: images at a time.
        seed: of the folds.
        overwrite: replace an earlier annotation of that name. Files that genlens didn't write are never replaced.
        progress: told about images.

    Raises:
        UserError: anything that doesn't fit, before an image is scored; or an annotator that fails.
    """
    names, progress = concept_names(concepts), progress or SilentProgress()
    check_integer("batch_size", batch_size, 1)
    check_integer("folds", folds, 2)
    chosen = _thresholds(thresholds or {}, names)
    if counts and not annotator.counts:
        raise UserError("`counts` needs an annotator that finds instances: owlv2 or grounding-dino.")
    pictures = read_pictures(Path(data))
    check_columns(pictures, names)
    path = output_path(pictures, out, overwrite)
    truth = None if labels is None else read_hand_labels(Path(labels), pictures, names)
    annotator.check(names)
    kept = path.with_name(f".{path.stem}.parts")
    found = _scores(pictures, annotator, names, batch_size, kept, progress)
    best = np.array([[max(each, default=NOTHING) for each in row] for row in found])  # (N, D)
    annotation = _calibrated(best, truth, annotator, names, chosen, name, folds, seed)
    shown: dict[str, NDArray[Any]] = {}
    for j, concept in enumerate(names):
        above = [sum(score > annotation.thresholds[concept] for score in row[j]) for row in found]
        shown[concept] = np.array(above, dtype=np.int64) if counts else np.array(above, dtype=np.int64).clip(max=1)
    write_labels(path, pictures, shown, {c: best[:, j] for j, c in enumerate(names)}, annotation)
    shutil.rmtree(kept, ignore_errors=True)
    return Annotated(path, annotation, {concept: float((values > 0).mean()) for concept, values in shown.items()})


def _thresholds(given: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    for name, value in given.items():
        if name not in names:
            raise UserError(f"`thresholds` names {name!r}, which is not in `concepts`. Concepts: {', '.join(names)}.")
        if not np.isfinite(value):
            raise UserError(f"The threshold of {name!r} must be a number; got {value}.")
    return dict(given)


def _calibrated(
    scores: NDArray[np.float64], truth: NDArray[np.float64] | None, annotator: Annotator, names: Sequence[str],
    chosen: Mapping[str, float], name: str, folds: int, seed: int,
) -> Annotation:  # fmt: skip
    """Thresholds and errors of all concepts."""
    thresholds = {concept: chosen.get(concept, annotator.threshold) for concept in names}
    errors: dict[str, LabelErrors] = {}
    fitted: list[str] = []
    for j, concept in enumerate(names):
        if truth is None or np.isnan(truth[:, j]).all():
            continue
        given = concept in chosen
        found = calibrate(scores[:, j], truth[:, j], thresholds[concept], fixed=given, folds=folds, seed=seed)
        thresholds[concept], errors[concept] = found.threshold, found.errors
        if found.fitted:
            fitted.append(concept)
    n_labelled = 0 if truth is None else int((~np.isnan(truth)).any(axis=1).sum())
    return Annotation(name, thresholds, errors, tuple(fitted), n_labelled)


def _scores(
    pictures: Pictures, annotator: Annotator, names: Sequence[str], batch_size: int, kept: Path, progress: Progress
) -> list[list[list[float]]]:
    """Scores by image and concept; parts that a stopped run left are taken over."""
    identity = [annotator.fingerprint, *names]
    found: list[list[list[float]]] = []
    progress.start("Annotating", len(pictures.paths))
    try:
        for start in range(0, len(pictures.paths), PART):
            paths = pictures.paths[start : start + PART]
            files = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in paths]
            key = blake2b(json.dumps([*identity, start, files]).encode("utf-8", "surrogatepass"), digest_size=16)
            file = kept / f"{key.hexdigest()}.json"
            part = _read_part(file, len(paths), len(names))
            if part is None:
                part = []
                for first in range(0, len(paths), batch_size):
                    images = [load_image(path) for path in paths[first : first + batch_size]]
                    part += [[[float(s) for s in each] for each in row] for row in annotator.find(images, names)]
                    progress.advance(len(images))
                write_atomic(file, json.dumps(part).encode())
            else:
                progress.advance(len(paths))
            found += part
    finally:
        progress.done()
    return found


def _read_part(file: Path, n_images: int, n_concepts: int) -> list[list[list[float]]] | None:
    """Scores of a finished part; None where there is none or it is damaged."""
    with suppress(OSError, ValueError, TypeError):
        part: list[list[list[float]]] = json.loads(file.read_text(encoding="utf-8"))
        if len(part) == n_images and all(len(row) == n_concepts for row in part):
            return part
    return None
