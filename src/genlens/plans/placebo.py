"""The placebo: captions edited so that they say the same, to see what the generator makes of the edit alone.

The edit is the reversed order of the concepts ("2 person, 1 couch" -> "1 couch, 2 person"; the context stays where it
is), in rows whose caption changes by it. Where their order never shows, because the caption is a sentence, a full stop
is put at its end (or taken away). A list that never names two concepts has no placebo.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from genlens.captions import FormatTemplate, reference_captions
from genlens.columns import Concept
from genlens.concepts import ConceptTable
from genlens.plan import ConceptStates, Extra, PlanBuilder
from genlens.plans.rows import drawn_rows

PLACEBO_ROWS = 200
"""Rows that get a placebo by default: the mean change of the score is then known to a few percent of its spread."""
REVERSED, FULL_STOP = "reversing the order of the concepts", "a full stop at the end"
"""What the edit is, in words."""


def placebo_extra(n_rows: int | None = PLACEBO_ROWS) -> Extra:
    """What `make_plan` needs for a placebo: one entry with two slots, the caption as it is and edited; or none.

    Its rows are those of `placebo_rows`; `index` and `states` have n rows.

    Args:
        n_rows: rows n to take, drawn by the seed among those whose caption can be edited; None: all of them.
    """
    return partial(_states, n_rows)


def placebo_edits(table: ConceptTable) -> tuple[str, tuple[str, ...]]:
    """What the edit is, and the N edited captions; those that can't be edited are as they were."""
    texts = reference_captions(table)
    backwards = _Backwards(tuple(reversed(table.concepts)), table.context)
    edited = tuple(table.caption_template(backwards, row) for row in range(table.n_rows))
    if edited == texts and isinstance(table.caption_template, FormatTemplate):
        stopped = (text.removesuffix(".") if text.endswith(".") else f"{text}." if text else "" for text in texts)
        return FULL_STOP, tuple(stopped)
    return REVERSED, edited


def placebo_rows(table: ConceptTable, seed: int, n_rows: int | None = PLACEBO_ROWS) -> NDArray[np.int64]:
    """Rows (n,) that get a placebo, in the table's order."""
    edited = placebo_edits(table)[1]
    able = np.array([row for row, text in enumerate(reference_captions(table)) if text != edited[row]], dtype=np.int64)
    return able[drawn_rows([table.row_ids[row] for row in able], seed, "placebo", n_rows)]


@dataclass(frozen=True)
class _Backwards:
    """A table as a caption template sees it, its concepts in another order."""

    concepts: tuple[Concept, ...]
    context: tuple[str, ...] | None


def _states(n_rows: int | None, builder: PlanBuilder) -> tuple[ConceptStates, ...]:
    rows = placebo_rows(builder.table, builder.seed, n_rows)
    if not len(rows):
        return ()
    kind, edited = placebo_edits(builder.table)
    images = [
        [builder.images(row, builder.texts[row]), builder.images(row, edited[row], "placebo")] for row in rows.tolist()
    ]
    zeros = np.zeros(len(rows), dtype=np.int64)
    states = np.broadcast_to(np.array(["as it is", kind], dtype=object), (len(rows), 2))
    index = np.array(images, dtype=np.int64)  # (n, 2, R)
    return (ConceptStates("placebo", index, zeros[:2], np.array([len(rows)]), zeros, ("either",), states),)
