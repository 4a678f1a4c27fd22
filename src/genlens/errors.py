"""Errors a user can mend (one clear line each), and the check of whole numbers that every module shares."""

from __future__ import annotations

from numbers import Integral


class GenlensError(Exception):
    """Base class of every error genlens raises on purpose."""


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
