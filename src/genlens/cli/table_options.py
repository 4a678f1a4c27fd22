"""How a data set becomes a table of concepts and captions: options, and the table they describe."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genlens.cli.grammar import split_names, split_pairs
from genlens.cli.options import DATA
from genlens.cli.texts import with_mentions, with_section
from genlens.errors import UserError

if TYPE_CHECKING:
    from genlens.concepts import ConceptTable
    from genlens.importance.result import Analysis
    from genlens.leakage import MentionRule


class Values(StrEnum):
    """What a concept of a COCO file holds."""

    presence = "presence"
    counts = "counts"


@dataclass(frozen=True)
class TableOptions:
    """A table of rows with captions."""

    coco: Annotated[
        Path | None, typer.Option(help="Annotations in COCO's format (instances_*.json).", rich_help_panel=DATA)
    ] = None
    values: Annotated[
        Values, typer.Option(help="With --coco: presence or counts of a category.", rich_help_panel=DATA)
    ] = Values.presence
    kinds: Annotated[
        str | None,
        typer.Option(
            help="Kinds that differ from what is inferred, such as age=number,view=category "
            "(binary, count, category, number, segment).",
            rich_help_panel=DATA,
        ),
    ] = None
    text: Annotated[
        list[str] | None,
        typer.Option(help="name=column: what the caption says where the concept is on. Repeatable.",
                     rich_help_panel=DATA),
    ] = None  # fmt: skip
    caption: Annotated[
        str | None,
        typer.Option(help="Caption template: list, fields, or a list with its own item, 'list:1 {name}'.",
                     rich_help_panel=DATA),
    ] = None  # fmt: skip
    context: Annotated[
        str | None, typer.Option(help="Column with text that every caption of the row contains.", rich_help_panel=DATA)
    ] = None
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave out rows whose image cannot be read.", rich_help_panel=DATA)
    ] = False
    max_rows: Annotated[
        int | None, typer.Option(min=2, help="Use a random subset of at most this many rows.", rich_help_panel=DATA)
    ] = None

    def read(
        self,
        data: Path,
        concepts: str,
        label: str | None,
        seed: int,
        *,
        cluster: str | None = None,
        watch: str | None = None,
    ) -> ConceptTable:
        """Read the table.

        Args:
            data: folder of the metadata; with `coco`, of the images.
            concepts: names, separated by commas.
            label: column that the model predicts; None: the table has no label.
            seed: of the subset of `max_rows`.
            cluster: column that groups rows.
            watch: names of concepts that aren't permuted, separated by commas.

        Raises:
            UserError: an option does not fit the data, or the data are not in order.
        """
        from genlens.captions import template_from_spec
        from genlens.concepts import ConceptTable

        template = None if self.caption is None else template_from_spec(self.caption)
        if self.coco is not None:
            self._refuse_metadata_options(cluster, watch)
            table = ConceptTable.from_coco(
                self.coco, data, split_names(concepts), label, self.values.value, template=template,
                skip_unreadable=self.skip_unreadable,
            )  # fmt: skip
        else:
            kinds: Any = split_pairs("--kinds", split_names(self.kinds or ""))
            table = ConceptTable.from_metadata(
                data, split_names(concepts), label, kinds=kinds or None,
                texts=split_pairs("--text", self.text or ()) or None, context=self.context, cluster=cluster,
                watch=split_names(watch or ""), template=template, skip_unreadable=self.skip_unreadable,
            )  # fmt: skip
        return table if self.max_rows is None else _subset(table, self.max_rows, seed)

    def _refuse_metadata_options(self, cluster: str | None, watch: str | None) -> None:
        given = {
            "--kinds": self.kinds, "--text": self.text, "--context": self.context, "--cluster": cluster,
            "--watch": watch,
        }  # fmt: skip
        for option, value in given.items():
            if value:
                raise UserError(f"`{option}` needs a metadata file; with --coco leave it out.")


@dataclass(frozen=True)
class RankedTableOptions(TableOptions):
    """A table whose concepts are permuted."""

    cluster: Annotated[
        str | None,
        typer.Option(help="Column that groups rows, such as a patient; intervals respect it.", rich_help_panel=DATA),
    ] = None
    watch: Annotated[
        str | None,
        typer.Option(
            help="Columns of concepts that are not permuted but looked for in the images, separated by commas.",
            rich_help_panel=DATA,
        ),
    ] = None
    section: Annotated[
        str | None,
        typer.Option(
            help="Section of the reports in --context, or several in order of choice: findings,impression.",
            rich_help_panel=DATA,
        ),
    ] = None
    mentions: Annotated[
        str,
        typer.Option(
            help="Permuted concepts that the text of --context mentions: report, mask, or a JSON file of rules.",
            rich_help_panel=DATA,
        ),
    ] = "report"

    def read_with_notes(
        self, data: Path, concepts: str, label: str | None, seed: int
    ) -> tuple[ConceptTable, tuple[MentionRule, ...], list[Analysis]]:
        """Read the table and do what `section` and `mentions` ask for; as `read`.

        Returns:
            The table, the user's rules of mentions, and what was done with the text.
        """
        table = self.read(data, concepts, label, seed, cluster=self.cluster, watch=self.watch)
        table, chosen = with_section(table, self.section)
        table, rules, masked = with_mentions(table, self.mentions)
        return table, rules, [*chosen, *masked]


def _subset(table: ConceptTable, max_rows: int, seed: int) -> ConceptTable:
    """Return at most `max_rows` rows, drawn without replacement and kept in the table's order."""
    import numpy as np

    if table.n_rows <= max_rows:
        return table
    rows = np.random.default_rng(seed).choice(table.n_rows, max_rows, replace=False)
    return table.take(np.sort(rows))
