"""The fault matrix in its short form: benchmarks/fault_cases.py says what each fault is and what must come of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = Path(__file__).parents[1] / "benchmarks" / "faults.py"
CASES = (
    "kill -9", "full disk", "read-only folder", "damaged files", "any bit flipped", "two processes", "clock jumps",
    "classifier raises", "out of memory", "Ctrl-C twice",
)  # fmt: skip


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """Row of the table for each fault. The command forks, so it has a process of its own."""
    command = [sys.executable, FAULTS, "--matrix", "short", "--seed", "1"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    rows = [line.strip("| ").split(" | ", 1) for line in run.stdout.splitlines()[2:]]
    assert rows, run.stderr
    return {row[0]: row[1] for row in rows}


@pytest.mark.parametrize("case", CASES)
def test_fault_is_survived(outcomes: dict[str, str], case: str) -> None:
    assert outcomes[case].startswith("passed"), outcomes[case]


def test_all_faults_are_here(outcomes: dict[str, str]) -> None:
    assert set(outcomes) == set(CASES)
