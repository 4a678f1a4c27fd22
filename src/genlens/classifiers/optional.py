"""Optional packages: imported when they are needed, with one line that says how to get them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from genlens.classifiers.batches import describe_error
from genlens.errors import UserError


def optional_import(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a package that isn't installed with genlens itself.

    Args:
        module: name to import.
        extra: the extra of genlens that brings it.
        purpose: what needs it, e.g. "ONNX models".

    Raises:
        UserError: it isn't installed, or fails to import.
    """
    try:
        return import_module(module)
    except ImportError as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) and error.name else None
        reason = f"{missing} is not installed" if missing else describe_error(error)
        raise UserError(f"{purpose} need {module}: {reason}. Run: pip install 'genlens[{extra}]'") from error
