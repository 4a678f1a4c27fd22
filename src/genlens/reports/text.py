"""Figures and sentences of the reports: how numbers are written and what a ranking says in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from genlens.importance.result import CheckResult, ImportanceResult

ALPHA = 0.05
"""Concepts whose adjusted p-value lies below this stand out from chance."""

MISSING = "\u2013"
"""Written where there is no number (an en dash)."""

MINUS = "\u2212"
"""The sign of negative numbers."""

THIN_SPACE = "\u2009"
"""Stands between ``<`` and a number."""

_SCORE_NAMES = {
    "roc_auc": "AUROC",
    "roc_auc_ovr": "AUROC (one against the rest)",
    "roc_auc_ovo": "AUROC (one against one)",
    "average_precision": "average precision",
    "neg_log_loss": "negative log loss",
    "neg_brier_score": "negative Brier score",
    "neg_mean_squared_error": "negative mean squared error",
    "neg_root_mean_squared_error": "negative root mean squared error",
    "neg_mean_absolute_error": "negative mean absolute error",
    "f1": "F1",
    "r2": "R²",
}

_MEANINGS = {
    "effective-generation": "The generated images do not carry the label and the concepts as the real images do. "
    "A small importance may then mean only that the generator does not draw the concept.",
    "independent-permutation": "Permuting a concept in the captions does not change that concept, and that concept "
    "alone, in the images. An importance may then be too small, or belong to another concept.",
    "reproducible-generation": "The same caption and seed do not give the same image twice. The change between off "
    "and on then contains the generator's own noise.",
}


def figure(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """A number as the reports write it, with a true minus sign: ``.213``, ``+1.20``; `MISSING` for None and NaN.

    Args:
        value: the number.
        digits: decimals of numbers below 10; larger ones lose decimals.
        signed: write a plus before positive numbers.
    """
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        text = "∞"
    else:
        text = f"{abs(value):.{max(0, digits - max(0, int(math.log10(abs(value) + 1e-300))))}f}"
    zero = not any(character in "123456789∞" for character in text)
    text = text.removeprefix("0") if text.startswith("0.") else text
    return text if zero else (MINUS if value < 0 else "+" if signed else "") + text


def plain(text: str) -> str:
    """`text` with hyphens for minus signs and dashes and without thin spaces, for terminals."""
    return text.translate({ord(MINUS): "-", ord(MISSING): "-", ord(THIN_SPACE): None})


def interval(low: float | None, high: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """An interval in brackets, ``[.184, .242]``; `MISSING` when an end is unknown."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return MISSING
    return f"[{figure(low, digits, signed=signed)}, {figure(high, digits, signed=signed)}]"


def p_value(value: float | None) -> str:
    """A p- or q-value: ``.012``, ``< .001``, ``1``; `MISSING` for None and NaN."""
    if value is None or math.isnan(value):
        return MISSING
    return f"<{THIN_SPACE}.001" if value < 0.001 else "1" if value >= 0.9995 else figure(value)


def score_name(scoring: Any) -> str:
    """The plain name of a score: ``"AUROC"`` for ``"roc_auc"``, otherwise the name with spaces."""
    name = str(getattr(scoring, "name", scoring))
    return _SCORE_NAMES.get(name, name.replace("_", " "))


def capital(text: str) -> str:
    """`text` with its first letter in upper case and the others as they are."""
    return text[:1].upper() + text[1:]


