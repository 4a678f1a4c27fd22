"""Row -> caption, by one template a table.

A template is any object with `spec()` and `__call__(table, row, overrides)`; the three here cover the captions of the
paper: "2 person, 1 couch"; "Age: 1, BMI: 0, Sex: 1, Findings: …"; "red circle (12, 40) 9, blue rectangle (3, 9) 8 6".
An empty caption is legal: it is what a row without concepts has.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from string import Formatter
from typing import Any, Literal, Protocol, get_args

from genlens.columns import Concept
from genlens.errors import CaptionError, UserError

ContextPlace = Literal["after", "before", "none"]
"""Where a row's fixed context text goes in a caption that lists concepts."""

_BLANK_BEFORE_MARK = re.compile(r"\s+([,.;:])")
NO_OVERRIDES: Mapping[str, Any] = {}


class Captioned(Protocol):
    """What a template needs of a `ConceptTable`."""

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts in caption order."""

    @property
    def context(self) -> tuple[str, ...] | None:
        """A fixed text a row."""


class CaptionTemplate(Protocol):
    """Turns a row into text. `spec()` identifies it: equal specs must make equal captions."""

    def spec(self) -> dict[str, Any]:
        """Return the template as plain data, accepted by `template_from_spec`."""

    def __call__(self, table: Captioned, row: int, overrides: Mapping[str, Any] = NO_OVERRIDES) -> str:
        """Return the caption of `row`, with `overrides` (concept name -> value) in place of the row's own values."""


class PieceTemplate(ABC):
    """A template that says one thing of each concept, so that another value changes one piece of the caption only."""

    @abstractmethod
    def piece(self, concept: Concept, row: int, value: Any) -> str | None:
        """What the caption of `row` says of one concept; None: nothing."""

    @abstractmethod
    def join(self, pieces: Sequence[str | None], context: str, concepts: Sequence[Concept]) -> str:
        """The caption made of the pieces of all concepts."""

    def __call__(self, table: Captioned, row: int, overrides: Mapping[str, Any] = NO_OVERRIDES) -> str:
        """Return the caption of `row`."""
        pieces = [self.piece(c, row, overrides.get(c.name, c.values[row])) for c in table.concepts]
        return self.join(pieces, _context(table, row), table.concepts)


@dataclass(frozen=True)
class ListTemplate(PieceTemplate):
    """Names what is present, joined: ``"2 person, 1 couch"``. Absent concepts are left out.

    Each kind has a pattern with the fields {name} and {value}.

    Attributes:
        binary: of a concept that is on; the row's own text goes before it where the concept has texts.
        count: of a count > 0.
        number: of a number.
        category: of a category.
        segment: of a segment that isn't empty.
        separator: between the parts.
        context: where the row's context text goes.
        texts: False: presence only, even where concepts have texts.

    Raises:
        UserError: a pattern has another field, or `context` is no place.
    """

    binary: str = "{name}"
    count: str = "{value} {name}"
    number: str = "{name} {value}"
    category: str = "{value}"
    segment: str = "{value}"
    separator: str = ", "
    context: ContextPlace = "after"
    texts: bool = True

    def __post_init__(self) -> None:
        for kind in ("binary", "count", "number", "category", "segment"):
            _check_pattern(kind, getattr(self, kind))
        if self.context not in get_args(ContextPlace):
            raise UserError(f"`context` must be one of {', '.join(get_args(ContextPlace))}; got {self.context!r}.")

    def spec(self) -> dict[str, Any]:
        """Return the template as plain data."""
        return {"template": "list", **asdict(self)}

    def piece(self, concept: Concept, row: int, value: Any) -> str | None:
        """What the caption of `row` says of one concept; None: nothing."""
        if _is_absent(concept, value):
            return None
        if self.texts and concept.texts is not None:
            return str(concept.texts[row])
        pattern: str = getattr(self, concept.kind)
        return pattern.format(name=concept.name, value=plain(value))

    def join(self, pieces: Sequence[str | None], context: str, concepts: Sequence[Concept]) -> str:
        """The caption made of the pieces of all concepts."""
        parts = [piece for piece in pieces if piece is not None]
        if context and self.context != "none":
            parts.insert(0 if self.context == "before" else len(parts), context)
        return self.separator.join(parts)


