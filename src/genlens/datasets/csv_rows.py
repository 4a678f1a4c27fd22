"""Rows of csv files that others made, each with its place for messages."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from genlens.errors import UserError


def csv_rows(
    file: Path, columns: Sequence[str], hint: str, *, encoding: str = "utf-8"
) -> Iterator[tuple[Mapping[str, str | None], str]]:
    """Rows of a csv file by column, each with "file, line n".

    Args:
        file: that exists.
        columns: that it must have.
        hint: what to do where one is missing.
        encoding: of the text.

    Raises:
        UserError: a column is missing, or it is no csv text.
    """
    with file.open(newline="", encoding=encoding) as stream:
        reader = csv.DictReader(stream)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise UserError(f"{file} has no column {', '.join(missing)}. {hint}")
        try:
            for row in reader:
                yield row, f"{file}, line {reader.line_num}"
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{file} is no csv text: {error}.") from error
