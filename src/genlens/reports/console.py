"""Names, captions and messages in a terminal: shown as they are, never obeyed as escape sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import TypeVar

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment

from genlens.errors import printable

_T = TypeVar("_T")


class _Printable:
    """A renderable whose text has no control characters; rich puts its own colours round it afterwards."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self._inner, options):
            lines = segment.text.split("\n")
            yield segment if segment.control else Segment("\n".join(map(printable, lines)), segment.style)


class _Hook(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Printable(renderable) for renderable in renderables]


def shows_printable(show: Callable[[_T, Console | None], None]) -> Callable[..., None]:
    """Decorate a function that prints something on a console, which may be left out, so that it prints text only."""

    @wraps(show)
    def guarded(what: _T, console: Console | None = None) -> None:
        console = console or Console()
        console.push_render_hook(_Hook())
        try:
            show(what, console)
        finally:
            console.pop_render_hook()

    return guarded
