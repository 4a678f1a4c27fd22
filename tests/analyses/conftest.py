"""Audits without images: the target's score of an image is read off its caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from genlens.audit import Audit
from genlens.columns import Kind
from genlens.concepts import Concept, ConceptTable
from genlens.metrics import get_scoring
from genlens.plan import make_plan
from genlens.plans.dependence import dependence_extras

KINDS: dict[str, Kind] = {"i": "binary", "f": "number", "O": "category"}


def audit_of(
    columns: Mapping[str, Any],
    weights: Mapping[str, float],
    *,
    scoring: str = "roc_auc",
    kinds: Mapping[str, Kind] | None = None,
    labels: Any = None,
    clusters: Any = None,
    noise: float = 0.3,
    groups: Mapping[str, list[str]] | None = None,
    given: Any = None,
    shapley: bool = False,
    shapley_rows: int | None = None,
) -> Audit:
    """An audit of a model that adds up the weights of the words in a caption, with noise that a row keeps."""
    columns = {name: np.asarray(values) for name, values in columns.items()}
    n_rows = len(next(iter(columns.values())))
    kinds = {name: KINDS[values.dtype.kind] for name, values in columns.items()} | dict(kinds or {})
    concepts = tuple(Concept(name, kinds[name], values) for name, values in columns.items())
    table = ConceptTable(tuple(f"row {i}" for i in range(n_rows)), concepts, clusters=clusters)
    plan = make_plan(table, 0, extras=dependence_extras(table, groups, shapley, shapley_rows))
    seeds = np.unique(plan.seeds, return_inverse=True)[1]
    rest = np.random.default_rng(0).normal(0, noise, n_rows)[seeds]
    outputs = rest + [sum(weight for word, weight in weights.items() if word in text) for text in plan.captions]
    if labels is None:
        reference = outputs[plan.reference[:, 0]]
        labels = (reference + np.random.default_rng(1).normal(0, 0.5, n_rows) > np.median(reference)).astype(int)
    return Audit(
        table.with_labels(labels), plan, np.asarray(labels), get_scoring(scoring), outputs, None, None, None, 0.95, 0,
        n_repeats=5, groups=groups or {}, given=given,
    )  # fmt: skip


@pytest.fixture
def make_audit() -> Callable[..., Audit]:
    """Build an audit."""
    return audit_of


@pytest.fixture
def pair_of() -> Callable[..., dict[str, np.ndarray]]:
    """Three binary concepts; "tv" follows "cup" with the correlation asked for, "bed" is independent."""

    def build(n_rows: int, correlation: float, seed: int = 0) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        cup, bed = rng.integers(0, 2, n_rows), rng.integers(0, 2, n_rows)
        tv = np.where(rng.random(n_rows) < correlation, cup, rng.integers(0, 2, n_rows))
        return {"cup": cup, "tv": tv, "bed": bed}

    return build
