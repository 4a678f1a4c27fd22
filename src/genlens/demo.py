"""The demo: explain a shipped classifier with the shipped diffusion model, beside what it truly relies on."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.bottleneck import ConceptBottleneck
from genlens.classifiers.bundled import load_demo_target, load_shapes_checker
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.datasets.shapes import CONCEPTS, write_imagefolder
from genlens.depict import permutation_importance
from genlens.errors import UserError, check_integer
from genlens.generators.diffusers import DiffusersGenerator
from genlens.importance.result import ImportanceResult
from genlens.progress import Progress

DEMO_ROWS = 1000
"""Rows of the demo's data set by default; six concepts make 7 images a row, and the placebo one more in 200 rows."""
_BATCH = 64


@dataclass(frozen=True)
class DemoOutcome:
    """What the demo found, and how near it is to the truth.

    Attributes:
        result: the ranking; its settings hold the true reliance w_j * sd(c_hat_j) of each concept.
        spearman: rank correlation of the importance (AUROC drop) with the true reliance.
        pearson: correlation of the score reliance with the true reliance.
        report: the HTML report.
    """

    result: ImportanceResult
    spearman: float
    pearson: float
    report: Path


def run_demo(
    out: str | Path, n: int | None = None, seed: int = 0, progress: Progress | None = None, overwrite: bool = False
) -> DemoOutcome:
    """Draw a data set, explain the shipped target model with the shipped diffusion model, and write the report.

    Args:
        out: folder; the data set goes to ``data-N-SEED`` in it, the run (images, scores, ranking, report) to ``run``.
        n: rows, >= 32; None: `DEMO_ROWS`.
        seed: of the data set and the run.
        progress: told what is going on.
        overwrite: throw away the run that is there.

    Raises:
        UserError: `n` is too small, or `out` holds a demo of another size or seed.
    """
    n = check_integer("n", DEMO_ROWS if n is None else n, 32)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise UserError(f"`out` must be a folder; {out} is a file.")
    data, run = out / f"data-{n}-{seed}", out / "run"
    if not (data / "metadata.csv").exists():
        write_imagefolder(data, n, seed)
    table = ConceptTable.from_metadata(data, CONCEPTS, "label")
    target = load_demo_target()
    truth = target.standardised_weights(_predictions(target, table))
    with as_file(files("genlens").joinpath("assets", "shapes_generator")) as pipeline:
        generator = DiffusersGenerator.from_pretrained(str(pipeline))
    result = permutation_importance(
        target,
        table,
        generator,
        concept_classifier=load_shapes_checker(),
        store=run,
        seed=seed,
        progress=progress,
        overwrite=overwrite,
        settings={
            "true_reliance": dict(zip(CONCEPTS, truth.tolist(), strict=True)),
            "command": f"genlens demo --out {out} --n {n} --seed {seed}",
        },
    )
    result.save(run)
    report = result.to_html(run / "report.html")
    return DemoOutcome(result, _spearman(result.importance, truth), _pearson(result.reliance, truth), report)


def _predictions(target: ConceptBottleneck, table: ConceptTable) -> NDArray[np.float32]:
    """c_hat (N, D) on the real images."""
    paths = table.image_paths or ()
    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    return np.concatenate([target.concepts([load_image(path) for path in batch]) for batch in batches])


def _pearson(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(np.corrcoef(first, second)[0, 1])


def _spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)
