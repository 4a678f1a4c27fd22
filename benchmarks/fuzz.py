"""Damaged and hostile files for every reader: each must be read, or refused in one line, within five seconds.

    python benchmarks/fuzz.py --minutes 10 --reader all
    python benchmarks/fuzz.py --replay FILE --reader coco

Guided by coverage where atheris is installed (`pip install atheris`), else blind. Files that raise anything but a
`UserError`, kill the process or take too long are kept in `--findings`; what is fixed goes to tests/fuzz_corpus.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

HANG_SECONDS = 5
MEMORY_MB = 4096
LARGEST = 65_536
"""Bytes of a file."""
OUTCOMES = ("read", "refused", "other", "slow")
CRASHED = ("crash-*", "timeout-*", "oom-*", "leak-*")


class Session:
    """One reader's files and what came of them; the figures are kept in a file, as a crash ends the process."""

    def __init__(self, name: str, findings: Path) -> None:
        from fuzz_readers import READERS

        self.reader, self.findings = READERS[name], findings
        self.place = Path(tempfile.mkdtemp(prefix=f"genlens-fuzz-{name}-", dir=_memory_disk())) / "x"
        self.counts: Counter[str] = Counter()
        self.seen: set[str] = set()
        self.reported = 0.0

    def one(self, data: bytes) -> None:
        """Read one file; a finding is kept once for each place in the code."""
        from fuzz_readers import try_file

        began = time.monotonic()
        try:
            outcome = try_file(self.reader, data, self.place)
        except Exception as error:
            outcome = "other"
            self._keep(data, _where(error), traceback.format_exc())
        if time.monotonic() - began > HANG_SECONDS:
            outcome = "slow"
            self._keep(data, "slow", "took more than five seconds\n")
        self.counts[outcome] += 1
        if time.monotonic() - self.reported > 1:
            self.report()

    def report(self) -> None:
        """Write the figures."""
        self.reported = time.monotonic()
        (self.findings / "counts.json").write_text(json.dumps(self.counts))

    def _keep(self, data: bytes, where: str, text: str) -> None:
        name = hashlib.blake2b(where.encode(), digest_size=6).hexdigest()
        if name not in self.seen and not (self.findings / f"found-{name}").exists():
            (self.findings / f"found-{name}").write_bytes(data)
            (self.findings / f"found-{name}.txt").write_text(text, errors="backslashreplace")
        self.seen.add(name)


def _where(error: Exception) -> str:
    """Type and the innermost place in genlens: findings that agree in both are one."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "genlens" in frame.filename]
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__} {place}"


def _memory_disk() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def work(name: str, seconds: int, findings: Path, seed: int) -> None:
    """The process that reads: guided by atheris, or blind."""
    import resource

    from fuzz_mutations import mutate, mutate_bytes

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        import atheris
    except ImportError:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MB * 2**20, -1))
        _blind(Session(name, findings), seconds, seed, lambda data, form, rng: mutate(data, form, rng, mutate_bytes))
        return
    with atheris.instrument_imports(include=["genlens", "fuzz_readers", "fuzz_saved"]):
        _import_all()
        session = Session(name, findings)
    corpus = findings / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate(session.reader.seeds()):
        (corpus / f"seed-{number}").write_bytes(data)

    def anyhow(data: bytes, rng: random.Random) -> bytes:
        return bytes(atheris.Mutate(data, LARGEST))

    def custom(data: bytes, most: int, number: int) -> bytes:
        return mutate(data, session.reader.form, random.Random(number), anyhow)[:most]

    arguments = [
        sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-timeout={HANG_SECONDS}", f"-max_len={LARGEST}",
        f"-rss_limit_mb={MEMORY_MB}", f"-seed={seed}", f"-artifact_prefix={findings}/", "-print_final_stats=1",
        "-verbosity=1",
    ]  # fmt: skip
    atheris.Setup(arguments, session.one, custom_mutator=custom)
    atheris.Fuzz()


def _import_all() -> None:
    """What the readers import, so that it is instrumented and no reader's first file counts as slow."""
    import genlens.classifiers.concept_net
    import genlens.datasets.coco
    import genlens.datasets.imagefolder
    import genlens.generators.pipelines
    import genlens.importance.result
    import genlens.plan
    import genlens.reports.html
    import genlens.reports.terminal
    import genlens.run_folder
    import genlens.store  # noqa: F401


