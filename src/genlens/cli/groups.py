"""Options that several commands share, as dataclasses that a command takes whole."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses of options; on the command line each stands as its fields.

    ::

        @dataclass(frozen=True)
        class Drawing:
            steps: Annotated[int, typer.Option(help="Denoising steps.")] = 4

        @app.command()
        @grouped
        def draw(*, caption: str, drawing: Drawing) -> None: ...  # draw CAPTION --steps 4

    typer reads a command's `__signature__`, so the signature is all that changes. A check in a dataclass's
    `__post_init__` runs when the command is called.

    Args:
        command: a function whose parameters are all by keyword, so that required ones may follow others.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        parameters += _options(groups[name]) if name in groups else [parameter.replace(annotation=hints[name])]

    @functools.wraps(command)
    def flat(**values: Any) -> None:
        made = {
            name: group(**{option.name: values.pop(option.name) for option in fields(group)})
            for name, group in groups.items()
        }
        command(**values, **made)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return flat


def _options(group: Any) -> list[inspect.Parameter]:
    """The fields of a dataclass as parameters, in their order."""
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if option.default is MISSING else option.default,
            annotation=hints[option.name],
        )
        for option in fields(group)
    ]
