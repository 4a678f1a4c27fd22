"""What of the analyses was asked for, as a result's settings (JSON types)."""

from __future__ import annotations

from typing import Any

from genlens.importance.given import GivenBy
from genlens.plans.groups import Groups


def asked(groups: Groups | None, given: GivenBy | None, shapley: bool, shapley_rows: int | None) -> dict[str, Any]:
    """Settings of groups, conditional importance and Shapley values; what wasn't asked for is left out."""
    found: dict[str, Any] = {}
    if groups:
        found["groups"] = {name: list(members) for name, members in groups.items()}
    if given is not None:
        found["given"] = given if isinstance(given, str) else repr(given) if hasattr(given, "fit") else list(given)
    if shapley:
        found["shapley"] = "all rows" if shapley_rows is None else f"{shapley_rows} rows"
    return found
