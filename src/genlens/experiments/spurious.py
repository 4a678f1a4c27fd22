"""`genlens reproduce spurious`: verdicts on planted features against the truth by intervention.

Classifiers with planted shortcuts; as many features that answer to the class's object as features that answer to its
shortcut, by switching words of the perfect drawer. Each is judged from optimised prompts alone, without any data set.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from genlens.errors import UserError, check_integer
from genlens.experiments.outcome import Reproduction, write_report
from genlens.experiments.planted import ARCHITECTURES, Planted, TrueFeature, balanced, planted_suite, true_features
from genlens.experiments.stages import Stages
from genlens.findings.agreement import Agreement, agreement_with
from genlens.findings.evidence_files import PictureFiles
from genlens.findings.spurious import find_spurious
from genlens.findings.spurious_types import Settings
from genlens.findings.verdict import Part, by_part
from genlens.generators.protocol import Generator
from genlens.progress import Progress
from genlens.reports.document import Section, Table
from genlens.segmenters.protocol import Segmenter

CLASS_PICTURES = 200
"""Pictures of a class over which features are ranked where the data set is at hand; the search itself sees none."""
RULES = {
    "part": "object carries the feature, in its pictures or under the class's name (ours)",
    "own": "object carries the feature in its own pictures",
    "presence": "object is present, corrected, with interval",
    "published": "object is present in at least half, as counted (DiffExplainer)",
}


VERSION = 5
"""Raise it when findings change with the same settings."""
SMALL = Settings(n_images=24, n_calibration=60, restarts=2, steps=20)


@dataclass(frozen=True)
class SpuriousSettings:
    """Size of the experiment.

    Attributes:
        world: "shapes" or "scenes".
        architectures: of the classifiers.
        plantings: sets of shortcuts that each architecture is trained on; None: all of the world's.
        pairs: class-feature pairs at most, half of them core; 0: all there are.
        strength: of the planted shortcuts.
        search: how features are explained and judged.
    """

    world: str = "shapes"
    architectures: tuple[str, ...] = ARCHITECTURES
    plantings: int | None = None
    pairs: int = 0
    strength: float = 0.9
    search: Settings = SMALL

    def __post_init__(self) -> None:
        """Check the values."""
        check_integer("pairs", self.pairs, 0)
        strange = [name for name in self.architectures if name not in ARCHITECTURES]
        if strange or not self.architectures:
            got = ", ".join(strange) or "none"
            raise UserError(f"`architectures` must be of {', '.join(ARCHITECTURES)}; got {got}.")


@dataclass(frozen=True)
class Judged:
    """A class-feature pair with its truth and the verdicts on it.

    Attributes:
        classifier: its name.
        pair: the truth.
        finding: as `Finding.to_dict`.
        threshold: of the settings.
    """

    classifier: str
    pair: TrueFeature
    finding: Mapping[str, Any]
    threshold: float = 0.5

    def verdict(self, rule: str) -> str:
        """By one of `RULES`."""
        if rule == "published":
            share = self.finding["share"]
            return "core" if 2 * share["counted"] >= share["n"] else "spurious"
        if rule == "own":
            part = self.finding["part"]
            active = 2 * part["n"] >= self.finding["share"]["n"]
            return by_part(Part(**part), self.threshold) if active else "undecided"
        return str(self.finding["verdict" if rule == "part" else "by_presence"])


def reproduce_spurious(
    out: Path,
    generator: Generator,
    segmenter: Segmenter,
    settings: SpuriousSettings,
    *,
    cache: Path | None = None,
    command: str = "",
    progress: Progress | None = None,
    log: Callable[[str], None] = print,
) -> Reproduction:
    """Judge planted features and compare with their truth; the same call goes on where it stopped.

    Args:
        out: gets report.html, results.md, pairs.json and a folder of stages.
        generator: of the world.
        segmenter: knows the world's words.
        settings: size.
        cache: folder of the planted classifiers; None: in `out`.
        command: for the report.
        progress: told about each optimisation.
        log: gets a line a pair.
    """
    out.mkdir(parents=True, exist_ok=True)
    stages = Stages(out / "stages", log)
    suite = planted_suite(
        settings.world, cache or out / "classifiers", architectures=settings.architectures,
        plantings=settings.plantings, strength=settings.strength, seed=settings.search.seed, log=log,
    )  # fmt: skip
    truths = [_truth(stages, planted, settings.search.top_k) for planted in suite]
    chosen = _fewer(balanced(truths, settings.search.seed), settings.pairs)
    counts = {truth: sum(pair.truth == truth for found in truths for pair in found) for truth in _TRUTHS}
    log(f"{len(chosen)} pairs, half of them core; in all {', '.join(f'{n} {name}' for name, n in counts.items())}.")
    pictures = PictureFiles(out / "pictures")
    judged = []
    for number, (k, pair) in enumerate(chosen, start=1):
        judge = partial(_judge, suite[k], pair, generator, segmenter, settings.search, progress, pictures)
        key = {
            "version": VERSION, "classifier": suite[k].classifier.fingerprint, "generator": generator.fingerprint,
            "segmenter": segmenter.fingerprint, "search": asdict(settings.search), "pair": [pair.name, pair.feature],
        }  # fmt: skip
        name = f"{suite[k].architecture}-{suite[k].seed}-{pair.class_index}-{pair.feature}"
        found = json.loads(str(stages.run(name, key, judge)["finding"]))
        judged.append(Judged(suite[k].name, pair, found, settings.search.threshold))
        log(f"{number} of {len(chosen)}: {line(judged[-1])}")
    agreements = {rule: agreed(judged, rule) for rule in RULES}
    for rule, a in agreements.items():
        log(f"{rule}: balanced accuracy {a.balanced_accuracy}, undecided {a.n_undecided}, F1 {a.f1_spurious}")
    content = [{"classifier": one.classifier, **asdict(one.pair), **one.finding} for one in judged]
    (out / "pairs.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    sections = [_table(agreements), _pairs(judged), _design(settings, counts)]
    best = agreements["part"]
    support = f"Balanced accuracy {best.balanced_accuracy} on {best.n} class-feature pairs, half of them spurious."
    return write_report(out, "Spurious features", support, sections, stages.seconds, command, "figures")


_TRUTHS = ("core", "spurious", "mixed", "other")


def _truth(stages: Stages, planted: Planted, top_k: int) -> list[TrueFeature]:
    key = {"classifier": planted.classifier.fingerprint, "top_k": top_k}

    def compute() -> dict[str, Any]:
        return {"pairs": json.dumps([asdict(pair) for pair in true_features(planted, top_k=top_k)])}

    name = f"truth-{planted.architecture}-{planted.seed}"
    return [TrueFeature(**pair) for pair in json.loads(str(stages.run(name, key, compute)["pairs"]))]


def _fewer(chosen: list[tuple[int, TrueFeature]], pairs: int) -> list[tuple[int, TrueFeature]]:
    """At most `pairs`, half of each truth, spread over the classifiers."""
    if not pairs or len(chosen) <= pairs:
        return chosen
    kept = []
    for truth in ("core", "spurious"):
        side = [entry for entry in chosen if entry[1].truth == truth]
        n = pairs // 2
        kept += [side[i * len(side) // n] for i in range(n)]
    return sorted(kept, key=lambda entry: (entry[0], entry[1].class_index, entry[1].rank))


def _judge(
    planted: Planted, pair: TrueFeature, generator: Generator, segmenter: Segmenter, search: Settings,
    progress: Progress | None, pictures: PictureFiles,
) -> dict[str, Any]:  # fmt: skip
    start = time.perf_counter()
    result = find_spurious(
        planted.classifier, target=pair.class_index, generator=generator, segmenter=segmenter, name=pair.name,
        others=[name for name in planted.classes if name != pair.name], words=planted.planting.world.words,
        images=planted.class_images(pair.name, CLASS_PICTURES), settings=search, features=[pair.feature],
        progress=progress, pictures=pictures,
    )  # fmt: skip
    found = result.findings[0].to_dict() | {"errors": result.calibration.spec()}
    return {"finding": json.dumps(found | {"seconds": time.perf_counter() - start})}


def agreed(judged: Sequence[Judged], rule: str) -> Agreement:
    """Verdicts of a rule against the truth; pairs of one class of one classifier belong together."""
    names = [f"{one.classifier} {one.pair.name}" for one in judged]
    truth = [one.pair.truth == "spurious" for one in judged]
    return agreement_with(truth, [one.verdict(rule) for one in judged], [sorted(set(names)).index(n) for n in names])


def line(one: Judged) -> str:
    """A pair in a line."""
    share = one.finding["share"]
    carried = f"carries {_part(one, 'part')}, under its name {_part(one, 'reach')}"
    seen = [word for word in one.finding["words"] if word["share"] - word["plain"] > 0.1][:2]
    shown = ", ".join(f"{word['word']} {word['share']:.0%}" for word in seen) or "nothing else"
    return (
        f"{one.classifier}, {one.pair.name}, feature {one.pair.feature}: {one.verdict('part')}, "
        f"truth {one.pair.truth}; "
        f"object in {share['estimate']:.2f} [{share['low']:.2f}, {share['high']:.2f}], {carried}; shows {shown}"
    )


def _part(one: Judged, name: str) -> str:
    part = one.finding[name]
    return "-" if part["mean"] is None else f"{part['mean']:.2f} [{part['low']:.2f}, {part['high']:.2f}]"


def _table(agreements: Mapping[str, Agreement]) -> Section:
    columns = ("rule", "balanced accuracy", "F1 of spurious", "plain agreement", "undecided", "balanced, decided only")
    rows = [
        (RULES[rule], str(a.balanced_accuracy), str(a.f1_spurious), str(a.agreement), f"{a.n_undecided} of {a.n}",
         str(a.of_decided))
        for rule, a in agreements.items()
    ]  # fmt: skip
    first = next(iter(agreements.values()))
    rows.append(("always core", "0.500", "0.000", str(first.always_core), f"0 of {first.n}", "0.500"))
    text = (
        "An undecided pair counts as wrong in all columns but the last. Intervals at 95% draw classes of classifiers "
        "again. DiffExplainer states over 80% plain agreement on Salient ImageNet, where always core scores 87.4%."
    )
    return Section("Verdicts against the truth", (text,), (Table("Planted features", columns, tuple(rows)),))


def _pairs(judged: Sequence[Judged]) -> Section:
    columns = ("classifier", "class", "feature", "truth", "verdict", "object in", "carries", "under its name",
               "also seen")  # fmt: skip
    rows = []
    for one in judged:
        share = one.finding["share"]
        words = [w["word"] for w in one.finding["words"] if w["share"] - w["plain"] > 0.1][:2]
        rows.append((
            one.classifier, one.pair.name, f"{one.pair.feature}", one.pair.truth, one.verdict("part"),
            f"{share['estimate']:.2f} [{share['low']:.2f}, {share['high']:.2f}]", _part(one, "part"),
            _part(one, "reach"), ", ".join(words) or "-",
        ))  # fmt: skip
    return Section("Pairs", (), (Table("All pairs", columns, tuple(rows), short=False),))


def _design(settings: SpuriousSettings, counts: Mapping[str, int]) -> Section:
    text = (
        "Truth: with the perfect drawer the class's object, its shortcut and every other word are put into pictures, "
        "and the feature's mean change says what it answers to: core or spurious where that side has three quarters of "
        "both effects together, mixed in between, other where a third word does more. Mixed and other pairs are not "
        "judged; "
        f"found: {', '.join(f'{n} {name}' for name, n in counts.items())}.",
        "The search sees the classifier, the generator and the segmenter; pictures of the data set rank features only.",
    )
    rows = tuple((name, str(value)) for name, value in asdict(settings.search).items())
    return Section("How it was done", text, (Table("Settings of the search", ("setting", "value"), rows, short=False),))
