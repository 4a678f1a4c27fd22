"""ConceptTable: what is known about the rows of a data set, checked once, at the door."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genlens.annotation import Annotation
from genlens.captions import CaptionTemplate, ListTemplate
from genlens.columns import Concept as Concept
from genlens.columns import Kind as Kind
from genlens.columns import describe_rows
from genlens.errors import UserError
from genlens.labels import Task as Task
from genlens.labels import label_values

if TYPE_CHECKING:
    import pandas as pd


class TableOptions(TypedDict, total=False):
    """Options of `ConceptTable.from_frame` and `ConceptTable.from_metadata`."""

    kinds: Mapping[str, Kind] | None
    """Kinds of concepts; those not named are inferred (`genlens.columns.infer_kind`)."""
    texts: Mapping[str, str] | None
    """Binary concept -> the column with its text in each row. None: "<concept> slot" where there is such a column."""
    context: str | None
    """Column with text that belongs to the caption and is never permuted; a missing one is empty."""
    row_id: str | None
    """Column with unique names of the rows, "file_name" by default. None: the index of the DataFrame."""
    cluster: str | None
    """Column whose equal values mark rows that belong together, such as a patient's."""
    watch: Sequence[str]
    """Further columns of concepts that the checks look for in the images, though no caption permutes them."""
    template: CaptionTemplate | None
    """How captions are made; None: a `ListTemplate`."""
    task: Task | None
    """What the labels are; None: inferred (`genlens.labels.label_values`)."""
    skip_unreadable: bool
    """Leave out rows whose image is missing or can't be read, instead of an error; see `ConceptTable.skipped`."""


