"""`genlens reproduce`: the command that a report prints repeats the run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from genlens.cli.app import app
from genlens.experiments.outcome import Reproduction


def test_the_printed_command_has_every_option_and_gives_itself_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def record(out: Path, *arguments: Any, command: str, log: Any) -> Reproduction:
        told.append(command)
        return Reproduction(out / "report.html", out / "results.md", {})

    monkeypatch.setattr("genlens.experiments.xray.reproduce_xray", record)
    folder = tmp_path / "with a space"
    given = ["reproduce", "xray", "--out", str(folder), "--rows", "64", "--quiet"]
    assert CliRunner().invoke(app, given).exit_code == 0
    words = shlex.split(told[0])
    assert words[:3] == ["genlens", "reproduce", "xray"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options == {
        "--out": str(folder), "--rows": "64", "--train-rows": "2000", "--net-steps": "500", "--n-repeats": "25",
        "--generator": "xray-drawer", "--seed": "0",
    }  # fmt: skip
    assert CliRunner().invoke(app, words[1:]).exit_code == 0
    assert told[1] == told[0]
