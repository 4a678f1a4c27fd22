"""Sections of the report of the protocol on photographs, after the paper's tables 2 to 9 and figures 6 to 16."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.experiments import photos_figures, shapes_figures
from genlens.experiments.photos_agreement import Agreement, agreement
from genlens.experiments.photos_lab import Findings, PhotoLab
from genlens.experiments.photos_targets import MIXED, PRIMARY
from genlens.reports.document import Picture, Section, Table

Floats = NDArray[np.float64]

EXACT, SAMPLED, ADJUSTED, ADDITIVE = "DEPICT", "DEPICT, sampled", "DEPICT, adjusted", "DEPICT, adjusted, one effect"
ORACLES = {"weights": "absolute standardised weight", "bottleneck": "AUROC drop at the bottleneck"}


@dataclass(frozen=True)
class Published:
    """What the paper has on COCO for a setting, r against either oracle."""

    weights: str
    bottleneck: str


PUBLISHED = {PRIMARY: Published(".73 [.59-.83]", ".90 [.83-.95]"), MIXED: Published(".35 [-.05-.66]", ".49 [-.01-.79]")}
BOUNDS = {PRIMARY: 0.90, MIXED: 0.80}
"""r against the bottleneck oracle that the adjusted importance is asked to reach."""
MIN_PAIRS = 3


def sections(lab: PhotoLab, found: Findings, folder: Path) -> list[Section]:
    """All sections; figures are written to `folder`."""
    settings = [name for name in (PRIMARY, MIXED) if any(t.setting == name for t in found.targets)]
    return [
        *(_setting(found, name, folder) for name in settings),
        _models(found),
        _generation(found, folder),
        _rivals(lab, found),
    ]


def methods(found: Findings) -> dict[str, Floats]:
    """Method -> importance (M, D), NaN where withheld."""
    return {
        EXACT: found.unadjusted["exact"],
        SAMPLED: found.unadjusted["sampled"],
        ADJUSTED: found.adjusted["importance"],
        ADDITIVE: found.additive["importance"],
        **found.rivals,
    }


def rows_of(found: Findings, setting: str) -> NDArray[np.int64]:
    """Numbers of the models of a setting."""
    return np.array([m for m, target in enumerate(found.targets) if target.setting == setting], dtype=np.int64)


def _setting(found: Findings, setting: str, folder: Path) -> Section:
    rows = rows_of(found, setting)
    values = {name: value[rows] for name, value in methods(found).items()}
    truth = {name: found.truth[name][rows] for name in ORACLES}
    agreements = {name: {m: agreement(v, oracle) for m, v in values.items()} for name, oracle in truth.items()}
    ceiling = agreement(truth["bottleneck"], truth["weights"])
    adjusted, additive = (agreements["bottleneck"][name] for name in (ADJUSTED, ADDITIVE))
    bound, published = BOUNDS[setting], PUBLISHED[setting]
    held, held_additive = (int(np.isnan(values[name]).sum()) for name in (ADJUSTED, ADDITIVE))
    reason = next((str(r) for r in found.adjusted["reasons"][rows].ravel() if r), "")
    paths = []
    for name, label in ORACLES.items():
        path = folder / f"{setting}-{name}.png"
        photos_figures.scatter(values, truth[name], agreements[name], label, path)
        paths.append(Picture(path, f"{setting.capitalize()} models: every method against the {label}"))
    path = folder / f"{setting}-rankings.png"
    models = [found.targets[m].name for m in rows]
    photos_figures.rankings(values, truth["bottleneck"], models, found.names, path)
    met = "met" if additive.r >= bound else "NOT met"
    return Section(
        f"{setting.capitalize()} models",
        (
            f"{len(rows)} model{'s' * (len(rows) > 1)}. With permuting at the bottleneck the unadjusted importance "
            f"agrees at r = {_text(agreements['bottleneck'][EXACT])} (published on COCO: {published.bottleneck}), the "
            f"adjusted one, taking one effect for all rows, at {_text(additive)} ({held_additive} of "
            f"{truth['weights'].size} figures withheld; bound {bound:g}: {met}).",
            f"With effects that differ by row, as `genlens rank` adjusts, it is {_text(adjusted)}: {held} of "
            f"{truth['weights'].size} figures withheld{f' ({reason})' if reason else ''}.",
            f"Against the weights: adjusted with one effect {_text(agreements['weights'][ADDITIVE])}, unadjusted "
            f"{_text(agreements['weights'][EXACT])} (published {published.weights}); the ceiling, the bottleneck "
            f"oracle itself, {_text(ceiling)}.",
        ),
        (_agreement_table(setting, agreements, ceiling),),
        (*paths, Picture(path, f"{setting.capitalize()} models: importance by each method, oracle in grey")),
    )


def _agreement_table(setting: str, agreements: Mapping[str, Mapping[str, Agreement]], ceiling: Agreement) -> Table:
    parts = [("ceiling", "weights", ceiling)]
    parts += [(method, oracle, a) for oracle, found in agreements.items() for method, a in found.items()]
    rows = [(method, oracle, _text(a), f"{a.slope:.2f}", f"{a.top:.0%}", str(a.pairs)) for method, oracle, a in parts]
    columns = ("method", "oracle", "r, 95% interval over models", "slope", "same top concept", "pairs")
    return Table(f"Agreement with the oracles, {setting} models", columns, tuple(rows))


def _models(found: Findings) -> Section:
    """After the paper's tables 4 and 6: AUROC on real and generated images, and the most important concept permuted."""
    rows = []
    names = found.names
    for m, (target, check) in enumerate(zip(found.targets, found.effective, strict=True)):
        real, generated = found.truth["real_auroc"][m], found.unadjusted["generated_auroc"][m]
        top = int(found.truth["bottleneck"][m].argmax())
        exact, adjusted = found.unadjusted["exact"][m, top], found.additive["importance"][m, top]
        rows.append(
            (target.name, target.setting, f"{len(target.rows)}", f"{real:.3f}", f"{generated:.3f}",
             f"{real - generated:+.3f}", str(check.table[0]["verdict"]), names[top],
             f"{found.truth['bottleneck'][m, top]:.3f}", f"{exact:.3f}", f"{adjusted:.3f}")
        )  # fmt: skip
    columns = (
        "model", "setting", "test rows", "AUROC real", "generated", "difference", "effective generation",
        "top concept (oracle)", "its oracle drop", "unadjusted", "adjusted, one effect",
    )  # fmt: skip
    effective = {
        setting: [check.table[0]["verdict"] for t, check in zip(found.targets, found.effective, strict=True)
                  if t.setting == setting]
        for setting in dict.fromkeys(t.setting for t in found.targets)
    }  # fmt: skip
    text = "; ".join(
        f"{setting}: {sum(v == 'passed' for v in verdicts)} of {len(verdicts)} passed, "
        f"{sum(v == 'undecided' for v in verdicts)} undecided"
        for setting, verdicts in effective.items()
    )
    left = (f"Left out: {'; '.join(found.left_out)}.",) if found.left_out else ()
    return Section(
        "Target models on real and generated images",
        (f"Effective generation of the target models: {text} (published: all primary, three of six mixed).", *left),
        (Table("Target models", columns, tuple(rows)),),
    )