def words(names: Sequence[str]) -> str:
    """``"a"``, ``"a and b"``, ``"a, b and c"``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def few(names: Sequence[str], most: int = 6) -> str:
    """`words` of at most `most` names: ``"a, b and 38 more"``."""
    return words(names if len(names) <= most else [*names[: most - 1], f"{len(names) - most + 1} more"])


@dataclass(frozen=True)
class Row:
    """One concept of the ranking, as plain floats (NaN where unknown).

    Attributes:
        reliance_ci: interval of the reliance.
        true_reliance: weight of the concept in the target model where that is known, otherwise None.
        stands_out: whether the concept stands out from chance (q < `ALPHA`; without q-values an interval above 0);
            None when neither is known.
    """

    concept: str
    rank: int
    importance: float
    std: float
    ci_low: float
    ci_high: float
    p_value: float
    q_value: float
    reliance: float
    reliance_signed: float
    reliance_ci: tuple[float, float]
    true_reliance: float | None
    stands_out: bool | None


def ranking_rows(result: ImportanceResult) -> list[Row]:
    """The ranking, best concept first."""
    true = result.settings.get("true_reliance")
    weights: Mapping[str, Any] = true if isinstance(true, Mapping) else {}
    rank = result.rank
    return [_row(result, int(j), int(rank[j]), weights) for j in np.argsort(rank)]


def _row(result: ImportanceResult, j: int, rank: int, weights: Mapping[str, Any]) -> Row:
    names = ("importance", "std", "ci_low", "ci_high", "p_value", "q_value", "reliance", "reliance_signed")
    numbers = {name: float(getattr(result, name)[j]) for name in names}
    known = not math.isnan(numbers["q_value"])
    level = numbers["q_value"] < ALPHA if known else numbers["ci_low"] > 0
    unknown = math.isnan(numbers["importance"]) or (not known and math.isnan(numbers["ci_low"]))
    low, high = (float(end) for end in result.reliance_ci[j])
    concept = result.concepts[j]
    weight = weights.get(concept)
    return Row(
        concept=concept,
        rank=rank,
        reliance_ci=(low, high),
        true_reliance=None if weight is None else float(weight),
        stands_out=None if unknown else level and numbers["importance"] > 0,
        **numbers,
    )


@dataclass(frozen=True)
class Headline:
    """What the ranking says: ``before`` + concept (emphasised) + ``after``, then supporting sentences."""

    before: str
    concept: str
    after: str
    support: str


def headline(result: ImportanceResult, rows: Sequence[Row]) -> Headline:
    """The ranking in plain words, from `ranking_rows`."""
    score, top = score_name(result.scoring), rows[0]
    drop = f"{figure(top.importance)} {_bracket(top)}".strip()
    if top.stands_out is False or not top.importance > 0:
        change = figure(-top.importance, signed=True)
        where = _bracket(top)
        support = f"Permuting {top.concept}, the first of the ranking, moves {score} by {change}"
        support += f" (importance {where})" if where else ""
        return Headline("No concept stands out from chance.", "", "", f"{support}.")
    fall = f"{capital(score)} falls by {drop}, from {figure(result.reference_score)}"
    support = f"{fall} to {figure(result.reference_score - top.importance)}, when it is permuted."
    following = [row for row in rows[1:3] if row.importance > 0 and row.stands_out is not False]
    if following:
        named = words([f"{row.concept} ({figure(row.importance)})" for row in following])
        support += f" Next {'comes' if len(following) == 1 else 'come'} {named}."
    return Headline("The classifier relies most on ", top.concept, ".", f"{support} {_count(rows)}".strip())


def _bracket(row: Row) -> str:
    text = interval(row.ci_low, row.ci_high)
    return "" if text == MISSING else text


def _count(rows: Sequence[Row]) -> str:
    known = [row for row in rows if row.stands_out is not None]
    if len(known) < 2:
        return ""
    if any(math.isnan(row.q_value) for row in known):
        basis = "interval above 0"
    else:
        basis = f"q < {figure(ALPHA, 2)}"
    return f"{sum(bool(row.stands_out) for row in known)} of {len(rows)} concepts stand out from chance ({basis})."


def warnings_of(checks: Sequence[CheckResult]) -> list[CheckResult]:
    """Checks that failed, then checks that are undecided."""
    order = {"failed": 0, "undecided": 1}
    return sorted((check for check in checks if check.verdict in order), key=lambda check: order[check.verdict])


def warning_title(checks: Sequence[CheckResult]) -> str:
    """One line over the warnings: how many checks failed or are undecided."""
    warned = warnings_of(checks)
    counts = {verdict: sum(check.verdict == verdict for check in warned) for verdict in ("failed", "undecided")}
    failed, undecided = counts["failed"], counts["undecided"]
    parts = [f"{failed} failed"] if failed else []
    parts += [f"{undecided} {'is' if undecided == 1 else 'are'} undecided"] if undecided else []
    return f"Read the ranking with care: of {len(checks)} check{'s' * (len(checks) != 1)}, {words(parts)}."


def meaning(check: CheckResult) -> str:
    """What it means for the ranking that a check failed or is undecided."""
    text = _MEANINGS.get(check.code, "An assumption behind the ranking does not hold.")
    if check.verdict == "undecided":
        return f"These rows are too few to tell whether it holds. If it does not: {text[0].lower()}{text[1:]}"
    return text