@dataclass(frozen=True, eq=False)
class ConceptTable:
    """N rows with D concepts, labels, context and images.

    Usually made by `from_metadata`, `from_frame` or `from_coco`.

    Attributes:
        row_ids: N unique names; noise seeds hang on them.
        concepts: D concepts in caption order.
        labels: (N,) int64 classes or float64 numbers, or None (see `with_labels`). Other values are coded, see
            `genlens.labels.label_values`.
        label_name: what the labels are called.
        task: "binary", "multiclass" or "regression"; None: inferred from the labels ("binary" without labels).
        context: N texts that belong to the caption and are never permuted, or None.
        image_paths: N paths of the real images, or None.
        masks: row -> bool (D, H, W), where each concept is in the real image, or None.
        clusters: (N,) int64, rows that belong together, such as a patient's, or None.
        source: where the table comes from, for messages and reports.
        caption_template: makes captions from rows.
        classes: names of the label's classes, in the order of their codes.
        skipped: file names left out because they couldn't be read.
        annotation: what is known of labels that a model gave, or None.
        watched: W further concepts that aren't permuted; the checks look whether they move along.

    Raises:
        UserError: lengths that differ, names that occur twice, a missing label or a label of one class.
    """

    row_ids: tuple[str, ...]
    concepts: tuple[Concept, ...]
    labels: NDArray[Any] | None = None
    label_name: str = "label"
    task: Task | None = None
    context: tuple[str, ...] | None = None
    image_paths: tuple[Path, ...] | None = None
    masks: Callable[[int], NDArray[np.bool_]] | None = None
    clusters: NDArray[np.int64] | None = None
    source: str = "table"
    caption_template: CaptionTemplate = field(default_factory=ListTemplate)
    classes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    annotation: Annotation | None = None
    watched: tuple[Concept, ...] = ()

    def __post_init__(self) -> None:
        """Check the table and code its labels."""
        _refuse_repeated("row_ids", self.row_ids)
        _refuse_repeated("concepts", self.detected_names)
        if not self.concepts:
            raise UserError("`concepts` must name at least one concept; got none.")
        lengths = {f"concept {c.name!r}": len(c.values) for c in (*self.concepts, *self.watched)}
        for name in ("labels", "context", "image_paths", "clusters"):
            if getattr(self, name) is not None:
                lengths[name] = len(getattr(self, name))
        for name, length in lengths.items():
            if length != self.n_rows:
                raise UserError(f"{name} must have one entry for each of {self.n_rows} rows; got {length}.")
        if self.labels is None:
            object.__setattr__(self, "task", self.task or "binary")
        elif not self.classes:
            labels, task, classes = label_values(self.label_name, self.labels, self.task, self.row_ids)
            for name, value in (("labels", labels), ("task", task), ("classes", classes)):
                object.__setattr__(self, name, value)
        elif len(np.unique(self.labels)) < 2:
            raise UserError(f"Label {self.label_name!r} has one class only, so nothing can be scored. Take more rows.")

    @property
    def n_rows(self) -> int:
        """Number of rows, N."""
        return len(self.row_ids)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the D concepts."""
        return tuple(concept.name for concept in self.concepts)

    @property
    def detected_names(self) -> tuple[str, ...]:
        """Names of the D + W concepts that a concept classifier is asked for: the permuted ones, then the watched."""
        return (*self.names, *(concept.name for concept in self.watched))

    def concept(self, name: str) -> Concept:
        """Return the concept of that name.

        Raises:
            UserError: there is none.
        """
        for concept in self.concepts:
            if concept.name == name:
                return concept
        raise UserError(f"{name!r} is no concept of {self.source}. Concepts: {', '.join(self.names)}.")

    def presence(self) -> NDArray[np.bool_]:
        """Bool (N, D): which concepts each row has; categories and numbers are always there."""
        return np.stack([concept.present for concept in self.concepts], axis=1)

    def detected_presence(self) -> NDArray[np.bool_]:
        """Bool (N, D + W): the same with the watched concepts."""
        return np.stack([concept.present for concept in (*self.concepts, *self.watched)], axis=1)

    def take(self, rows: ArrayLike) -> ConceptTable:
        """Return a table of some rows.

        Args:
            rows: indices, or bool (N,).

        Raises:
            UserError: in these rows a concept is constant, the label has one class, or a row occurs twice.
        """
        index = np.arange(self.n_rows)[np.asarray(rows)]
        masks = self.masks
        return replace(
            self,
            row_ids=tuple(self.row_ids[i] for i in index),
            concepts=tuple(concept.take(index) for concept in self.concepts),
            watched=tuple(concept.take(index) for concept in self.watched),
            labels=None if self.labels is None else self.labels[index],
            context=None if self.context is None else tuple(self.context[i] for i in index),
            image_paths=None if self.image_paths is None else tuple(self.image_paths[i] for i in index),
            masks=None if masks is None else lambda row: masks(int(index[row])),
            clusters=None if self.clusters is None else self.clusters[index],
        )

    def with_labels(self, labels: ArrayLike, name: str = "label", task: Task | None = None) -> ConceptTable:
        """Return the same rows with other labels, such as the classifier's own output on the real images.

        Args:
            labels: N values.
            name: what they are called.
            task: None: inferred.

        Raises:
            UserError: as for the labels of a new table.
        """
        return replace(self, labels=np.asarray(labels), label_name=name, task=task, classes=())

    # The one place where this module looks to its right: readers build on tables, and users start from tables.

    @classmethod
    def from_frame(
        cls,
        df: pd.DataFrame,
        concepts: Sequence[str],
        label: str | None = None,
        *,
        image_root: str | Path | None = None,
        **options: Unpack[TableOptions],
    ) -> ConceptTable:
        """Make a table from a DataFrame; see `genlens.datasets.tables.table_from_frame`."""
        from genlens.datasets.tables import table_from_frame

        return table_from_frame(df, concepts, label, image_root=image_root, **options)

    @classmethod
    def from_metadata(
        cls, folder: str | Path, concepts: Sequence[str], label: str | None = None, **options: Unpack[TableOptions]
    ) -> ConceptTable:
        """Make a table from an imagefolder; see `genlens.datasets.imagefolder.table_from_metadata`."""
        from genlens.datasets.imagefolder import table_from_metadata

        return table_from_metadata(folder, concepts, label, **options)

    @classmethod
    def from_coco(
        cls,
        instances_json: str | Path,
        image_folder: str | Path,
        concepts: Sequence[str],
        label: str | Mapping[str, Any] | pd.Series[Any] | None = None,
        values: Literal["presence", "counts"] = "presence",
        *,
        template: CaptionTemplate | None = None,
        skip_unreadable: bool = False,
    ) -> ConceptTable:
        """Make a table from COCO annotations; see `genlens.datasets.coco.table_from_coco`."""
        from genlens.datasets.coco import table_from_coco

        return table_from_coco(
            instances_json, image_folder, concepts, label, values, template=template, skip_unreadable=skip_unreadable
        )


def _refuse_repeated(what: str, names: Sequence[str]) -> None:
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        where = describe_rows([i for i, name in enumerate(names) if name == repeated[0]], None)
        found = f"{repeated[0]!r} twice" if what == "concepts" else f"{repeated[0]!r} in {where}"
        raise UserError(f"`{what}` must be unique; got {found}. Rename or drop the repeated ones.")
