"""Kill -9 in mid-run, and repeat (a short version of benchmarks/faults.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FAULTS = Path(__file__).parents[1] / "benchmarks" / "faults.py"


def test_killed_run_ends_as_an_undisturbed_one() -> None:
    command = [sys.executable, FAULTS, "--kills", "2", "--rows", "60", "--batch-size", "16", "--seed", "1"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith("killed 2 times"), run.stdout
    assert "420 images" in run.stdout and run.stdout.endswith("passed\n")


EVERY_STEP = """
import json, os, sys
sys.path.insert(0, os.path.dirname({faults!r}))
from pathlib import Path
import pandas, genlens.concepts, genlens.engine, genlens.generators.drawer
import faults

def attempt(out, call=None, number=0, after=False):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if call:
        real, calls = getattr(os, call), []
        def deadly(*arguments):
            calls.append(arguments)
            if len(calls) == number:
                if after:
                    real(*arguments)
                os.kill(os.getpid(), 9)
            return real(*arguments)
        setattr(os, call, deadly)
    faults.run_drawer(out, 10, 16)
    os._exit(0)

for call in ("replace", "fsync"):
    for after in (False, True):
        for number in (1, 3, 6):
            out = Path({folder!r}) / f"{{call}} {{number}} {{after}}"
            os.environ[faults.LOG] = str(out) + ".log"
            codes = [attempt(out, call, number, after), attempt(out)]
            print(json.dumps([str(out), codes]), flush=True)
"""


def test_killed_at_every_step_of_a_write(tmp_path: Path) -> None:
    """Kill before and after the fsync and the rename of run.json, images and scores: 70 images in five batches."""
    code = EVERY_STEP.format(faults=str(FAULTS), folder=str(tmp_path))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    results = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(results) == 12, run.stderr
    rankings = set()
    for name, codes in results:
        out = Path(name)
        assert codes == [-9, 0], (name, run.stderr)
        rendered = Path(f"{name}.log").read_text().splitlines()
        assert len(set(rendered)) == 70
        assert len(rendered) - 70 <= 2 * 16, name
        assert not list(out.rglob("*tmp-*")) and not (out / "lock").exists()
        rankings.add((out / "ranking.csv").read_text())
    assert len(rankings) == 1
