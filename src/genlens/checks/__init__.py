"""Checks of the method's assumptions; one file each.

They say what was found and never hide a ranking. An interval that straddles its threshold is "undecided", and so are
samples too small to tell.
"""

from __future__ import annotations

from genlens.checks.effective import effective_generation
from genlens.checks.independent import independent_permutation
from genlens.checks.reproducible import reproducible_generation
from genlens.importance.result import CheckResult

__all__ = ["CheckResult", "effective_generation", "independent_permutation", "reproducible_generation"]
