"""What a run's scores say beside the ranking; each module turns an audit into one `Analysis`, or None."""

from __future__ import annotations

from collections.abc import Callable

from genlens.audit import Audit
from genlens.importance.result import Analysis

ANALYSES: tuple[Callable[[Audit], Analysis | None], ...] = ()
"""In the order in which the report shows them."""


def analyse(audit: Audit) -> tuple[Analysis, ...]:
    """All analyses that apply to a run."""
    found = (analysis(audit) for analysis in ANALYSES)
    return tuple(analysis for analysis in found if analysis is not None)
