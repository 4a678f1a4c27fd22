"""Sections of the X-ray report: Table 1's form, the ranking, the checks, mentions and long reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from genlens.checks import CheckResult
from genlens.checks.effective import TARGET
from genlens.datasets.xray import SAID_LESS
from genlens.datasets.xray_reports import DEMOGRAPHICS
from genlens.experiments.evaluation import Estimate
from genlens.experiments.xray_lab import XrayLab
from genlens.experiments.xray_measures import Outcome
from genlens.importance.result import Verdict
from genlens.leakage import find_mentions
from genlens.reports.document import Picture, Section, Table

Outcomes = Mapping[str, Mapping[str, Outcome]]
"""Condition -> target model -> what was measured."""

PUBLISHED = {"BMI": (0.98, 0.97, 0.70), "Age": (0.89, 0.85, 0.59), "Sex": (1.00, 1.00, 0.53)}
"""AUROC on real, generated and permuted images in the paper's Table 1 (MIMIC-CXR)."""
_FILLS, _HEEDS = "drawer that fills in", "drawer that heeds the text"


def sections_of(lab: XrayLab, outcomes: Outcomes, picture: Path) -> list[Section]:
    """All sections, the judged generator first."""
    first = lab.conditions[0].name
    parts = [_table_one(lab, first, outcomes[first], picture), _ranking(first, outcomes[first])]
    parts += [_quality(first, outcomes[first]), _checks(outcomes)]
    parts += [_moving(outcomes[_FILLS]), _mentions(lab, outcomes)]
    return [*parts, *_long_reports(lab)]


def _table_one(lab: XrayLab, name: str, found: Mapping[str, Outcome], picture: Path) -> Section:
    order = ("BMI", "Age", "Sex")
    rows = (
        ("real images", *(_text(found[c].real) for c in order)),
        ("generated images", *(_text(found[c].generated) for c in order)),
        ("DEPICT: all permutations", *(_text(found[c].permuted[c]) for c in order)),
        (f"DEPICT: mean of {lab.settings.n_repeats}", *(f"{found[c].sampled[c]:.3f}" for c in order)),
        ("bottleneck permuted", *(f"{found[c].bottleneck[c]:.3f}" for c in order)),
        ("published, MIMIC-CXR", *(" / ".join(f"{value:.2f}" for value in PUBLISHED[c]) for c in order)),
    )
    relies = [c for c in order if found[c].permuted[c].high < found[c].generated.low]
    return Section(
        "Does the model rely on it? (Table 1)",
        (
            "Each target model's training rows were resampled so that pneumonia coincides with one of age (above 60), "
            f"BMI (above 30) and sex; so were its {lab.settings.rows} test rows. Generator: {name}. Permuting the "
            f"model's own concept lowers the AUROC clearly (the intervals don't meet) for {_some(relies, order)}.",
        ),
        (
            Table(
                f"AUROC with 95% bootstrap intervals over rows ({lab.settings.resamples} resamples); published: real / "
                "generated / permuted",
                ("images", *order),
                rows,
            ),
        ),
        (Picture(picture, "Five test rows: real, generated, then age, BMI and sex switched, noise kept"),),
    )


def _ranking(name: str, found: Mapping[str, Outcome]) -> Section:
    rows, agree = [], 0
    for model, outcome in found.items():
        drops = {c: outcome.generated.value - value.value for c, value in outcome.permuted.items()}
        truth = {c: outcome.real.value - value for c, value in outcome.bottleneck.items()}
        order = sorted(drops, key=lambda c: -drops[c])
        agree += order == sorted(truth, key=lambda c: -truth[c])
        rows += [(model, c, str(order.index(c) + 1), f"{drops[c]:+.4f}", f"{truth[c]:+.4f}") for c in drops]
    values = np.array([[float(row[3]), float(row[4])] for row in rows])
    r = float(np.corrcoef(values.T)[0, 1])
    tops = sum(row[0] == row[1] and row[2] == "1" for row in rows)
    return Section(
        "Ranking of the concepts that can be permuted",
        (
            f"The concept that a model was made to rely on comes first in {tops} of {len(found)} models ({name}); the "
            f"whole order agrees with permuting the bottleneck's own predictions in {agree}. Over the nine pairs of "
            f"model and concept the importances correlate at r = {r:.3f}.",
        ),
        (
            Table(
                "Importance: fall of the AUROC when a concept is permuted in the captions, and at the bottleneck",
                ("model", "concept", "rank", "DEPICT", "bottleneck"),
                tuple(rows),
            ),
        ),
    )


def _quality(name: str, found: Mapping[str, Outcome]) -> Section:
    """What the checker sees in real and generated images, over the test rows of all three models."""
    tables = [{record["name"]: record for record in outcome.checks[0].table} for outcome in found.values()]
    concepts = [c for c in tables[0] if all(c in table for table in tables) and c != TARGET]
    ends = ("real", "generated")
    means = {c: [float(np.mean([table[c][end] for table in tables])) for end in ends] for c in concepts}
    rows = tuple((c, f"{real:.3f}", f"{made:.3f}", f"{real - made:+.3f}") for c, (real, made) in means.items())
    flips = [record for outcome in found.values() for record in outcome.checks[1].table]
    shown = {c: float(np.mean([r["flips_shown"] for r in flips if r["concept"] == c])) for c in DEMOGRAPHICS}
    worst = max(means, key=lambda c: means[c][0] - means[c][1])
    text = ", ".join(f"{c} {share:.1%}" for c, share in shown.items())
    return Section(
        f"How well the generator ({name}) draws what it is told",
        (
            f"Flips that the checker sees, seed kept: {text}. The concept that loses most from real to generated "
            f"images is {worst}, {means[worst][0]:.3f} to {means[worst][1]:.3f}. Reports leave findings out, which "
            "bounds what any generator can draw of them.",
        ),
        (
            Table("AUROC of the checker, mean of three test sets", ("concept", "real", "generated", "fall"), rows),
        ),
    )