def _blind(session: Session, seconds: int, seed: int, change: Callable[[bytes, str, random.Random], bytes]) -> None:
    """Mutations of the valid files and of mutated ones that were read."""

    def too_slow(*_: Any) -> None:
        raise TimeoutError("a hang")

    signal.signal(signal.SIGALRM, too_slow)
    rng, files = random.Random(seed), session.reader.seeds()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = change(rng.choice(files), session.reader.form, rng)[:LARGEST]
        before = session.counts["read"]
        signal.alarm(HANG_SECONDS)
        session.one(data)
        signal.alarm(0)
        if session.counts["read"] > before and len(files) < 500:
            files.append(data)
    session.report()


def run(name: str, seconds: int, folder: Path, seed: int) -> None:
    """Fuzz one reader for so long; a process that dies is begun again. Figures and corpus add to what is there."""
    findings = folder / name
    findings.mkdir(parents=True, exist_ok=True)
    totals = _totals(findings)
    began, before = time.monotonic(), totals["seconds"]
    for attempt in range(20):
        left = seconds - (time.monotonic() - began)
        if left < 2:
            break
        (findings / "counts.json").unlink(missing_ok=True)
        arguments = [name, str(int(left)), str(findings), str(seed + int(totals["seconds"]) + attempt)]
        command = [sys.executable, str(Path(__file__).resolve()), "--worker", *arguments]
        with (findings / "log.txt").open("ab") as log, contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, stdout=log, stderr=log, timeout=left + 60)
        with contextlib.suppress(OSError, ValueError):
            totals.update(json.loads((findings / "counts.json").read_text()))
        totals["seconds"] = before + round(time.monotonic() - began)
        (findings / "totals.json").write_text(json.dumps(totals))


def _totals(findings: Path) -> Counter[str]:
    with contextlib.suppress(OSError, ValueError):
        return Counter(json.loads((findings / "totals.json").read_text()))
    return Counter()


def table(folder: Path, names: list[str]) -> int:
    """Print what came of it so far; returns the number of findings."""
    columns = ("seconds", "files", "read", "refused", "other", "slow", "died", "findings")
    print("| reader | " + " | ".join(columns) + " |\n|" + " --- |" * (len(columns) + 1))
    found = 0
    for name in names:
        totals = _totals(folder / name)
        died = [path for pattern in CRASHED for path in (folder / name).glob(pattern)]
        kept = [path for path in (folder / name).glob("found-*") if path.suffix != ".txt"]
        totals["files"] = sum(totals[outcome] for outcome in OUTCOMES)
        totals |= Counter(died=len(died), findings=len(died) + len(kept))
        found += totals["findings"]
        print(f"| {name} | " + " | ".join(f"{totals[column]:,}" for column in columns) + " |")
    print(f"{found} findings")
    return found


def replay(name: str, path: Path) -> int:
    """Read one kept file and say what comes of it; 1 if it is still a finding."""
    from fuzz_readers import READERS, try_file

    with tempfile.TemporaryDirectory() as folder:
        print(try_file(READERS[name], path.read_bytes(), Path(folder) / "x"))
    return 0


def main() -> int:
    """Command line; exit code 1 if anything was found."""
    from fuzz_readers import READERS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="a reader; 0: only print what was done")
    parser.add_argument("--reader", nargs="+", default=["all"], choices=["all", *READERS])
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz"), help="folder for what is found")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--replay", type=Path, help="read this one file instead")
    chosen = parser.parse_args()
    if chosen.replay:
        return replay(chosen.reader[0], chosen.replay)
    names = list(READERS) if "all" in chosen.reader else chosen.reader
    for name in names if chosen.minutes else []:
        run(name, int(chosen.minutes * 60), chosen.findings, chosen.seed)
    return 1 if table(chosen.findings, names) else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
    else:
        sys.exit(main())
