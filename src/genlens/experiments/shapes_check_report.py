"""Section of the shapes report on the method's assumptions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from genlens.experiments import shapes_figures as figures
from genlens.experiments.shapes_lab import Lab
from genlens.experiments.shapes_main import Findings
from genlens.importance.result import CheckResult
from genlens.reports.document import Picture, Section, Table


def check_section(lab: Lab, found: Findings, folder: Path) -> Section:
    """Both checks: tables after the paper's supplementary 2 and 3, figures after its 5 and supplementary 12."""
    effective, independent = found.checks
    drop, real = found.generated_drop, found.oracles["real_auroc"]
    changes = np.array(independent.matrix, dtype=float)
    paths = folder / "independent-permutation.png", folder / "pairs.png"
    figures.matrix(changes, lab.table.names, paths[0])
    figures.pairs(lab.gallery(), lab.table.names, paths[1])
    concepts = tuple(
        (str(r["name"]), f"{r['real']:.4f}", f"{r['generated']:.4f}", f"{r['difference']:+.4f}", str(r["verdict"]))
        for r in effective.table[1:]
    )
    models = tuple(
        (f"{m + 1}", f"{real[m]:.4f}", f"{real[m] - drop[m]:.4f}", f"{drop[m]:+.4f}") for m in range(len(drop))
    )
    off = changes[~np.eye(len(changes), dtype=bool)]
    return Section(
        "Checks of the assumptions",
        (
            f"Effective generation, {effective.verdict}: over all {len(drop)} target models the AUROC falls from real "
            f"to generated images by {drop.mean():.4f} on average and {drop.max():.4f} at most (published: at most "
            f".12), and the lowest on generated images is {(real - drop).min():.3f} (published: above .88). "
            f"For the concepts: {_sentence(effective)}",
            f"Independent permutation, {independent.verdict}: {_sentence(independent)} The largest change of a concept "
            f"that was not permuted is {np.abs(off).max():.4f}.",
        ),
        (
            Table("Concepts, by the independent checker", ("concept", "real", "generated", "difference", "verdict"),
                  concepts),
            _flip_table(independent),
            Table("Target models", ("model", "real", "generated", "difference"), models, short=False),
        ),
        (
            Picture(paths[0], "Change of each concept's AUROC (columns) when one is permuted (rows); own: against the "
                    "permuted values"),
            Picture(paths[1], "Generated images with (upper of a pair) and without (lower) each concept"),
        ),
    )  # fmt: skip


def _flip_table(check: CheckResult) -> Table:
    rows = tuple(
        (str(r["concept"]), f"{r['reference_auroc']:.4f}", f"{r['own_change']:+.4f}", f"{r['flips_shown']:.1%}",
         f"{r['others_stayed']:.1%}", f"{r['its_change']:+.4f} ({r['most_moved']})", str(r["verdict"]))
        for r in check.table
    )  # fmt: skip
    columns = (
        "concept permuted",
        "AUROC before",
        "own change",
        "flips shown",
        "others stayed",
        "moves most",
        "verdict",
    )
    return Table("Permutations, by the independent checker", columns, rows)


def _sentence(check: CheckResult) -> str:
    return check.message[:1].lower() + check.message[1:]
