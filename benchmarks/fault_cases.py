"""The fault matrix: what may go wrong in `genlens rank`, each in a process of its own, and what must come of it.

Each case spoils a run, then repeats the command undisturbed. Every spoilt attempt must end with the right ranking or
with one line on stderr; the repeated command must give the same ranking.csv, byte for byte, and leave nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fault_lab import Lab, before_rendering, interrupt
from fault_storage import damaged, damaged_everywhere, full_disk, read_only


def killed(lab: Lab, out: Path) -> str:
    """Kill -9 at random points."""
    began = time.monotonic()
    lab.attempt(lab.folder / "timed")
    whole, kills = time.monotonic() - began, 0
    wanted = len(lab.moments(2, 50))
    for _ in range(10 * wanted):
        child = lab.start(out)
        time.sleep(lab.rng.uniform(0, whole))
        os.kill(child, signal.SIGKILL)
        if lab.end(out, child).code == -9:
            kills += 1
        else:
            shutil.rmtree(out)  # it had ended, and from now on would find everything done
        if kills == wanted:
            break
    lab.recovered(out)
    return f"{kills} kills"


def two_processes(lab: Lab, out: Path) -> str:
    """Two processes on one run folder."""
    gate = lab.folder / "gate"
    os.mkfifo(gate)

    def wait_in_the_middle(call: int, _: Sequence[str]) -> None:
        if call == 3:
            gate.read_text()  # until somebody writes

    first = lab.start(out, lambda: before_rendering(wait_in_the_middle))
    while not list((out / "images").glob("*.parquet")):
        time.sleep(0.01)
    second = lab.attempt(out, size=4)
    assert second.code == 1 and f"is in use by process {first}" in second.error, second.error
    gate.write_text("go on")
    assert lab.end(out, first).code == 0
    lab.recovered(out)
    both = 0
    for k in lab.moments(1, 15):
        place = out.with_name(f"{out.name} {k}".replace(" ", "-"))
        children = [lab.start(place) for _ in range(2)]
        codes = [lab.end(place, child).code for child in children]
        assert set(codes) <= {0, 1} and 0 in codes, codes
        both += codes == [0, 0]
        lab.recovered(place)
    return f"the second is refused; of {len(lab.moments(1, 15))} started together {both} both ended well, else one"


def clock_jumps(lab: Lab, out: Path) -> str:
    """The clock runs backwards, and files are dated in the past and in the future."""

    def backwards() -> None:
        real, calls = time.time, [0.0]

        def jumping() -> float:
            calls[0] += 3600
            return real() - calls[0]

        time.time = jumping
        interrupt()

    lab.spoilt(out, backwards)
    for k, path in enumerate(sorted(out.rglob("*"))):
        os.utime(path, [(0, 0), (2**32, 2**32)][k % 2])
    lab.recovered(out)
    return "an hour back at each look, files of 1970 and 2106"


def classifier_raises(lab: Lab, out: Path) -> str:
    """A classifier that raises on one batch."""

    def prepare() -> None:
        from genlens.classifiers.callable import CallableClassifier

        original, calls = CallableClassifier.predict, [0]

        def predict(self: Any, images: Any) -> Any:
            calls[0] += 1
            if calls[0] == 5:
                raise ZeroDivisionError("one bad batch\nsecond line")
            return original(self, images)

        CallableClassifier.predict = predict  # type: ignore[method-assign]

    assert lab.spoilt(out, prepare, says="ZeroDivisionError: one bad batch").code == 1
    lab.recovered(out)
    return "one line, the batches before are kept"


def out_of_memory(lab: Lab, out: Path) -> str:
    """A generator that runs out of memory: on batches of more than three images, and on any."""
    errors = [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried …")]

    def hungry(largest: int, error: BaseException) -> Callable[[], None]:
        def refuse(_: int, captions: Sequence[str]) -> None:
            if len(captions) > largest:
                raise error

        return lambda: before_rendering(refuse)

    for k, error in enumerate(errors):
        place = out.with_name(f"{out.name}-{k}")
        assert lab.spoilt(place, hungry(3, error)).code == 0, "smaller batches would have fitted"
        assert lab.spoilt(place.with_name(f"{place.name}-any"), hungry(0, error), says="memory").code == 1
        lab.recovered(place.with_name(f"{place.name}-any"))
    return "smaller batches, same ranking; one line where one image doesn't fit"


def interrupted_twice(lab: Lab, out: Path) -> str:
    """Ctrl-C, and again while it cleans up."""
    stopped = 0
    for k in lab.moments(2, 50):
        place = out.with_name(f"{out.name}-{k}")
        child = lab.start(place, lambda: before_rendering(lambda *_: time.sleep(0.03)))
        while not list(place.glob("images/*.parquet")):
            time.sleep(0.005)
        time.sleep(lab.rng.uniform(0, 0.3))
        for pause in (lab.rng.uniform(0, 0.03) ** (1 + k % 2), 0):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGINT)
            time.sleep(pause)
        found = lab.end(place, child)
        assert found.clear or found.code == -signal.SIGINT, f"exit code {found.code}: {found.error}"
        assert "Traceback" not in found.error, found.error
        stopped += found.code != 0
        lab.recovered(place)
    return f"stopped {stopped} times of {len(lab.moments(2, 50))}, each time without a traceback"


CASES: dict[str, Callable[[Lab, Path], str]] = {
    "kill -9": killed,
    "full disk": full_disk,
    "read-only folder": read_only,
    "damaged files": damaged,
    "any bit flipped": damaged_everywhere,
    "two processes": two_processes,
    "clock jumps": clock_jumps,
    "classifier raises": classifier_raises,
    "out of memory": out_of_memory,
    "Ctrl-C twice": interrupted_twice,
}
"""Name -> case: spoils runs below the folder it gets and says what it did; raises AssertionError if it isn't right."""


def run_cases(names: Sequence[str], folder: Path, *, long: bool, seed: int) -> Iterator[tuple[str, bool, str, float]]:
    """Run the cases: name, passed, what happened, seconds."""
    lab = Lab(folder, long, seed)
    for name in names:
        began = time.monotonic()
        try:
            passed, said = True, CASES[name](lab, folder / name.replace(" ", "-"))
        except (AssertionError, OSError, subprocess.CalledProcessError) as error:
            passed, said = False, f"{type(error).__name__}: {error}"
        yield name, passed, said, time.monotonic() - began
