"""Rendering the flips of some rows only: a fixed number, or block after block until the ranking is separated.

Reference images are rendered for all rows. The rows whose flips are rendered come in an order that is a hash of the
seed and their ids, so they are a random sample, the same for all concepts, and a run that goes on takes up the same
rows. What the images say is worked out by `genlens.importance.difference` and `genlens.importance.sequential`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.audit import Audit
from genlens.concepts import ConceptTable
from genlens.errors import UserError, check_integer
from genlens.importance.difference import (
    PartialStates,
    difference_importance,
    influence_parts,
    refuse_without_closed_form,
)
from genlens.importance.inference import check_confidence
from genlens.importance.result import Analysis
from genlens.importance.sequential import FIRST_LOOK, Looks, Separation, look_sizes
from genlens.importance.states import StateScores
from genlens.importance.surrogate import predict_states
from genlens.metrics import Scoring
from genlens.plan import ConceptStates, Plan
from genlens.seeds import row_seed

FEWEST_ROWS = 20
"""Rows whose flips must be rendered at least."""
MIN_IMPORTANCE = 0.01
"""Concepts below this importance need not be told apart, unless the user says otherwise."""

ScoreImages = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Renders and scores images, given by their numbers: (K,) -> (K,) target scores or (K, C) outputs."""


@dataclass(frozen=True)
class Budget:
    """Whose flips are rendered.

    Args:
        rows: random rows of each concept; None: block after block, until the ranking is separated.
        min_importance: importance below which concepts need not be told apart; 0: all must be.
    """

    rows: int | None
    min_importance: float = MIN_IMPORTANCE


def flip_budget(
    flip_rows: int | None,
    stop_when_separated: bool,
    min_importance: float,
    n_rows: int,
    scoring: Scoring,
    confidence: float,
) -> Budget | None:
    """Check what the user asked for; None where all flips are to be rendered.

    Raises:
        UserError: a number is out of range, both ways were asked for, or the score has no closed form.
    """
    if min_importance < 0:
        raise UserError(f"`min_importance` must be >= 0; got {min_importance}.")
    if flip_rows is None and not stop_when_separated:
        return None
    refuse_without_closed_form(scoring)
    check_confidence(confidence)
    if flip_rows is None:
        return Budget(None, min_importance)
    if stop_when_separated:
        raise UserError("Give either `flip_rows` or `stop_when_separated`, not both.")
    if not FEWEST_ROWS <= check_integer("flip_rows", flip_rows, 1) <= n_rows:
        raise UserError(f"`flip_rows` must lie between {FEWEST_ROWS} and the table's {n_rows} rows; got {flip_rows}.")
    return Budget(flip_rows, min_importance)


@dataclass(frozen=True, eq=False)
class Flips:
    """What was rendered, and what it says.

    Attributes:
        images: (K,) numbers of the rendered images.
        rows: (n_j,) for each of the D concepts, the rows with its flips.
        partials: D concepts' states.
        levels: (D,) nominal levels of the reported intervals.
        looks: when the data were looked at, or None for a fixed number of rows.
        separation: what is certain about the order, or None.
    """

    images: NDArray[np.int64]
    rows: tuple[NDArray[np.int64], ...]
    partials: tuple[PartialStates, ...]
    levels: tuple[float, ...]
    looks: Looks | None = None
    separation: Separation | None = None

    @property
    def n_looks(self) -> int:
        """Looks that were planned; 1 for a fixed number of rows."""
        return 1 if self.looks is None else len(self.looks.sizes)

    @property
    def common(self) -> NDArray[np.int64]:
        """Rows with the flips of all concepts, in the table's order."""
        return np.sort(min(self.rows, key=len))

    def audit(self, audit: Audit) -> Audit:
        """The audit of the rows that have all flips, for what needs every state of a row."""
        rows = self.common
        plan, images = restricted(audit.plan, rows)
        return replace(
            audit,
            table=audit.table.take(rows),
            plan=plan,
            y=audit.y[rows],
            outputs=audit.outputs[images],
            real=None if audit.real is None else audit.real[rows],
            concepts=None if audit.concepts is None else audit.concepts[images],
            real_concepts=None if audit.real_concepts is None else audit.real_concepts[rows],
        )


