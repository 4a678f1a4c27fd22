"""The quality card of a text-to-image pipeline for scenes, measured by the judge, which no generator was trained with.

    python -m genlens.training.scenes_quality src/genlens/assets/scenes_generator --rows 500 --out quality.json

Captions are those of held-out scenes of the data set. For each of the ten classes: AUROC of its presence on generated
pictures and on the perfect drawer's; what happens when the class is switched in the caption while the seed stays
(shown: the judge's decision on it changes; stay: its decisions on the other nine don't); the mean of the judge's
"two" and "three" log-odds where the caption says 0, 1, 2 and 3. For the background's kinds and colours and the frame:
AUROC where the caption names them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from genlens.classifiers.concept_net import ConceptNet
from genlens.datasets.idx import load_photos
from genlens.datasets.scenes import Scene, sample_scenes
from genlens.datasets.scenes_captions import CONCEPTS, Style, background_words, caption_of
from genlens.generators.scenes_drawer import ScenesDrawer
from genlens.training.quality import generate, load_pipeline
from genlens.training.scenes_concepts import COUNTS, GROUND, truth

HELD_OUT_SEED = 20_000
STYLES: tuple[Style, ...] = ("default", "full")
JUDGE = Path(__file__).parents[1] / "assets" / "scenes_judge"
Render = Callable[[list[str], Sequence[int]], NDArray[Any]]
"""Captions and seeds -> pictures."""
_N = len(CONCEPTS)


def switched(scene: Scene, concept: int, style: Style) -> str:
    """Caption of a scene in which one class is taken out, or put in once."""
    counts = scene.counts()
    counts[concept] = 0 if counts[concept] else 1
    return caption_of(counts, background_words(scene.kind, scene.colour), scene.frame, style)


def measure(render: Render, judge: ConceptNet, scenes: list[Scene], style: Style, n_flips: int) -> dict[str, Any]:
    """Figures of one style: `scenes` as they are, and the first `n_flips` of them with each class switched."""
    seeds, names = range(HELD_OUT_SEED, HELD_OUT_SEED + len(scenes)), judge.concept_names
    start = time.perf_counter()
    scores = judge.predict(render([scene.caption(style) for scene in scenes], seeds))
    first = scenes[:n_flips]
    flipped = np.stack(
        [judge.predict(render([switched(s, j, style) for s in first], seeds[:n_flips]))[:, :_N] for j in range(_N)]
    )  # (10, n_flips, 10)
    seconds = time.perf_counter() - start
    changed = (scores[None, :n_flips, :_N] > 0) != (flipped > 0)
    own = np.eye(_N, dtype=bool)
    labels = truth(scenes, names)
    outputs = [name for name in names if name in CONCEPTS or (style == "full" and name in GROUND)]
    area = {name: _area(labels, scores, names.index(name)) for name in outputs}
    return {
        "style": style,
        "auroc": area,
        "auroc_mean": round(float(np.mean([area[name] for name in CONCEPTS])), 4),
        "auroc_min": min(area[name] for name in CONCEPTS),
        "shown": {name: _share(changed[j, :, j]) for j, name in enumerate(CONCEPTS)},
        "shown_mean": _share(changed[own.nonzero()[0], :, own.nonzero()[1]]),
        "others_stay": {name: _share(~changed[j][:, ~own[j]]) for j, name in enumerate(CONCEPTS)},
        "others_stay_mean": _share(~changed.transpose(0, 2, 1)[~own]),
        "several": _several(scenes, scores, names),
        "rows": len(scenes),
        "flips": _N * n_flips,
        "images_per_second": round((len(scenes) + _N * n_flips) / seconds, 1),
    }


def _area(labels: NDArray[Any], scores: NDArray[Any], column: int) -> float:
    return round(float(roc_auc_score(labels[:, column], scores[:, column])), 4)


def _share(values: NDArray[Any]) -> float:
    return round(float(values.mean()), 4)


def _several(scenes: list[Scene], scores: NDArray[Any], names: Sequence[str]) -> dict[str, list[float]]:
    """Mean over classes of the "at least two" and "three" log-odds where the caption says 0, 1, 2 and 3 of a class."""
    counts = np.stack([scene.counts() for scene in scenes])  # (N, 10)
    found = {}
    for copies in (2, 3):
        columns = [names.index(name) for name in COUNTS if name.startswith(str(copies))]
        found[f"at least {copies}"] = [round(float(scores[:, columns][counts == k].mean()), 2) for k in range(4)]
    return found


def line(source: str, found: dict[str, Any]) -> str:
    """One line for people."""
    return (
        f"{source:9s} {found['style']:7s} AUROC mean {found['auroc_mean']:.4f} min {found['auroc_min']:.4f}  "
        f"flips shown {found['shown_mean']:.4f}  others stay {found['others_stay_mean']:.4f}  "
        f"{found['images_per_second']:.0f} judged/s"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the pipeline and the drawer, print and write the card."""
    parser = argparse.ArgumentParser(prog="python -m genlens.training.scenes_quality")
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("--rows", type=int, default=1000, help="held-out captions of each style")
    parser.add_argument("--flips", type=int, default=200, help="captions of which each class is switched")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    photos = load_photos("test")
    scenes = sample_scenes(options.rows, HELD_OUT_SEED, photos, "test")
    judge, drawer = ConceptNet.load(JUDGE, device="cpu"), ScenesDrawer(photos)
    pipeline = load_pipeline(options.pipeline)
    renders: dict[str, Render] = {
        "generator": lambda captions, seeds: generate(pipeline, captions, seeds, options.steps),
        "drawer": drawer.generate,
    }
    card: dict[str, Any] = {"seed": HELD_OUT_SEED, "steps": options.steps}
    for source, render in renders.items():
        card[source] = [measure(render, judge, scenes, style, options.flips) for style in STYLES]
        for found in card[source]:
            print(line(source, found), flush=True)
    if options.out:
        options.out.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
