"""Errors a user can mend (one clear line each), and the check of whole numbers that every module shares."""

from __future__ import annotations

import re
from numbers import Integral

_LONGEST = 2000
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters (escape sequences begin with one), line separators, marks that turn text round, surrogates."""


def printable(text: str) -> str:
    """Text of one line that a terminal shows and does not obey: what it would obey is written as an escape."""
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


class GenlensError(Exception):
    """Base class of every error genlens raises on purpose. Its text is one line, whatever was read from a file."""

    def __str__(self) -> str:
        """The message, printable, cut where a value in it is very long."""
        text = printable(re.sub(r"\s*[\r\n]\s*", " ", super().__str__()))
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 100]}… ({len(text):,} characters)"


class UserError(GenlensError, ValueError):
    """Something the user passed is wrong; the message says what, by which rule, and what to do."""


class RunFolderError(UserError):
    """A run folder was written with other settings, is in use, or is damaged."""


class CaptionError(UserError):
    """A caption can't be made, or the generator's text encoder can't take it whole."""


def check_integer(name: str, value: object, minimum: int) -> int:
    """Return `value` as an int.

    Args:
        name: the parameter, for the message.
        value: what the user passed.
        minimum: the smallest value allowed.

    Raises:
        UserError: `value` isn't a whole number (a bool isn't one) or is smaller than `minimum`.
    """
    number = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None
    if number is None or number < minimum:
        shown = repr(value) if number is None else str(number)
        raise UserError(f"`{name}` must be an integer >= {minimum}; got {shown}.")
    return number
