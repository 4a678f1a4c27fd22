"""Kill -9 at random moments of a run, repeat it, and compare with a run that nobody disturbed; and other faults.

    python benchmarks/faults.py --matrix long                     # all faults of benchmarks/fault_cases.py, a table
    python benchmarks/faults.py                                   # engine, store and drawer alone, under a minute
    python benchmarks/faults.py --compare ranking.csv -- rank data/test --concepts … --generator … --out {out}

Everything after `--` is a `genlens` command line; `{out}` stands for its run folder. The command is run once as it is,
then in another folder with kills, at random moments spread over the run. At the end the files named by `--compare` must
be the same byte for byte, and no more images may have been rendered twice than two batches a kill: the one that was
being rendered and the one that was being written.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fault_cases import CASES, run_cases

LOG = "GENLENS_FAULTS_LOG"
POLL_SECONDS = 0.002


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        kills: times the run was killed before it ended by itself.
        rendered: images rendered in all attempts together, without those that the undisturbed run renders again
            itself (its check of reproducibility).
        distinct: images among them that differ.
        largest_batch: images in the largest batch.
        differing: files that aren't the same as in the undisturbed run.
        left_over: temporary files that are still there.
    """

    kills: int
    rendered: int
    distinct: int
    largest_batch: int
    differing: tuple[str, ...]
    left_over: tuple[str, ...]

    @property
    def twice(self) -> int:
        """Images rendered more than once, counted each time."""
        return self.rendered - self.distinct

    @property
    def good(self) -> bool:
        """Same result, at most two batches lost a kill, nothing left behind."""
        return not self.differing and not self.left_over and self.twice <= 2 * self.kills * self.largest_batch


def kill_and_repeat(command: Sequence[str], folder: Path, compare: Sequence[str], kills: int, seed: int) -> Outcome:
    """Run `command` undisturbed, then with kills, below `folder`.

    Args:
        command: arguments with `{out}` in them; images it renders are logged by `watched`.
        folder: an empty folder.
        compare: files in the run folder that must be the same.
        kills: how often to kill it.
        seed: of the moments.

    Raises:
        SystemExit: the command fails by itself.
    """
    calm, log = folder / "calm", folder / "calm.log"
    process = _start(command, calm, log)
    _wait_for(process, log, 1)
    began = time.monotonic()
    _wait(process, command)
    total, again = len(_rendered(log)), len(_rendered(log)) - len(set(_rendered(log)))
    one_batch = (time.monotonic() - began) / max(len(_batches(log)), 1)
    moments, rough, log = random.Random(seed), folder / "rough", folder / "rough.log"
    done = 0
    for number in range(kills):
        process = _start(command, rough, log)
        _wait_for(process, log, int(total * moments.uniform(number, number + 1) / kills))
        done += _kill(process, moments.uniform(0, 2 * one_batch))
    _wait(_start(command, rough, log), command)
    differing = tuple(name for name in compare if (calm / name).read_bytes() != (rough / name).read_bytes())
    left_over = tuple(path.name for path in rough.rglob("*tmp-*"))
    images = _rendered(log)
    return Outcome(done, len(images) - again, len(set(images)), max(_batches(log)), differing, left_over)


def _start(command: Sequence[str], out: Path, log: Path) -> subprocess.Popen[bytes]:
    arguments = [part.replace("{out}", str(out)) for part in command]
    return subprocess.Popen(arguments, env={**os.environ, LOG: str(log)}, stdout=subprocess.DEVNULL)


def _wait(process: subprocess.Popen[bytes], command: Sequence[str]) -> None:
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")


def _wait_for(process: subprocess.Popen[bytes], log: Path, images: int) -> None:
    """Until the log names so many images, or the run ends."""
    while process.poll() is None and len(_rendered(log)) < images:
        time.sleep(POLL_SECONDS)


