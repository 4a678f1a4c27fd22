"""Independent permutation: does permuting a concept change that concept, and only that one, in the images?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genlens.checks.detection import (
    SEES,
    Flips,
    auroc_interval,
    change_of_other,
    change_of_own,
    detection_threshold,
    flip_shares,
)
from genlens.checks.verdicts import concept_draws, one_sided, overall
from genlens.errors import UserError
from genlens.importance.inference import Interval
from genlens.importance.result import CheckResult, Verdict
from genlens.importance.states import StateScores

_TITLE = "Independent permutation"


def independent_permutation(
    presence: np.ndarray,
    h_reference: np.ndarray,
    states: Sequence[StateScores],
    names: Sequence[str],
    *,
    h_real: np.ndarray | None = None,
    threshold: float = 0.05,
    clusters: np.ndarray | None = None,
    confidence: float = 0.95,
) -> CheckResult:
    """Does permuting a concept change that concept, and only that one, in the images?

    For each concept permuted (row) and each concept detected (column) the expected change of the detected concept's
    AUROC over all permutations, in closed form. Off the diagonal against its own labels: it must stay (within the
    threshold, either way). On the diagonal against the *permuted* labels: it must not fall. What is judged there is
    relative to what the concept classifier sees in the reference images, change * .5 / (AUROC - .5), so that weak
    detection alone neither fails nor passes the check; the matrix holds plain changes. The share of flips that don't
    show is about twice the relative fall, since a permutation changes about half of what it could.

    Args:
        presence: (N, K) bool; concepts present everywhere (categories, numbers) aren't detected, only permuted.
        h_reference: (N, R, K) or (N, K) concept scores of the reference images.
        states: for each of the D <= K permuted concepts, which come first, the concept scores (N, S, R, K) in its
            states, as from `StateScores.from_states`.
        names: K concepts.
        h_real: (N, K) concept scores of the real images, to set detection thresholds; else the reference images do.
        threshold: the largest change allowed.
        clusters: (N,) groups of dependent rows, or None.
        confidence: level of the intervals.
    """
    seen = concept_draws(h_reference, len(names))  # (N, R, K)
    if len(states) > len(names) or any(state.scores.shape[3:] != (len(names),) for state in states):
        raise UserError(f"`states` must hold scores of all {len(names)} concepts for each concept.")
    presence = np.asarray(presence, dtype=bool)
    detected = [k for k in range(len(names)) if 0 < presence[:, k].sum() < len(presence)]
    if not detected:
        message, remedy = "No concept is absent in some rows and present in others.", "Read the pictures instead."
        return CheckResult("independent-permutation", _TITLE, "not applicable", None, threshold, message, remedy)
    sight = {k: auroc_interval(presence[:, k], seen[:, :, k], confidence, clusters) for k in detected}
    cut = _thresholds(presence, seen if h_real is None else np.asarray(h_real)[:, None], detected)
    matrix = np.full((len(states), len(names)), np.nan)
    records = []
    for j, state in enumerate(states):
        changes = {k: _change(j, k, presence, seen, state, clusters, confidence) for k in detected}
        matrix[j, detected] = [change.value for change in changes.values()]
        flips = flip_shares(j, presence, seen, state, cut) if j in detected else None
        records.append(_flip_record(j, names, changes, sight, flips, threshold))
    return _independent_result(records, matrix, names, threshold)


def _change(
    j: int,
    k: int,
    presence: np.ndarray,
    seen: np.ndarray,
    state: StateScores,
    clusters: np.ndarray | None,
    confidence: float,
) -> Interval:
    measure = change_of_own if j == k else change_of_other
    return measure(presence[:, k], seen[:, :, k], state.column(k), confidence, clusters)


def _thresholds(presence: np.ndarray, scores: np.ndarray, detected: list[int]) -> np.ndarray:
    """(K,) scores above which a concept counts as detected; infinite where detection means nothing."""
    cut = np.full(presence.shape[1], np.inf)
    for k in detected:
        cut[k] = detection_threshold(
            np.repeat(presence[:, k], scores.shape[1]), np.asarray(scores[:, :, k], dtype=np.float64).ravel()
        )
    return cut


def _judged(
    j: int, changes: Mapping[int, Interval], sight: Mapping[int, Interval], threshold: float
) -> list[tuple[int, Interval, Verdict]]:
    """Each detected concept, the change that is judged (on the diagonal a relative one) and its verdict."""
    judged = []
    for k, change in changes.items():
        if j != k:
            judged.append((k, change, _two_sided(change, threshold)))
            continue
        strength = sight[k].value - 0.5
        if strength <= 0:
            judged.append((k, change, "undecided"))
            continue
        scale = 0.5 / strength
        relative = Interval(change.value * scale, change.low * scale, change.high * scale, change.se * scale)
        verdict = one_sided(Interval(-relative.value, -relative.high, -relative.low, relative.se), threshold)
        blind = verdict == "passed" and sight[k].low <= SEES
        judged.append((k, relative, "undecided" if blind else verdict))
    return judged


def _two_sided(change: Interval, threshold: float) -> Verdict:
    if -threshold <= change.low and change.high <= threshold:
        return "passed"
    return "failed" if change.low > threshold or change.high < -threshold else "undecided"


def _flip_record(
    j: int,
    names: Sequence[str],
    changes: Mapping[int, Interval],
    sight: Mapping[int, Interval],
    flips: Flips | None,
    threshold: float,
) -> dict[str, Any]:
    judged = _judged(j, changes, sight, threshold)
    verdict = overall([item[2] for item in judged])
    others = {k: change for k, change in changes.items() if k != j}
    most = max(others, key=lambda k: abs(others[k].value), default=None)
    worst = max(judged, key=lambda item: (item[2] == verdict, abs(item[1].value)))
    return {
        "concept": names[j],
        "reference_auroc": sight[j].value if j in sight else None,
        "own_change": changes[j].value if j in changes else None,
        "own_change_low": changes[j].low if j in changes else None,
        "own_change_high": changes[j].high if j in changes else None,
        "flips_shown": None if flips is None else flips.shown,
        "flips_expected": None if flips is None else flips.expected,
        "others_stayed": None if flips is None else flips.others_stayed,
        "most_moved": "" if most is None else names[most],
        "its_change": None if most is None else others[most].value,
        "its_change_low": None if most is None else others[most].low,
        "its_change_high": None if most is None else others[most].high,
        "verdict": verdict,
        "judged": names[worst[0]],
        "judged_change": worst[1].value,
        "judged_change_low": worst[1].low,
        "judged_change_high": worst[1].high,
    }


def _independent_result(
    records: list[dict[str, Any]], matrix: np.ndarray, names: Sequence[str], threshold: float
) -> CheckResult:
    verdict = overall([record["verdict"] for record in records])
    worst = max(records, key=lambda record: (record["verdict"] == verdict, abs(record["judged_change"])))
    own = worst["judged"] == worst["concept"]
    change = (
        f"{worst['judged_change']:+.3f} [{worst['judged_change_low']:+.3f}, {worst['judged_change_high']:+.3f}], "
        f"at most {threshold:.2f} is allowed"
    )
    what = "shows less than it should" if own else f"moves {worst['judged']}"
    if verdict != "failed":
        what = "shows" if own else f"hardly moves {worst['judged']}"
    doubt = "It can't be told yet whether p" if verdict == "undecided" else "P"
    shown = [record["flips_shown"] for record in records if record["flips_shown"] is not None]
    stayed = [record["others_stayed"] for record in records if record["others_stayed"] is not None]
    message = f"{doubt}ermuting {worst['concept']} {what}: its AUROC changes by {change}. " + _shares(shown, stayed)
    return CheckResult(
        code="independent-permutation",
        title=_TITLE,
        verdict=verdict,
        value=abs(worst["judged_change"]),
        threshold=threshold,
        message=message.strip(),
        remedy=_remedy(verdict, records, names[: len(matrix)]),
        table=[{key: value for key, value in record.items() if not key.startswith("judged")} for record in records],
        matrix=matrix.tolist(),
        labels=list(names),
    )


def _shares(shown: Sequence[float], stayed: Sequence[float]) -> str:
    parts = [f"{np.mean(shown):.1%} of flips show"] if shown else []
    if stayed and np.isfinite(stayed).all():
        parts.append(f"{np.mean(stayed):.1%} of other concepts stay")
    return f"{'; '.join(parts)}." if parts else ""


def _remedy(verdict: Verdict, records: Sequence[Mapping[str, Any]], permuted: Sequence[str]) -> str:
    if verdict == "passed":
        return ""
    if verdict == "undecided":
        return "Use more rows (of the rarer state of each concept), or a better concept classifier."
    failed = [record for record in records if record["verdict"] == "failed"]
    own = [record["concept"] for record in failed if record["judged"] == record["concept"]]
    rest = [record for record in failed if record["concept"] not in own]
    other = [_moves(record) for record in rest if record["judged"] in permuted]
    watched = [_moves(record) for record in rest if record["judged"] not in permuted]
    parts = []
    if own:
        parts.append(f"Flips of {', '.join(own)} don't all show, so the importance is too small: train the generator.")
    if other:
        parts.append(f"Read the importance of {', '.join(other)} as that of both, or permute them as a group.")
    if watched:
        listed = ", ".join(watched)
        parts.append(f"Read the importance of {listed} as that of both: a concept that isn't permuted moves.")
    return " ".join(parts)


def _moves(record: Mapping[str, Any]) -> str:
    return f"{record['concept']} (moves {record['judged']})"
