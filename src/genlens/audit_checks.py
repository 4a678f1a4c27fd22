"""The checks of the method's assumptions, on what a run knows."""

from __future__ import annotations

from genlens.audit import Audit
from genlens.checks import CheckResult, effective_generation, independent_permutation


def check_effective(audit: Audit) -> CheckResult:
    """Effective generation, on the reference images of all rows."""
    return effective_generation(
        audit.y, audit.real, audit.reference, audit.table.detected_presence(), audit.real_concepts,
        audit.reference_concepts, audit.table.detected_names,
        scoring=audit.scoring, clusters=audit.table.clusters, confidence=audit.confidence,
    )  # fmt: skip


def check_independent(audit: Audit) -> CheckResult:
    """Independent permutation."""
    seen, states = audit.reference_concepts, audit.concept_states
    if seen is None or states is None:
        return CheckResult(
            "independent-permutation", "Independent permutation", "not applicable", None, None,
            "Not checked: there is no independent concept classifier.",
            "Give a concept classifier that was trained apart from the target model.",
        )  # fmt: skip
    table = audit.table
    return independent_permutation(
        table.detected_presence(), seen, states, table.detected_names,
        h_real=audit.real_concepts, clusters=table.clusters, confidence=audit.confidence,
    )  # fmt: skip