def _checks(outcomes: Outcomes) -> Section:
    rows = []
    for condition, models in outcomes.items():
        for model, outcome in models.items():
            effective, independent = outcome.checks
            rows.append((f"{condition}: {model}", effective.verdict, _fall(effective), independent.verdict,
                         _worst(independent)))  # fmt: skip
    failed = [c for c, models in outcomes.items() if _any(models, 1, "failed")]
    clear = [c for c in outcomes if c not in failed]
    return Section(
        "Checks, by an independent concept classifier of all sixteen concepts",
        (
            "The concept classifier looks for the thirteen findings as well, though no caption permutes them. "
            f"Independent permutation fails for at least one model under: {'; '.join(failed) or 'no condition'}. It "
            f"doesn't fail under: {'; '.join(clear) or 'none'}.",
        ),
        (
            Table(
                "Verdicts; largest fall of an AUROC from real to generated, and the change that decides",
                ("condition: model", "effective", "largest fall", "independent", "permuting -> change of AUROC"),
                tuple(rows),
            ),
        ),
    )


def _moving(found: Mapping[str, Outcome]) -> Section:
    rows = []
    for model, outcome in found.items():
        for record in outcome.checks[1].table:
            change = f"{record['its_change']:+.3f} [{record['its_change_low']:+.3f}, {record['its_change_high']:+.3f}]"
            rows.append((model, record["concept"], record["most_moved"], change, record["verdict"]))
    warned = [row for row in rows if row[4] == "failed"]
    said = ", ".join(f"{name} ({share:.0%})" for name, share in SAID_LESS.items())
    lines = [f"{model}: {outcome.checks[1].message}" for model, outcome in found.items()
             if outcome.checks[1].verdict == "failed"]  # fmt: skip
    return Section(
        "Where a finding moves along",
        (
            f"Reports leave findings out: {said} are mentioned so often when they are there. A generator that learnt "
            "from such pairs draws what isn't mentioned as often as it occurs at that age, BMI and sex, so permuting "
            f"age moves it. The {_FILLS} does exactly this; the check warns in {len(warned)} of {len(rows)} cases.",
            *lines,
        ),
        (
            Table(
                f"{_FILLS}: the concept that moves most, change of its AUROC",
                ("model", "permuted", "moves most", "change", "verdict"),
                tuple(rows),
            ),
        ),
    )


def _mentions(lab: XrayLab, outcomes: Outcomes) -> Section:
    rows = []
    for model, target in lab.targets.items():
        found = next(one for one in find_mentions(target.table) if one.concept == model)
        drawer, heeds, masked = (
            outcomes[name][model].permuted[model] for name in ("drawer", _HEEDS, f"{_HEEDS}, masked")
        )
        example = found.examples[0][1] if found.examples else ""
        rows.append((model, f"{len(found.rows)} of {target.table.n_rows}", example,
                     _text(drawer), _text(heeds), _text(masked)))  # fmt: skip
    gaps = [float(row[4].split()[0]) - float(row[3].split()[0]) for row in rows]
    left = [abs(float(row[5].split()[0]) - float(row[3].split()[0])) for row in rows]
    return Section(
        "Mentions of a permuted concept in the report",
        (
            "A share of the reports says the patient's age and sex or habitus. A generator that heeds these words "
            f"undoes the permutation in these rows: the permuted AUROC stays up to {max(gaps):.3f} too high, and the "
            f"importance that much too small. Masked by the built-in rules it is within {max(left):.3f} of the "
            "drawer's.",
        ),
        (
            Table(
                "Permuted AUROC of each model's own concept, where the words are obeyed",
                ("model", "rows with a mention", "example", "drawer", "heeds the text", "masked"),
                tuple(rows),
            ),
        ),
    )


def _long_reports(lab: XrayLab) -> list[Section]:
    """What each section and sentence selection cost at the generator's own limit; none for the drawer."""
    generator = lab.conditions[0].generator
    limit = getattr(generator, "token_limit", None)
    if limit is None:
        return []
    from genlens.experiments.xray_long import long_section

    return [long_section(lab, generator, limit)]


def _fall(check: CheckResult) -> str:
    worst = max(check.table, key=lambda record: record["difference"])
    return f"{worst['difference']:.3f} ({worst['name']})"


def _worst(check: CheckResult) -> str:
    records = [record for record in check.table if record["verdict"] == check.verdict] or check.table
    worst = max(records, key=lambda record: abs(record["its_change"] or 0))
    own = min(records, key=lambda record: record["own_change"] or 0)
    text = f"{worst['concept']} -> {worst['most_moved']} {worst['its_change']:+.3f}"
    return f"{text}; {own['concept']} itself {own['own_change']:+.3f}"


def _any(models: Mapping[str, Outcome], check: int, verdict: Verdict) -> bool:
    return any(outcome.checks[check].verdict == verdict for outcome in models.values())


def _some(some: list[str], every: tuple[str, ...]) -> str:
    if len(some) == len(every):
        return "all three models"
    return f"{len(some)} of {len(every)} models ({', '.join(some)})" if some else "none of the models"


def _text(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"

