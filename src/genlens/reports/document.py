"""Sections of text, tables and figures as a document: the same as Markdown and as one self-contained HTML file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from genlens._version import __version__
from genlens.files import write_atomic


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: what it shows, one line.
        columns: names; the first column is that of the rows' names.
        rows: as many cells as columns each.
        short: whether the Markdown has it too; long tables stand in the HTML report only.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    short: bool = True


@dataclass(frozen=True)
class Picture:
    """A figure in a PNG file.

    Attributes:
        path: the file.
        text: what it shows, one line.
    """

    path: Path
    text: str


@dataclass(frozen=True)
class Section:
    """A part of the document.

    Attributes:
        title: its heading.
        paragraphs: plain text.
        tables: shown below the text.
        pictures: shown below the tables.
    """

    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


def to_markdown(sections: Sequence[Section], folder: str, level: int = 3) -> str:
    """The document as Markdown.

    Args:
        sections: its parts.
        folder: where the figures are, as links name it.
        level: of the headings.
    """
    parts: list[str] = []
    for section in sections:
        parts.append(f"{'#' * level} {section.title}")
        parts += section.paragraphs
        parts += [_markdown_table(table) for table in section.tables if table.short]
        parts += [f"![{picture.text}]({folder}/{picture.path.name})" for picture in section.pictures]
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Table) -> str:
    lines = [table.columns, ("---",) * len(table.columns), *table.rows]
    cells = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([f"{table.title}:", "", *cells])


def write_html(title: str, support: str, sections: Sequence[Section], path: Path, *, kind: str = "experiment") -> None:
    """Write the document as one HTML file with its figures inside, without scripts and links to anything outside.

    Args:
        title: its headline.
        support: the sentence below it.
        sections: its parts.
        path: the file; it appears whole or not at all.
        kind: what the document is, beside the name in its head.
    """
    environment = Environment(
        loader=PackageLoader("genlens.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["uri"] = _uri
    page = environment.get_template("document.html.j2").render(
        title=title, support=support, sections=sections, version=__version__, kind=kind
    )
    write_atomic(path, page.encode())


def _uri(path: Path) -> Markup:
    return Markup(f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}")
