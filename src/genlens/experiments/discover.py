"""Discover, then measure: a shortcut that no table names, from nothing to a place in the ranking.

A classifier of shapes learns "green circle" from pictures in which a red rectangle tends to be there. Its table of
concepts has the circles only. `find_spurious` finds the rectangle, the segmenter annotates the pictures with it,
`permutation_importance` ranks it, and the perfect drawer confirms how much it does.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.annotate.run import annotate
from genlens.annotators.classifier import SegmenterAnnotator
from genlens.concepts import ConceptTable
from genlens.depict import permutation_importance
from genlens.errors import UserError
from genlens.experiments.planted import Planted, planted_classifier
from genlens.findings.candidates import save_candidates
from genlens.findings.spurious import find_spurious
from genlens.findings.spurious_types import Settings
from genlens.generators.protocol import Generator
from genlens.reports.spurious import lines, save_spurious
from genlens.segmenters.presence import Presence
from genlens.segmenters.protocol import Segmenter

TARGET, SHORTCUT = "green circle", "red rectangle"
SHORTCUTS: Mapping[str, str | None] = {
    "red circle": "blue rectangle", TARGET: SHORTCUT, "blue circle": "green rectangle",
}  # fmt: skip


@dataclass(frozen=True)
class Discovery:
    """What came out.

    Attributes:
        candidates: words found, best first.
        name: the best of them that the table doesn't name.
        annotated: share of pictures in which it was seen.
        correct: share of pictures whose annotation is right.
        ranking: concept -> importance, largest first.
        interventions: word -> mean change of the class's probability when the drawer puts it in.
    """

    candidates: tuple[str, ...]
    name: str
    annotated: float
    correct: float
    ranking: Mapping[str, float]
    interventions: Mapping[str, float]


def discover(
    out: Path,
    generator: Generator,
    segmenter: Segmenter,
    *,
    renderer: Generator | None = None,
    planted: Planted | None = None,
    rows: int = 400,
    settings: Settings | None = None,
    log: Callable[[str], None] = print,
) -> Discovery:
    """Find a shortcut, annotate it, rank it, confirm it.

    Args:
        out: folder of everything.
        generator: shows features; with gradients.
        segmenter: knows the words.
        renderer: renders the ranking's captions; None: `generator`.
        planted: the classifier; None: trained here.
        rows: pictures of the table.
        settings: of the search.
        log: gets a line a step.

    Raises:
        UserError: no candidate was found.
    """
    model = planted or planted_classifier("shapes", shortcuts=SHORTCUTS, cache=out / "classifiers", log=log)
    presence = _write_table(model, out / "data", rows)
    words = model.planting.world.words
    found = find_spurious(
        model.classifier, target=model.classes.index(TARGET), generator=generator, segmenter=segmenter, name=TARGET,
        others=[name for name in model.classes if name != TARGET], words=words, settings=settings,
        store=out / "spurious",
    )  # fmt: skip
    listed = save_candidates(found, segmenter, Presence(), out / "spurious")
    save_spurious(found, listed, out / "spurious")
    for text in lines(found):
        log(text)
    new = [one.name for one in listed if one.name not in model.classes]
    if not new:
        raise UserError(f"No candidate was found; see {out / 'spurious' / 'report.html'}.")
    name = new[0]
    seen = annotate(out / "data", SegmenterAnnotator(segmenter), [name], overwrite=True)
    table = ConceptTable.from_metadata(seen.path, [*model.classes, name])
    truth = presence[:, words.index(name)]
    correct = float((table.presence()[:, -1] == truth).mean())
    log(f"Annotated: {name} in {seen.shares[name]:.0%} of {rows} pictures, {correct:.1%} right.")
    result = permutation_importance(
        model.classifier, table, renderer or generator, target_class=model.classes.index(TARGET),
        label_from_classifier=True, store=out / "rank", placebo_rows=0,
    )  # fmt: skip
    result.save(out / "rank")
    order = np.argsort(-result.importance, kind="stable")
    ranking = {result.concepts[j]: float(result.importance[j]) for j in order}
    log(f"Ranked: {', '.join(f'{word} {value:.3f}' for word, value in ranking.items())}.")
    effects = interventions(model, TARGET)
    log(f"Drawer: {', '.join(f'{word} {value:+.2f}' for word, value in effects.items())}.")
    return Discovery(tuple(one.name for one in listed), name, seen.shares[name], correct, ranking, effects)


def interventions(planted: Planted, name: str, n: int = 200, seed: int = 0) -> dict[str, float]:
    """Mean change of a class's probability when each word is put into `n` pictures, everything else kept."""
    world, rng = planted.planting.world, np.random.default_rng(seed)
    presence = (rng.random((n, len(world.words))) < 0.3).astype(np.int64)
    layouts = rng.integers(0, 2**62, n)

    def probability(state: NDArray[np.int64]) -> NDArray[np.float64]:
        logits = planted.classifier.predict(world.draw(state, layouts)).astype(np.float64)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: NDArray[np.float64] = (odds / odds.sum(axis=1, keepdims=True))[:, planted.classes.index(name)]
        return result

    return {
        word: float(
            (probability(world.switch(presence, word, True)) - probability(world.switch(presence, word, False))).mean()
        )
        for word in world.words
    }


def _write_table(planted: Planted, folder: Path, rows: int, seed: int = 11) -> NDArray[np.int64]:
    """Pictures of all classes, and metadata that names the circles only; returns presence (rows, words)."""
    from PIL import Image

    world, rng = planted.planting.world, np.random.default_rng(seed)
    presence, _ = planted.planting.sample(rows, rng)
    images = world.draw(presence, rng.integers(0, 2**62, rows))
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file_name", *planted.classes])
        for i, (image, row) in enumerate(zip(images, presence, strict=True)):
            Image.fromarray(image).save(folder / "images" / f"{i:04d}.png")
            writer.writerow([f"images/{i:04d}.png", *(int(row[world.index(name)]) for name in planted.classes)])
    return presence
