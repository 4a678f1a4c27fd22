"""Sections of the report on classes and rivals: one table, by architecture, shortcuts, what is met and what isn't."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.experiments.explain_cases import EITHER, LEADING, Case, ExplainSettings
from genlens.experiments.explain_measures import N_REAL, REAL
from genlens.experiments.explain_methods import ATTACK, CLASS_NAME, METHODS, OURS, POOL, RIVALS, UNOPTIMISED
from genlens.experiments.explain_nets import OTHER, OWN
from genlens.experiments.planted import ARCHITECTURES
from genlens.experiments.stages import Arrays
from genlens.proportions import wilson_interval
from genlens.reports.document import Picture, Section, Table

ENOUGH, MOST = 0.95, 0.9
"""Activation score that a class must reach, and the share of classes that must reach it."""
N_RESAMPLES = 5000
ROWS = (*METHODS, REAL)
Floats = NDArray[np.float64]


def world_sections(
    world: str, cases: Sequence[Case], found: Sequence[Arrays], accuracy: float, settings: ExplainSettings, figure: Path
) -> list[Section]:
    """The sections of one world; `found` has the measures of each case, in their order."""
    mean = Means(cases, found, settings)
    return [
        _methods(world, mean, accuracy, figure),
        _transfer(world, mean),
        _shortcuts(world, mean),
        _quality(world, mean),
    ]


class Means:
    """Means over classes with intervals, classes drawn again (those of a classifier together).

    Args:
        cases: N classes.
        found: their measures.
        settings: of the experiment.
    """

    def __init__(self, cases: Sequence[Case], found: Sequence[Arrays], settings: ExplainSettings) -> None:
        self.cases, self.settings = list(cases), settings
        self.values: dict[str, Floats] = {
            "activation": np.stack([part["given"].mean(axis=1) for part in found]),  # (N, methods)
            "log_probability": np.stack([part["log_probability"].mean(axis=1) for part in found]),
            "transfer": np.stack([part["transfer"].mean(axis=(1, 2)) for part in found]),
            "legible": np.stack([(part["core"] | part["shortcut"]).mean(axis=1) for part in found]),
            "clear": np.stack([((part["core"] | part["shortcut"]) & (part["others"] == 0)).mean(axis=1)
                               for part in found]),
            "core": np.stack([part["core"].mean(axis=1) for part in found]),
            "shortcut": np.stack([part["shortcut"].mean(axis=1) for part in found]),
            **{name: np.stack([part[name] for part in found])
               for name in ("kid", "kid_error", "frechet", "distance", "vendi")},
        }  # fmt: skip
        self.architecture = np.array([case.planted.architecture for case in cases])
        self.kind = np.array([case.kind for case in cases])
        self.tied = np.array([case.shortcut is not None for case in cases])
        self._nets = np.array([case.planted.name for case in cases])

    def column(self, name: str, method: str) -> Floats:
        """A measure of a method for every class, (N,)."""
        return self.values[name][:, ROWS.index(method)]

    def text(
        self, values: Floats, chosen: NDArray[np.bool_] | None = None, form: str = ".1%"
    ) -> str:
        """Mean of the chosen classes with its interval, classifiers drawn again, with their classes.

        Where all are alike no resample differs, so no interval is printed.
        """
        mean, low, high = self.interval(values, chosen)
        if low == high:
            return f"{mean:{form}} (all alike)"
        return f"{mean:{form}} [{low:{form}}, {high:{form}}]"

    def interval(self, values: Floats, chosen: NDArray[np.bool_] | None = None) -> tuple[float, float, float]:
        """Mean, and the ends of its interval."""
        keep = np.ones(len(values), dtype=bool) if chosen is None else chosen
        kept, nets = values[keep], self._nets[keep]
        groups = [kept[nets == net] for net in dict.fromkeys(nets)]
        sums, sizes = np.array([group.sum() for group in groups]), np.array([len(group) for group in groups])
        drawn = np.random.default_rng(0).integers(0, len(groups), (N_RESAMPLES, len(groups)))
        means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
        tail = (1 - self.settings.confidence) / 2
        low, high = np.quantile(means, [tail, 1 - tail])
        return float(kept.mean()), float(low), float(high)


def _methods(world: str, mean: Means, accuracy: float, figure: Path) -> Section:
    n, settings = len(mean.cases), mean.settings
    reached = int((mean.column("activation", OURS) >= ENOUGH).sum())
    low, high = wilson_interval(reached, n, settings.confidence)
    rows = tuple(
        (
            name,
            mean.text(mean.column("activation", name)),
            str(int((mean.column("activation", name) >= ENOUGH).sum())),
            mean.text(mean.column("transfer", name)),
            mean.text(mean.column("legible", name)),
            mean.text(mean.column("clear", name)),
        )
        for name in ROWS
    )
    nets = len({case.planted.name for case in mean.cases})
    return Section(
        f"Classes of {world}: ours and rivals",
        (
            f"{n} classes of {nets} classifiers, {settings.images} pictures a method and class on held-out seeds; "
            f"{settings.confidence:.0%} intervals draw classifiers again. The soft prompt reaches an activation score "
            f"of {ENOUGH:.0%} on {reached} of {n} classes, {reached / n:.1%} [{low:.1%}, {high:.1%}] (bound {MOST:.0%}"
            f": {_met(reached / n >= MOST)}).",
            f"Soft prompt: {settings.iterations} steps of {settings.restarts} restarts from the best words of a search "
            "over the world's and the tokenizer's words, log-odds; chosen on other "
            f"seeds. Activation maximisation: {settings.pixel_steps} steps from every seed, logit. Feature attack: "
            f"{settings.attack_steps} steps from the five most activating of {POOL} real pictures, other pictures for "
            "every five; a step's length of 10 on 224 x 224 pixels scaled to the same mean square change of a pixel. "
            "Its starts are real pictures of the class, so it begins with what the others have to find.",
            f"Legible: an independent concept net (right on {accuracy:.1%} of the words of real pictures) sees the "
            "class's object or its planted shortcut; clearly: and nothing else. Transfer: the share given to the class "
            "by the classifiers of the other architectures, which learnt the same task from other data.",
        ),
        (Table("Means over classes", ("pictures", "activation score", f"classes >= {ENOUGH:.0%}", "transfer", "legible",
                                      "clearly"), rows),),
        (Picture(figure, "Pictures of every method; one row a class, four pictures a method"),),
    )  # fmt: skip


def _by_architecture(mean: Means, cell: Callable[[str, NDArray[np.bool_]], str]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (name, *(cell(name, mean.architecture == architecture) for architecture in ARCHITECTURES)) for name in ROWS
    )


def _transfer(world: str, mean: Means) -> Section:
    ours = mean.column("transfer", OURS)
    gaps, missed = [], []
    for rival in RIVALS:
        cells = []
        for architecture in ARCHITECTURES:
            chosen = mean.architecture == architecture
            gap = ours - mean.column("transfer", rival)
            cells.append(mean.text(gap, chosen, "+.1%"))
            if mean.interval(gap, chosen)[0] <= 0:
                missed.append(f"{rival} on {architecture}")
        gaps.append((f"ours less {rival}", *cells))
    columns = ("pictures", *ARCHITECTURES)
    verdict = "met" if not missed else f"NOT met against {', '.join(missed)}"
    return Section(
        f"Classes of {world}: by architecture",
        (f"Transfer above activation maximisation and the feature attack on every architecture: {verdict}.",),
        (
            Table("Activation score by the architecture of the classifier", columns,
                  _by_architecture(mean, lambda name, chosen: mean.text(mean.column("activation", name), chosen))),
            Table("Transfer to the other three architectures", columns,
                  (*_by_architecture(mean, lambda name, chosen: mean.text(mean.column("transfer", name), chosen)),
                   *gaps)),
        ),
    )  # fmt: skip


def _shortcuts(world: str, mean: Means) -> Section:
    rows = []
    for kind in (EITHER, LEADING):
        chosen = mean.tied & (mean.kind == kind)
        for name in (OURS, CLASS_NAME, UNOPTIMISED, REAL) if chosen.any() else ():
            cells = [
                mean.text(mean.column(measure, name), chosen, form) for measure, form in
                (("activation", ".1%"), ("log_probability", ".3f"), ("core", ".1%"), ("shortcut", ".1%"))
            ]  # fmt: skip
            rows.append((f"{kind}: {name}", *cells))
    gap = mean.column("activation", OURS) - mean.column("activation", CLASS_NAME)
    logs = mean.column("log_probability", OURS) - mean.column("log_probability", CLASS_NAME)
    full = int((mean.column("activation", CLASS_NAME)[mean.tied] >= 1).sum())
    met = mean.interval(gap, mean.tied)[1] > 0
    leading = mean.tied & (mean.kind == LEADING)
    return Section(
        f"Classes of {world} with planted shortcuts",
        (
            f"Ours less the class-name prompt on the {int(mean.tied.sum())} classes with a shortcut: activation score "
            f"{mean.text(gap, mean.tied, '+.1%')} (interval above 0: {_met(met)}), log-probability "
            f"{mean.text(logs, mean.tied, '+.3f')}; on the {int(leading.sum())} whose shortcut leads "
            f"{mean.text(gap, leading, '+.1%')} and {mean.text(logs, leading, '+.3f')}. All pictures by the class name "
            f"are given to the class for {full} of the {int(mean.tied.sum())}, which leaves no room there.",
            "“object or shortcut”: each of them tells the class. “shortcut leads”: the object is in "
            f"{OWN:.0%} of its class's pictures and {OTHER:.0%} of the others', the shortcut nearly in all and none.",
        ),
        (Table("Classes with a shortcut, by what is planted",
               ("pictures", "activation score", "log-probability", "object seen", "shortcut seen"), tuple(rows)),),
    )  # fmt: skip


def _quality(world: str, mean: Means) -> Section:
    measures = ("kid", "frechet", "distance", "vendi")
    rows = tuple(
        (name, *(mean.text(mean.column(measure, name), None, ".2f") for measure in measures)) for name in ROWS
    )
    error = float(np.median(mean.column("kid_error", OURS)))
    return Section(
        f"Realism and diversity of the pictures of {world}",
        (
            f"Distances are to {N_REAL:,} real pictures of the same class in the features of the independent net, "
            f"scaled to variance 1. The kernel distance has no bias at {mean.settings.images} pictures (median "
            f"standard error of one class {error:.2f}); the Fréchet distance is extrapolated to endless pictures and "
            f"still rough. “{REAL}” are others of the class: what can be reached.",
            f"The feature attack starts from real pictures ({ATTACK}), so its diversity is theirs. A prompt explains a "
            "class by what it likes best, so less variety than in real pictures is expected.",
        ),
        (Table("Means over classes", ("pictures", "kernel distance", "Fréchet distance", "mean distance of two",
                                      "Vendi score"), rows),),
    )  # fmt: skip


def _met(met: bool) -> str:
    return "met" if met else "NOT met"
