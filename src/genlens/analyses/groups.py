"""Groups of concepts that were permuted together, beside their members permuted alone."""

from __future__ import annotations

from typing import Any

from genlens.audit import Audit
from genlens.importance.groups import GroupImportance, group_importance
from genlens.importance.result import Analysis

TITLE = "Groups permuted together"
_READING = (
    "importance: fall of the score when the members are permuted together, with its interval; p: of 'the model relies "
    "on no member'; alone: sum of the members' own importances; excess: importance - alone; reliance: mean absolute "
    "change of the target's score between two different patterns of the members in a row; patterns: how many each row "
    "shows."
)


def groups(audit: Audit) -> Analysis | None:
    """Compare each group with its members; None where no groups were asked for."""
    states, scores = audit.plan.extras.get("groups", ()), audit.extra("groups")
    if not states:
        return None
    own = dict(zip(audit.table.names, audit.states, strict=True))
    found = [
        group_importance(
            audit.y,
            audit.reference,
            score,
            state.states,
            [own[name] for name in audit.groups[state.concept]],
            audit.scoring,
            n_repeats=audit.n_repeats,
            seed=audit.seed,
            confidence=audit.confidence,
            clusters=audit.table.clusters,
        )
        for state, score in zip(states, scores, strict=True)
    ]
    rows = sorted(zip(states, found, strict=True), key=lambda pair: -pair[1].importance.value)
    return Analysis(
        "groups",
        TITLE,
        " ".join(_sentence(state.concept, group) for state, group in rows),
        _advice([state.concept for state, group in rows if group.excess.low > 0]),
        [_record(state.concept, audit.groups[state.concept], state.states.shape[1], group) for state, group in rows],
        chart="interval",
        reading=_READING,
    )


def _sentence(name: str, group: GroupImportance) -> str:
    joint, excess = group.importance, group.excess
    bounds = f" [{excess.low:+.3f}, {excess.high:+.3f}]" if excess.low == excess.low else ""
    return (
        f"{name} is worth {joint.value:.3f} [{joint.low:.3f}, {joint.high:.3f}] together, its members "
        f"{group.alone:.3f} one by one (difference {excess.value:+.3f}{bounds})."
    )


def _advice(more: list[str]) -> str:
    if not more:
        return ""
    return (
        f"Read {', '.join(more)} as a whole: permuted alone, its members leave one another in place, so that their own "
        "importances add up to less."
    )


def _record(name: str, members: Any, n_patterns: int, group: GroupImportance) -> dict[str, Any]:
    joint, excess, moved = group.importance, group.excess, group.reliance
    return {
        "group": name,
        "importance": joint.value,
        "importance_low": joint.low,
        "importance_high": joint.high,
        "p": group.p_value,
        "alone": group.alone,
        "excess": excess.value,
        "excess_low": excess.low,
        "excess_high": excess.high,
        "reliance": moved.value,
        "reliance_low": moved.low,
        "reliance_high": moved.high,
        "patterns": n_patterns,
        "members": ", ".join(members),
    }
