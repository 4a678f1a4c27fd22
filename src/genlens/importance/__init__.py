"""Importance of concepts, computed from scores alone: exact expectations, sampled permutations, inference."""

from __future__ import annotations

from genlens.importance.result import ImportanceResult, Picture

__all__ = ["ImportanceResult", "Picture"]
