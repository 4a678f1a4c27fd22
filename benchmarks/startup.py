"""How long each command of genlens takes to answer `--help`: a wait that every user has at every turn.

    python benchmarks/startup.py

Best of three, each in a process of its own. The bare interpreter stands beside it.
"""

from __future__ import annotations

import subprocess
import sys
import time

import typer

from genlens.cli.app import app


def best(arguments: list[str], times: int = 3) -> float:
    """Seconds of a process."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
        found.append(time.perf_counter() - began)
    return min(found)


def main() -> None:
    """Print the table."""
    print(f"python -c pass: {best(['-c', 'pass']):.2f} s; import genlens: {best(['-c', 'import genlens']):.2f} s")
    commands: dict[str, object] = dict(getattr(typer.main.get_command(app), "commands", {}))
    for name in ("", *commands):
        arguments = ["-m", "genlens", *([name] if name else []), "--help"]
        print(f"genlens {name}{' ' if name else ''}--help: {best(arguments):.2f} s", flush=True)


if __name__ == "__main__":
    main()