def _generation(found: Findings, folder: Path) -> Section:
    """After the paper's tables 5 and 7 and figures 15 and 16."""
    names = found.names
    check, concepts = found.independent, {str(r["name"]): r for r in found.effective[-1].table[1:]}
    shown = found.additive["shown"]
    rows = []
    for j, record in enumerate(check.table):
        own = concepts[names[j]]
        rows.append(
            (names[j], f"{own['real']:.3f}", f"{own['generated']:.3f}", str(own["verdict"]),
             f"{record['flips_shown']:.0%}", f"{record['others_stayed']:.0%}", f"{shown[j]:.2f}",
             f"{record['its_change']:+.3f} ({record['most_moved']})", str(record["verdict"]))
        )  # fmt: skip
    columns = (
        "concept", "AUROC real", "generated", "effective generation", "flips shown", "others stayed", "shown",
        "moves most", "independent permutation",
    )  # fmt: skip
    paths = folder / "independent-permutation.png", folder / "pairs.png"
    shapes_figures.matrix(np.array(check.matrix, dtype=float), names, paths[0])
    shapes_figures.pairs(found.gallery, names, paths[1])
    return Section(
        "The generator, concept by concept",
        (
            f"By the independent checker, on the last mixed model's rows. Independent permutation, {check.verdict}: "
            f"{check.message}",
            "shown: how far a flip of the caption moves the concept in the image (1: always), from the first stage of "
            "the adjustment.",
        ),
        (Table("Concepts", columns, tuple(rows)),),
        (
            Picture(paths[0], "Change of each concept's AUROC (columns) when one is permuted (rows)"),
            Picture(paths[1], "Generated images with (upper of a pair) and without (lower) each concept"),
        ),
    )


def _rivals(lab: PhotoLab, found: Findings) -> Section:
    s, n = lab.settings, lab.photos.test.n_rows
    chosen = "; ".join(f"{name}: {setting} (r = {r:.2f})" for name, (setting, r) in found.choices.items())
    return Section(
        "How the rivals were set",
        (
            f"Thresholds and superpixels are those with the largest r against the weights of these very models, which "
            f"no user could know: {chosen}. Grad-CAM and mask ablation explain {min(s.map_rows, n)} test rows, LIME "
            f"{min(s.lime_rows, n)} with {s.lime_samples} samples each.",
        ),
    )


def _text(a: Agreement) -> str:
    return f"{a.r:.3f} [{a.low:.3f}, {a.high:.3f}]" if a.pairs >= MIN_PAIRS else "withheld"
