"""Progress: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import sys

import pytest

from genlens.progress import LineProgress, RichProgress, SilentProgress, clock, speed


def test_lines_say_how_many_how_fast_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("genlens.progress.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = LineProgress(stream, interval=10)
    progress.start("Rendering", 7000)
    for _ in range(4):
        now[0] += 6
        progress.advance(600)
    now[0] += 46
    progress.advance(4600)
    progress.done()
    progress.done()
    assert stream.getvalue().splitlines() == [
        "Rendering: 1,200 of 7,000 images, 100 images/s, 0:58 left",
        "Rendering: 2,400 of 7,000 images, 100 images/s, 0:46 left",
        "Rendering: 7,000 of 7,000 images, 100 images/s",
    ]


def test_pipe_gets_lines_and_a_terminal_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        progress = RichProgress()
        progress.done()
        progress.start("Scoring", 10)
        progress.advance(10)
        progress.done()
        progress.done()
        shown = capsys.readouterr()
        assert "Scoring" in shown.err and shown.out == ""
        assert ("images, " in shown.err) != terminal


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    progress = SilentProgress()
    progress.start("Scoring", 10)
    progress.advance(10)
    progress.done()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("rate", "text"), [(0, "not started"), (0.05, "20.0 s/image"), (1.25, "1.2 images/s"), (1234.4, "1,234 images/s")]
)
def test_speed(rate: float, text: str) -> None:
    assert speed(rate) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (61, "1:01"), (3600 * 3 + 62, "3:01:02")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
