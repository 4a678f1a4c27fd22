"""What a study found, in words and tables: `report.html`, `results.md` and `answers.csv`."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from genlens.files import write_atomic
from genlens.reports.document import Section, Table, to_markdown, write_html
from genlens.study.analysis import Compared, StudyResult, share_interval
from genlens.study.looks import Understanding
from genlens.study.preference import Preference

_COLUMNS = ("person", "attentive", "part", "item", "method", "rival", "choice", "side", "right", "seconds")


def write_study_report(result: StudyResult, ours: str, out: Path) -> Path:
    """Write the three files into `out`; returns the HTML report."""
    sections = study_sections(result, ours)
    report = out / "report.html"
    kept = result.n_people - len(result.inattentive)
    support = f"{kept} of {result.n_people} people passed the checks of attention. {summary(result, ours)[0]}"
    write_html("What people say", support, sections, report, kind="study")
    write_atomic(out / "results.md", f"{support}\n\n{to_markdown(sections, '.')}".encode())
    write_atomic(out / "answers.csv", _csv(result).encode())
    return report


def summary(result: StudyResult, ours: str) -> list[str]:
    """A sentence a rival, and one on what people understood."""
    lines = []
    for found in result.comparisons:
        one = found.attentive
        verdict = "preferred" if one.interval[0] > 0.5 else "not preferred" if one.interval[1] < 0.5 else "undecided"
        lines.append(f"{ours} against {found.rival}: {_share(one.share, one.interval)} of the answers for {ours} "
                     f"({verdict}; {result.confidence:.0%} interval over {one.n_people} people).")  # fmt: skip
    if result.understanding:
        said = ", ".join(
            f"{name} {_share(result.understanding.shares[name], result.understanding.intervals[name])}"
            for name in result.understanding.methods
        )
        lines.append(f"Right about what the model looks at: {said}.")
    return lines


def study_sections(result: StudyResult, ours: str) -> list[Section]:
    """The report's parts."""
    sections = [_preference(result, ours)]
    if result.understanding:
        sections.append(_looks(result.understanding, result))
    sections += [_agreement(result), _quality(result)]
    return sections


def _preference(result: StudyResult, ours: str) -> Section:
    columns = ("", *(f"against {found.rival}" for found in result.comparisons))
    lines = [_lines(found, result.confidence) for found in result.comparisons]
    rows = tuple((name, *(line[name] for line in lines)) for name in lines[0])
    items = tuple(
        (label, *("/".join(str(n) for n in (f.by_item[label][1], f.by_item[label][2], f.by_item[label][0]))
                  for f in result.comparisons))
        for label in result.comparisons[0].by_item
    )  # fmt: skip
    return Section(
        f"Which explains better: {ours} or a rival",
        (
            *summary(result, ours)[: len(result.comparisons)],
            "The first interval draws people again, because the answers of one person are alike. Lines marked "
            "“independent” take every answer for a person of its own, as many studies do, and promise too much.",
        ),
        (
            Table("Preference; a tie counts half", columns, rows),
            Table(f"Answers by item: {ours}/ties/rival", ("item", *columns[1:]), items),
        ),
    )


def _lines(found: Compared, confidence: float) -> dict[str, str]:
    one = found.attentive
    more, less, even, sign_p = one.sign
    return {
        "share for ours": f"{one.share:.1%}",
        f"{confidence:.0%} interval, people drawn again": _interval(one.interval),
        "Student's interval over people": _interval(one.t_interval),
        "people and items drawn again": _interval(one.both_interval),
        "independent: Wilson": _interval(one.naive_interval),
        "answers for ours / ties / rival": f"{one.counts[1]} / {one.counts[2]} / {one.counts[0]}",
        "design effect": _number(one.design_effect, 2),
        "people mostly for ours / rival / neither": f"{more} / {less} / {even}",
        "sign test over people, p": _p(sign_p),
        "mixed logistic model: share, p": f"{one.mixed[0]:.1%}, {_p(one.mixed[1])}",
        "chi-square over its design effect, p": _p(one.chi_square[2]),
        "independent: chi-square, p": f"{one.chi_square[0]:.2f}, {_p(one.chi_square[1])}",
        "independent: binomial test, p": _p(one.binomial_p),
        "all people, inattentive too": _everyone(found.everyone),
    }


def _everyone(one: Preference) -> str:
    return f"{one.share:.1%} {_interval(one.interval)}"


def _looks(found: Understanding, result: StudyResult) -> Section:
    rows = []
    for name in found.methods:
        wrong, right, unsure = found.counts[name]
        gap = found.differences.get(name)
        apart = "" if gap is None else f"{gap[0]:+.1%} [{gap[1]:+.1%}, {gap[2]:+.1%}]"
        share = _share(found.shares[name], found.intervals[name])
        rows.append((name, str(right), str(wrong), str(unsure), share, apart))
    statistic, df, p = found.chi_square
    return Section(
        "What does the model look at",
        (
            "Each person saw an item's pictures by one method alone, before any comparison. Intervals draw people "
            f"again. Chi-square of methods against answers, as if independent: {statistic:.2f} on {df} degrees of "
            f"freedom, p {_p(p)}.",
        ),
        (Table(f"Answers where the truth is known, {result.confidence:.0%} intervals",
               ("method", "right", "wrong", "can't tell", "share right", "ours less this"), tuple(rows)),),
    )  # fmt: skip


def _agreement(result: StudyResult) -> Section:
    rows = [(f"preference against {found.rival}", _number(found.alpha, 3), _number(found.kappa, 3))
            for found in result.comparisons]  # fmt: skip
    if not math.isnan(result.look_alpha):
        rows.append(("what the model looks at", _number(result.look_alpha, 3), "–"))
    return Section(
        "Agreement between people",
        ("1 is full agreement, 0 what chance gives. A strong preference that everyone shares on every item leaves "
         "little to agree about beyond chance: read it beside the shares.",),
        (Table("Agreement", ("question", "Krippendorff's alpha", "Fleiss' kappa"), tuple(rows)),),
    )  # fmt: skip


def _quality(result: StudyResult) -> Section:
    left, n, p = result.left
    missed = ", ".join(map(str, result.inattentive)) or "none"
    return Section(
        "Quality of the answers",
        (
            f"Left out for a failed check of attention: {missed} (participant numbers).",
            f"The left set was chosen in {share_interval(left, n, result.confidence)} of the answers that chose a side "
            f"(p {_p(p)} that sides don't matter). Sides are balanced, so a habit adds noise and no bias.",
            f"Median time of a question: {result.seconds:.1f} s.",
        ),
    )


def _csv(result: StudyResult) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(result.rows)
    return buffer.getvalue()


def _share(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.1%} {_interval(interval)}"


def _interval(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:.1%}, {interval[1]:.1%}]"


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _p(value: float) -> str:
    return "< .0001" if value < 1e-4 else f"{value:.4f}"