def render_flips(
    budget: Budget,
    table: ConceptTable,
    plan: Plan,
    y: NDArray[Any],
    scoring: Scoring,
    real: NDArray[np.float64] | None,
    score: ScoreImages,
    *,
    seed: int,
    confidence: float,
) -> Flips:
    """Render reference images of all rows, and flips as far as the budget says.

    Args:
        budget: whose flips.
        table: N rows with D concepts.
        plan: all images.
        y: (N,) labels.
        scoring: with a closed form.
        real: (N,) or (N, C) scores of the real images, features of the surrogate, or None.
        score: renders and scores images.
        seed: of the order of rows.
        confidence: level of the intervals and of all statements about the order together.

    Raises:
        UserError: in the rows chosen a concept is constant or there is one class only.
    """
    order = np.argsort([row_seed(seed, row_id, state="rows with flips") for row_id in table.row_ids])
    run = _Run(plan, scoring, y, table.clusters, _features(table, real), score)
    enough = _fewest_rows(table, y, scoring, order)
    if budget.rows is not None:
        if enough > budget.rows:
            raise UserError(
                f"`flip_rows`={budget.rows}: in these rows a concept or the label is constant; take {enough} or more."
            )
        run.render(range(len(plan.states)), order[: budget.rows])
        return run.flips([confidence] * len(plan.states))
    sizes = look_sizes(table.n_rows, max(FIRST_LOOK, enough))
    looks = Looks.plan(sizes, len(plan.states), confidence, budget.min_importance)
    separation = Separation(len(plan.states), looks)
    for number, size in enumerate(sizes):
        run.render(separation.open, order[:size])
        if not len(separation.look(number, *run.estimates(separation.open), table.clusters)):
            break
    levels = [float(looks.interval_levels[number]) for number in separation.stopped]
    return replace(run.flips(levels), looks=looks, separation=separation)