@dataclass(frozen=True)
class FieldsTemplate(PieceTemplate):
    """Gives every concept with its value: ``"Age: 1, Sex: 0, Findings: no effusion"``.

    Attributes:
        field: pattern of a concept, with the fields {name} and {value}.
        separator: between the parts.
        context_field: name of the last field, which holds the row's context text; left out where that is empty.
        absent: what is said for a segment that isn't there.

    Raises:
        UserError: `field` has another field.
    """

    field: str = "{name}: {value}"
    separator: str = ", "
    context_field: str = "Findings"
    absent: str = "none"

    def __post_init__(self) -> None:
        _check_pattern("field", self.field)

    def spec(self) -> dict[str, Any]:
        """Return the template as plain data."""
        return {"template": "fields", **asdict(self)}

    def piece(self, concept: Concept, row: int, value: Any) -> str | None:
        """What the caption of `row` says of one concept."""
        return self.field.format(name=concept.name, value=plain(value) or self.absent)

    def join(self, pieces: Sequence[str | None], context: str, concepts: Sequence[Concept]) -> str:
        """The caption made of the pieces of all concepts."""
        parts = [piece for piece in pieces if piece is not None]
        if context:
            parts.append(self.field.format(name=self.context_field, value=context))
        return self.separator.join(parts)


@dataclass(frozen=True)
class FormatTemplate(PieceTemplate):
    """A sentence with concepts in braces: ``"a {age} year old person, {hat} {context}"``.

    A binary concept that is on gives its text or its name; a concept that is absent gives nothing, and the blanks
    around it are joined. {context} is the row's context text. Every concept of the table must be in the sentence.

    Attributes:
        sentence: the pattern; names are those of the columns, blanks included.

    Raises:
        UserError: `sentence` can't be read as a pattern.
        CaptionError: (when called) the sentence lacks a concept or names something that is none.
    """

    sentence: str

    def __post_init__(self) -> None:
        _fields("sentence", self.sentence)

    def spec(self) -> dict[str, Any]:
        """Return the template as plain data."""
        return {"template": "format", "sentence": self.sentence}

    def piece(self, concept: Concept, row: int, value: Any) -> str | None:
        """What the caption of `row` says of one concept; None: nothing."""
        return None if _is_absent(concept, value) else _word(concept, row, value)

    def join(self, pieces: Sequence[str | None], context: str, concepts: Sequence[Concept]) -> str:
        """The caption made of the pieces of all concepts."""
        words: dict[str, str | None] = {"context": context}
        words.update((concept.name, piece) for concept, piece in zip(concepts, pieces, strict=True))
        # Not str.format: a column's name may hold dots and brackets, which would be looked up in the value.
        parsed = _checked_sentence(self.sentence, tuple(words))
        filled = "".join(text + (words[name] or "" if name else "") for text, name in parsed)
        return _BLANK_BEFORE_MARK.sub(r"\1", " ".join(filled.split()))


class CaptionWriter:
    """Captions of one table, quickly: the row's own pieces are made once, an override replaces its own piece only.

    Args:
        table: a `ConceptTable`; a template that isn't made of pieces is called as it is.
    """

    def __init__(self, table: Any) -> None:
        self._table = table
        template = table.caption_template
        self._template = template if isinstance(template, PieceTemplate) else None
        self._places = {concept.name: place for place, concept in enumerate(table.concepts)}
        self._known: dict[tuple[int, Any], str | None] = {}
        self._own: list[list[str | None]] = []
        if self._template is not None:
            values = [concept.values.tolist() for concept in table.concepts]
            self._own = [
                [self._piece(self._template, place, row, own[row]) for place, own in enumerate(values)]
                for row in range(table.n_rows)
            ]

    def text(self, row: int, overrides: Mapping[str, Any] = NO_OVERRIDES) -> str:
        """Caption of a row, with `overrides` (concept name -> value) in place of its own values."""
        if self._template is None:
            return caption(self._table, row, overrides)
        pieces = self._own[row]
        if overrides:
            pieces = pieces.copy()
            for name, value in overrides.items():
                if name in self._places:
                    place = self._places[name]
                    pieces[place] = self._piece(self._template, place, row, value)
        return self._template.join(pieces, _context(self._table, row), self._table.concepts)

    def _piece(self, template: PieceTemplate, place: int, row: int, value: Any) -> str | None:
        """A piece; one that doesn't hang on the row is made once."""
        concept = self._table.concepts[place]
        if concept.texts is not None:
            return template.piece(concept, row, value)
        key = (place, value)
        if key not in self._known:
            self._known[key] = template.piece(concept, row, value)
        return self._known[key]


