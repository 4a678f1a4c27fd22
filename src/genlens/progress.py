"""Progress of long tasks: how many, how fast, how long still."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar
    from rich.progress import Task, TaskID
    from rich.text import Text

SECONDS_BETWEEN_LINES = 10.0
"""How often a task reports where no terminal redraws a bar (a log file, a pipe)."""


class Progress(Protocol):
    """What a long task tells about itself. Tasks follow one another; one is open at a time."""

    def start(self, task: str, total: int) -> None:
        """A task of `total` images begins; `task` names it, e.g. "Rendering"."""

    def advance(self, n: int) -> None:
        """`n` more images of the open task are done."""

    def done(self) -> None:
        """The open task ended, finished or not. Without an open task nothing happens."""


class SilentProgress:
    """Reports nothing."""

    def start(self, task: str, total: int) -> None:
        """Nothing."""

    def advance(self, n: int) -> None:
        """Nothing."""

    def done(self) -> None:
        """Nothing."""


class LineProgress:
    """One plain line now and then: for log files and pipes.

    Args:
        stream: where the lines go; standard error when None.
        interval: seconds between two lines of a task; its last line is always written.
    """

    def __init__(self, stream: TextIO | None = None, interval: float = SECONDS_BETWEEN_LINES) -> None:
        self._stream = stream
        self._interval = interval
        self._task: str | None = None

    def start(self, task: str, total: int) -> None:
        """See `Progress.start`."""
        self._task, self._total, self._count = task, total, 0
        self._began = self._reported = time.monotonic()

    def advance(self, n: int) -> None:
        """See `Progress.advance`."""
        self._count += n
        if time.monotonic() - self._reported >= self._interval and self._count < self._total:
            self._report()

    def done(self) -> None:
        """See `Progress.done`."""
        if self._task is not None:
            self._report()
        self._task = None

    def _report(self) -> None:
        self._reported = time.monotonic()
        rate = self._count / max(self._reported - self._began, 1e-9)
        line = f"{self._task}: {self._count:,} of {self._total:,} images, {speed(rate)}"
        if 0 < self._count < self._total:
            line += f", {clock((self._total - self._count) / rate)} left"
        print(line, file=self._stream or sys.stderr, flush=True)


class RichProgress:
    """A bar with the rate and the time left on a terminal; plain lines elsewhere."""

    def __init__(self) -> None:
        self._bar: RichBar | None = None
        self._open: TaskID | None = None
        self._lines = None if sys.stderr.isatty() else LineProgress()

    def start(self, task: str, total: int) -> None:
        """See `Progress.start`."""
        if self._lines is not None:
            self._lines.start(task, total)
            return
        self._bar = _bar()
        self._bar.start()
        self._open = self._bar.add_task(task, total=total)

    def advance(self, n: int) -> None:
        """See `Progress.advance`."""
        if self._lines is not None:
            self._lines.advance(n)
        elif self._bar is not None and self._open is not None:
            self._bar.advance(self._open, n)

    def done(self) -> None:
        """See `Progress.done`."""
        if self._lines is not None:
            self._lines.done()
        elif self._bar is not None:
            self._bar.stop()
            self._bar = None


def speed(rate: float) -> str:
    """Images per second, or seconds per image where that reads better."""
    if rate <= 0:
        return "not started"
    return f"{rate:,.0f} images/s" if rate >= 10 else f"{rate:.1f} images/s" if rate >= 1 else f"{1 / rate:.1f} s/image"


def clock(seconds: float) -> str:
    """A duration as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar() -> RichBar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(speed(task.finished_speed or task.speed or 0.0))

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn())
    return Bar(*columns, console=Console(stderr=True), speed_estimate_period=60)
