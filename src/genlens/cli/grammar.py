"""The small grammars of options' values: lists, pairs, groups, doses."""

from __future__ import annotations

from collections.abc import Sequence

from genlens.errors import UserError


def split_names(text: str) -> list[str]:
    """``"person, tv"`` -> ``["person", "tv"]``; empty parts are left out."""
    return [part.strip() for part in text.split(",") if part.strip()]


def split_groups(parts: Sequence[str] | None) -> dict[str, list[str]]:
    """``["red=red circle,red rectangle"]`` -> ``{"red": ["red circle", "red rectangle"]}``."""
    return {name: split_names(members) for name, members in split_pairs("--group", parts or ()).items()}


def split_given(text: str | None) -> str | list[str] | None:
    """``"model"``, ``"boosting"`` and ``"others"`` as they are; anything else is a list of concepts."""
    return text if text in (None, "model", "boosting", "others") else split_names(text)


def split_doses(count: int | None, parts: Sequence[str] | None) -> int | dict[str, list[float]] | None:
    """``["age=20,40"]`` -> ``{"age": [20.0, 40.0]}``; a count of values as it is.

    Raises:
        UserError: both are given, or a value isn't a number.
    """
    if not parts:
        return count
    if count is not None:
        raise UserError("Give either `--doses` (for all numbers and counts) or `--dose` (for those named), not both.")
    doses = {}
    for name, texts in split_pairs("--dose", parts).items():
        try:
            doses[name] = [float(text) for text in split_names(texts)]
        except ValueError as error:
            raise UserError(f"`--dose` must list numbers, such as age=20,40,60; got {name}={texts}.") from error
    return doses


def split_pairs(option: str, parts: Sequence[str]) -> dict[str, str]:
    """``["age=number"]`` -> ``{"age": "number"}``.

    Args:
        option: the option's name, for the message.
        parts: texts of the form name=value.

    Raises:
        UserError: a part is not of that form, or a name comes twice.
    """
    pairs: dict[str, str] = {}
    for part in parts:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise UserError(f"`{option}` must have the form name=value; got {part!r}.")
        if name in pairs:
            raise UserError(f"`{option}` names {name!r} twice; give it one value.")
        pairs[name] = value
    return pairs