class _Run:
    """Images rendered so far and the estimates from them."""

    def __init__(
        self,
        plan: Plan,
        scoring: Scoring,
        y: NDArray[Any],
        clusters: NDArray[np.int64] | None,
        features: NDArray[np.float64],
        score: ScoreImages,
    ) -> None:
        self._plan, self._scoring, self._clusters, self._features = plan, scoring, clusters, features
        self._score = score
        self._rows: dict[int, NDArray[np.int64]] = {}
        self._images = np.unique(plan.reference)
        scores = score(self._images)
        self._outputs = np.full((plan.n_images, *scores.shape[1:]), np.nan)
        self._outputs[self._images] = scores
        self._y = scoring.codes(y, self._reference[:, 0])

    @property
    def _reference(self) -> NDArray[np.float64]:
        return np.asarray(self._outputs[self._plan.reference])

    def render(self, concepts: Any, rows: NDArray[np.int64]) -> None:
        """Render the flips of some concepts in some rows."""
        self._rows |= {int(j): rows for j in concepts}
        wanted = np.unique(np.concatenate([self._plan.states[j].index[rows].ravel() for j in concepts]))
        new = wanted[np.isnan(self._outputs.reshape(self._plan.n_images, -1)[wanted, 0])]
        if len(new):
            self._outputs[new] = self._score(new)
        self._images = np.union1d(self._images, wanted)

    def partial(self, j: int) -> PartialStates:
        """One concept's states, with the surrogate where they aren't rendered."""
        states, rows, reference = self._plan.states[j], self._rows[j], self._reference
        known = (states.index == self._plan.reference[:, None]).all(axis=2)  # (N, S)
        whole = StateScores.from_states(states, np.nan_to_num(self._outputs))
        true = self._outputs[states.index[rows]]
        scores = predict_states(self._features, reference, rows, true, known, whole.values)
        return PartialStates(replace(whole, scores=scores), rows, true)

    def estimates(
        self, concepts: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Importances (A,) of concepts and the influences (A, N) of rows through surrogate and correction."""
        arguments = [(self._y, self._reference, self.partial(j), self._scoring) for j in concepts]
        values = np.array([difference_importance(*given) for given in arguments])
        surrogates, corrections = zip(*(influence_parts(*given) for given in arguments), strict=True)
        return values, np.stack(surrogates), np.stack(corrections)

    def flips(self, levels: list[float]) -> Flips:
        """All that is rendered."""
        concepts = range(len(self._plan.states))
        rows = tuple(self._rows[j] for j in concepts)
        return Flips(self._images, rows, tuple(self.partial(j) for j in concepts), tuple(levels))


def _features(table: ConceptTable, real: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """(N, F) what the surrogate knows of every row: concepts as numbers, categories one by one, real scores."""
    columns: list[NDArray[Any]] = []
    for concept in table.concepts:
        if concept.kind == "category":
            columns += [concept.values == value for value in np.unique(concept.values)[1:]]
            continue
        columns.append(concept.present)
        if concept.kind in ("count", "number"):
            columns.append(concept.values)
    stacked = np.stack([column.astype(np.float64) for column in columns], axis=1)
    return stacked if real is None else np.concatenate([stacked, real.reshape(len(real), -1)], axis=1)


def _fewest_rows(table: ConceptTable, y: NDArray[Any], scoring: Scoring, order: NDArray[np.int64]) -> int:
    """Rows of the order until no concept is constant and, for the AUROC, each class has two rows; at least 20."""
    firsts = [FEWEST_ROWS]
    for concept in table.concepts:
        values = concept.values[order]
        firsts.append(int(np.argmax(values != values[0])) + 1)
    if scoring.kind == "auroc":
        for value in np.unique(y):
            firsts.append(int(np.flatnonzero(y[order] == value)[:2][-1]) + 1)
    return max(firsts)


def restricted(plan: Plan, rows: NDArray[np.int64]) -> tuple[Plan, NDArray[np.int64]]:
    """The plan of some rows, without extras.

    Args:
        plan: M images.
        rows: (n,) rows.

    Returns:
        The plan of these rows' images, and their numbers (m,) in the whole plan.
    """
    indices = [plan.reference[rows], *(states.index[rows] for states in plan.states)]
    images = np.unique(np.concatenate([index.ravel() for index in indices]))
    reference, *others = (np.searchsorted(images, index) for index in indices)
    states = tuple(_restricted_states(s, index, rows) for s, index in zip(plan.states, others, strict=True))
    return Plan(tuple(plan.captions[i] for i in images), plan.seeds[images], reference, states), images


def _restricted_states(
    states: ConceptStates, index: NDArray[np.int64], rows: NDArray[np.int64]
) -> ConceptStates:
    own = states.own[rows]
    counts = np.bincount(own, minlength=len(states.strata))
    return replace(states, index=index, counts=counts, own=own, states=states.states[rows])


def flips_analysis(flips: Flips, plan: Plan, reference: NDArray[np.float64]) -> Analysis:
    """What the images that weren't rendered cost in precision, and what is certain about the order.

    Args:
        flips: what was rendered.
        plan: all images.
        reference: (N, R) or (N, R, C) reference scores.
    """
    table = []
    ranks = None if flips.separation is None else flips.separation.ranks()
    for j, (partial, rows) in enumerate(zip(flips.partials, flips.rows, strict=True)):
        record: dict[str, Any] = {"concept": partial.concept, "rows": len(rows)}
        record["explained"] = _explained(partial, reference)
        if ranks is not None:
            record |= {"rank_best": int(ranks[0][j]), "rank_worst": int(ranks[1][j])}
        table.append(record)
    share = f"{len(flips.images):,} of the {plan.n_images:,} images were rendered"
    if flips.separation is None or flips.looks is None:
        message = (
            f"{share}: reference images of all {len(reference):,} rows and flips of {len(flips.rows[0]):,}. "
            "A surrogate predicts the other flips, and the rendered ones correct it."
        )
    else:
        certain, pairs = int(flips.separation.certain().sum()), len(flips.rows) * (len(flips.rows) - 1) // 2
        message = (
            f"{share}: rendering stopped where the order was certain, or would most likely have stayed open. "
            f"It is certain for {certain} of {pairs} pairs, all statements together with the run's confidence."
        )
        if small := int((flips.separation.side < 0).sum()):
            message += f" Below {flips.looks.bound:g}, and not told apart: {small} of {len(flips.rows)} concepts."
    return Analysis(
        "fewer-images",
        "Fewer images",
        message,
        table=table,
        reading="rows: rows whose flips were rendered; explained: share of the score's change that the surrogate "
        "explains in rows it was not fitted on. p-values use the rows of their concept; the check of independent "
        f"permutation and the other analyses the {len(flips.common):,} rows that have the flips of all concepts.",
    )


def _explained(partial: PartialStates, reference: NDArray[np.float64]) -> float | None:
    """Share of the squared change of the score that the surrogate explains in rendered rows; None without change."""
    change = partial.true - reference[partial.rows][:, None]
    left = partial.true - partial.surrogate.scores[partial.rows]
    total = float((change**2).sum())
    return 1 - float((left**2).sum()) / total if total > 0 else None