def plain(value: Any) -> str:
    """A value as a caption writes it: whole numbers without a point, others as short as is exact."""
    if isinstance(value, str):
        return value
    number = float(value)
    return str(int(number)) if number == int(number) else repr(number)


def caption(table: Any, row: int, overrides: Mapping[str, Any] = NO_OVERRIDES) -> str:
    """Caption of one row by the table's own template.

    Args:
        table: a `ConceptTable`.
        row: index of the row.
        overrides: concept name -> value that takes the place of the row's own.
    """
    text: str = table.caption_template(table, row, overrides)
    return text


def reference_captions(table: Any) -> tuple[str, ...]:
    """Captions of all rows of a `ConceptTable` with their own values."""
    writer = CaptionWriter(table)
    return tuple(writer.text(row) for row in range(table.n_rows))


def template_from_spec(spec: Mapping[str, Any] | str) -> CaptionTemplate:
    """Make a template from `CaptionTemplate.spec()` or from a short text.

    Texts: "list", "list:PATTERN" (of binary concepts, e.g. "list:1 {name}"), "presence" (a list that ignores texts),
    "fields", "fields:PATTERN", "format:SENTENCE".

    Raises:
        UserError: the text or the data name no template.
    """
    if isinstance(spec, str):
        name, _, pattern = spec.partition(":")
        key = {"list": "binary", "presence": "binary", "fields": "field", "format": "sentence"}.get(name)
        data: dict[str, Any] = {key: pattern} if key and pattern else {}
        if name == "presence":
            name, data["texts"] = "list", False
    else:
        data = {key: value for key, value in spec.items() if key != "template"}
        name = str(spec.get("template"))
    maker = {"list": ListTemplate, "fields": FieldsTemplate, "format": FormatTemplate}.get(name)
    try:
        if maker is not None:
            template: CaptionTemplate = maker(**data)
            return template
    except TypeError as error:
        raise UserError(f"`caption` {spec!r} doesn't fit the template {name!r}: {error}.") from error
    raise UserError(
        f"`caption` must be list, list:PATTERN, presence, fields, fields:PATTERN or format:SENTENCE; got {spec!r}."
    )


@cache
def _checked_sentence(sentence: str, words: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
    """Texts of a sentence, each with the name in braces after it.

    Raises:
        CaptionError: the sentence lacks a concept or names something that is none.
    """
    used = _fields("sentence", sentence)
    strange, unused = used - set(words), set(words) - used - {"context"}
    if strange:
        names = ", ".join(words)
        raise CaptionError(f"`sentence` names {sorted(strange)[0]!r}, which is no concept. Concepts: {names}.")
    if unused:
        raise CaptionError(f"`sentence` lacks the concept {sorted(unused)[0]!r}; put it in braces somewhere.")
    return tuple((text, name) for text, name, _, _ in Formatter().parse(sentence))


def _is_absent(concept: Concept, value: Any) -> bool:
    return concept.kind in ("binary", "count", "segment") and not value


def _word(concept: Concept, row: int, value: Any) -> str:
    if concept.kind == "binary":
        return concept.name if concept.texts is None else str(concept.texts[row])
    return plain(value)


def _context(table: Captioned, row: int) -> str:
    return "" if table.context is None else table.context[row]


def _fields(parameter: str, pattern: str) -> set[str]:
    """Names in braces."""
    try:
        return {name for _, name, _, _ in Formatter().parse(pattern) if name is not None}
    except ValueError as error:
        raise UserError(f"`{parameter}` must be text with names in braces; got {pattern!r} ({error}).") from error


def _check_pattern(parameter: str, pattern: str) -> None:
    if not _fields(parameter, pattern) <= {"name", "value"}:
        raise UserError(f"`{parameter}` may use the fields {{name}} and {{value}} only; got {pattern!r}.")
