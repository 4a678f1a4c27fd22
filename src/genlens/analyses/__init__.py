"""What a run's scores say beside the ranking; each module turns an audit into one `Analysis`, or None."""

from __future__ import annotations

from collections.abc import Callable

from genlens.analyses.adjusted import adjusted
from genlens.analyses.annotation import annotation
from genlens.analyses.association import association
from genlens.analyses.conditional import conditional
from genlens.analyses.doses import doses
from genlens.analyses.effects import effects, interactions
from genlens.analyses.groups import groups
from genlens.analyses.mentions import mentions
from genlens.analyses.placebo import placebo
from genlens.analyses.positivity import positivity_of_states
from genlens.analyses.shapley import shapley_analysis
from genlens.analyses.variance import variance
from genlens.audit import Audit
from genlens.importance.result import Analysis

ANALYSES: tuple[Callable[[Audit], Analysis | None], ...] = (
    mentions,
    adjusted,
    annotation,
    placebo,
    effects,
    interactions,
    doses,
    groups,
    conditional,
    shapley_analysis,
    association,
    positivity_of_states,
    variance,
)
"""In the order in which the report shows them."""


def analyse(audit: Audit) -> tuple[Analysis, ...]:
    """All analyses that apply to a run."""
    found = (analysis(audit) for analysis in ANALYSES)
    return tuple(analysis for analysis in found if analysis is not None)