def _kill(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Kill -9 after so many seconds; False if the run ended before."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def _rendered(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def _batches(log: Path) -> list[int]:
    sizes = log.with_suffix(".batches")
    return [int(line) for line in sizes.read_text().split()] if sizes.exists() else []


def watched(kind: type[Any]) -> None:
    """Make a generator class log what it renders: a line an image before it begins, then the size of the batch."""
    original = kind.generate
    log = Path(os.environ[LOG])

    def generate(self: Any, captions: Sequence[str], seeds: Sequence[int]) -> Any:
        with log.open("a") as file:
            file.writelines(f"{int(seed)} {caption!r}\n" for caption, seed in zip(captions, seeds, strict=True))
        with log.with_suffix(".batches").open("a") as file:
            file.write(f"{len(captions)}\n")
        return original(self, captions, seeds)

    kind.generate = generate


def run_genlens(arguments: Sequence[str]) -> None:
    """The command `genlens`, its generators watched."""
    from genlens.cli import main
    from genlens.generators.diffusers import DiffusersGenerator
    from genlens.generators.drawer import DrawerGenerator

    watched(DrawerGenerator)
    watched(DiffusersGenerator)
    sys.argv = ["genlens", *arguments]
    main()


def run_drawer(out: Path, n_rows: int, batch_size: int) -> None:
    """A run of engine, store and score cache with the drawer: colours of all images of a plan, as ranking.csv."""
    import numpy as np
    import pandas as pd

    from genlens.classifiers.protocol import Outputs
    from genlens.concepts import ConceptTable
    from genlens.datasets.shapes import CONCEPTS, sample_presence
    from genlens.engine import Engine
    from genlens.files import write_atomic
    from genlens.generators.drawer import DrawerGenerator
    from genlens.plan import make_plan
    from genlens.run_folder import RunFolder

    class Colours:
        fingerprint = "colours"
        outputs: Outputs = "scores"

        def predict(self, images: Any) -> Any:
            return np.stack([image.mean(axis=(0, 1)) for image in images]).astype(np.float32)

    watched(DrawerGenerator)
    frame = pd.DataFrame(sample_presence(n_rows, 0), columns=list(CONCEPTS))
    frame["label"], frame["file_name"] = frame[CONCEPTS[0]], [f"{i}.png" for i in range(n_rows)]
    plan = make_plan(ConceptTable.from_frame(frame, list(CONCEPTS), "label"), seed=0)
    folder = RunFolder(out)
    folder.open_or_create({"seed": 0})
    with folder.lock():
        scores = Engine(folder, batch_size=batch_size).run(plan, DrawerGenerator(), {"target": Colours()})["target"]
        write_atomic(out / "ranking.csv", pd.DataFrame(scores).to_csv().encode())


def matrix(names: Sequence[str], folder: Path, long: bool, seed: int) -> int:
    """Print a table of the faults; 1 if one of them isn't survived."""
    failed = 0
    print("| fault | outcome | what was done | seconds |\n| --- | --- | --- | --- |", flush=True)
    for name, passed, said, seconds in run_cases(names, folder, long=long, seed=seed):
        failed += not passed
        print(f"| {name} | {'passed' if passed else 'FAILED'} | {said} | {seconds:.0f} |", flush=True)
    return min(failed, 1)


def main() -> int:
    """Command line; exit code 0 if the run survives, 1 if not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compare", nargs="+", default=["ranking.csv"], help="files of the run folder to compare")
    parser.add_argument("--matrix", choices=("short", "long"), help="all faults, with few or many random moments")
    parser.add_argument("--only", nargs="+", default=list(CASES), choices=list(CASES), help="some rows of the matrix")
    parser.add_argument("--rows", type=int, default=200, help="rows of the built-in run (7 images each)")
    parser.add_argument("--batch-size", type=int, default=32, help="batch of the built-in run")
    ours, theirs = sys.argv[1:], []
    if "--" in ours:
        at = ours.index("--")
        ours, theirs = ours[:at], ours[at + 1 :]
    chosen = parser.parse_args(ours)
    this = [sys.executable, str(Path(__file__).resolve())]
    builtin = [*this, "--drawer", "{out}", str(chosen.rows), str(chosen.batch_size)]
    folder = Path(tempfile.mkdtemp(prefix="genlens-faults-"))
    try:
        if chosen.matrix:
            return matrix(chosen.only, folder, chosen.matrix == "long", chosen.seed)
        command = [*this, "--genlens", *theirs] if theirs else builtin
        outcome = kill_and_repeat(command, folder, chosen.compare, chosen.kills, chosen.seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"killed {outcome.kills} times; {outcome.distinct:,} images, {outcome.twice:,} of them rendered again ", end=""
    )
    print(f"(at most two batches of {outcome.largest_batch} a kill are allowed)")
    differing, left_over = (", ".join(names) or "none" for names in (outcome.differing, outcome.left_over))
    print(f"files that differ: {differing}; left over: {left_over}")
    print("passed" if outcome.good else "FAILED")
    return 0 if outcome.good else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--genlens"]:
        run_genlens(sys.argv[2:])
    elif sys.argv[1:2] == ["--drawer"]:
        run_drawer(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        sys.exit(main())
