"""The fault matrix: what may go wrong in `genlens rank`, each in a process of its own, and what must come of it.

Each case spoils a run, then repeats the command undisturbed. Every spoilt attempt must end with the right ranking or
with one line on stderr; the repeated command must give the same ranking.csv, byte for byte, and leave nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROWS, BATCH = 16, 8
CLASSIFIER = "def colours(images):\n    return [image.mean(axis=(0, 1)) for image in images]\n"
NOBODY = 65534


@dataclass
class Attempt:
    """One run of the command: exit code and what it wrote to stderr, the progress left out."""

    code: int
    error: str

    @property
    def clear(self) -> bool:
        """Whether it ended well, or said in one line why not."""
        return self.code == 0 or (self.code in (1, 130) and self.error.count("\n") <= 1 and self.error.strip() != "")


@dataclass
class Lab:
    """A small data set, the ranking of an undisturbed run, and ways to spoil another one.

    Attributes:
        folder: an empty folder.
        long: many random moments instead of a few.
        seed: of the moments.
    """

    folder: Path
    long: bool = False
    seed: int = 0
    ranking: bytes = b""

    def __post_init__(self) -> None:
        from genlens.datasets.shapes import write_imagefolder

        self.rng = random.Random(self.seed)
        write_imagefolder(self.folder / "data", ROWS, 0)
        (self.folder / "colours.py").write_text(CLASSIFIER)
        (self.folder / "again.py").write_text(CLASSIFIER + "# another fingerprint\n")
        self.folder.chmod(0o755)
        calm = self.folder / "calm"
        code = self._command(calm, "colours", BATCH)  # in this process, so that children needn't import anything
        assert code == 0, "the undisturbed run failed"
        self.ranking = (calm / "ranking.csv").read_bytes()
        self.bytes = sum(path.stat().st_size for path in calm.rglob("*") if path.is_file())

    def start(
        self, out: Path, prepare: Callable[[], None] | None = None, *, classifier: str = "colours", size: int = BATCH
    ) -> int:
        """Run the command in a child, after `prepare`; its number."""
        child = os.fork()
        if child:
            return child
        code = 70
        try:
            with self._stderr(out).open("w", buffering=1) as stderr:
                os.dup2(stderr.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                if prepare:
                    prepare()
                code = self._command(out, classifier, size)
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _command(self, out: Path, classifier: str, size: int) -> int:
        from genlens.cli import main

        arguments = f"rank {self.folder / 'data'} --label label --generator drawer --quiet --n-repeats 20 --out {out}"
        arguments += f" --classifier {self.folder / classifier}.py:colours --batch-size {size} --target-class 0"
        names = "red circle,green circle,blue circle,red rectangle,green rectangle,blue rectangle"
        sys.argv = ["genlens", *arguments.split(), "--concepts", names]
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
        except BaseException:
            import traceback

            traceback.print_exc()
            return 70
        return 0

    def end(self, out: Path, child: int) -> Attempt:
        """Wait for a child."""
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return Attempt(code, self._stderr(out).read_text())

    def _stderr(self, out: Path) -> Path:
        return self.folder / f"{str(out.relative_to(self.folder)).replace('/', ' ')}.stderr"

    def attempt(self, out: Path, prepare: Callable[[], None] | None = None, **options: Any) -> Attempt:
        """Run the command to its end."""
        return self.end(out, self.start(out, prepare, **options))

    def recovered(self, out: Path, **options: Any) -> None:
        """Raise AssertionError unless the command, repeated, gives the undisturbed ranking and leaves nothing over."""
        last = self.attempt(out, **options)
        assert last.code == 0, last.error
        assert (out / "ranking.csv").read_bytes() == self.ranking, "another ranking"
        strays = [path.name for path in out.rglob("*") if "tmp-" in path.name or path.name == "lock"]
        assert not strays, strays

    def spoilt(self, out: Path, prepare: Callable[[], None] | None = None, says: str = "", **options: Any) -> Attempt:
        """An attempt that must end well or with one line (with `says` in it)."""
        found = self.attempt(out, prepare, **options)
        assert found.clear, f"exit code {found.code}: {found.error}"
        if found.code:
            assert says in found.error, found.error
        else:
            assert (out / "ranking.csv").read_bytes() == self.ranking, "another ranking"
        return found

    def moments(self, short: int, long: int) -> range:
        """How often to try."""
        return range(long if self.long else short)


def _wrap_generate(change: Callable[[Any, int, Any, Any, Any], Any]) -> None:
    """Let `change(original, number of the call, self, captions, seeds)` render."""
    from genlens.generators.drawer import DrawerGenerator

    original, calls = DrawerGenerator.generate, [0]

    def generate(self: Any, captions: Any, seeds: Any) -> Any:
        calls[0] += 1
        return change(original, calls[0], self, captions, seeds)

    DrawerGenerator.generate = generate  # type: ignore[method-assign]


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


@contextlib.contextmanager
def _mounted(place: Path, options: str) -> Iterator[bool]:
    """A tmpfs; False where it can't be mounted."""
    place.mkdir()
    done = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True
        ).returncode
    )
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", "-l", str(place)], check=True)


def full_disk(lab: Lab, out: Path) -> str:
    """A disk that fills up at any moment."""
    with _mounted(out, "size=4k") as mounted:
        run, refused, tries = out / "run", 0, lab.moments(3, 25)
        for k in tries:
            limit = max(4096, int(lab.bytes * 1.3 * k / len(tries)))
            if mounted:
                subprocess.run(["mount", "-o", f"remount,size={limit}", str(out)], check=True)
            large = limit // 8

            def prepare(large: int = large) -> None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (large, large))

            refused += lab.spoilt(run, None if mounted else prepare, says="can't write").code != 0
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=64m", str(out)], check=True)
        assert refused, "it was never full"
        lab.recovered(run)
    return f"full {refused} times, {'on a tmpfs' if mounted else 'by RLIMIT_FSIZE: no tmpfs could be mounted'}"


def read_only(lab: Lab, out: Path) -> str:
    """A run folder that can't be written, in the middle of a run and after its end."""
    ways = []
    out.mkdir()
    with _mounted(out / "disk", "size=64m") as mounted:
        if mounted:
            lab.spoilt(out / "disk" / "run", lambda: _wrap_generate(_interrupt_at(3)))
            subprocess.run(["mount", "-o", "remount,ro", str(out / "disk")], check=True)
            assert lab.spoilt(out / "disk" / "run", says="Read-only file system").code == 1
            subprocess.run(["mount", "-o", "remount,rw", str(out / "disk")], check=True)
            lab.recovered(out / "disk" / "run")
            ways.append("read-only mount")
    lab.spoilt(out / "run", lambda: _wrap_generate(_interrupt_at(3)))
    modes = {path: path.stat().st_mode for path in (out / "run").rglob("*") if path.is_dir()} | {out / "run": 0o755}
    for path in modes:
        path.chmod(0o555)
    assert lab.spoilt(out / "run", _nobody, says="Permission denied").code == 1
    for path, mode in modes.items():
        path.chmod(mode)
    lab.recovered(out / "run")
    return " and ".join([*ways, "mode 555 as another user" if os.geteuid() == 0 else "mode 555"])


def _nobody() -> None:
    """Root may write everywhere: be somebody else, once everything is imported."""
    from genlens.run_folder import RunFolder

    original = RunFolder.open_or_create

    def open_or_create(self: RunFolder, *arguments: Any, **options: Any) -> None:
        if os.geteuid() == 0:
            os.setegid(NOBODY)
            os.seteuid(NOBODY)
        original(self, *arguments, **options)

    RunFolder.open_or_create = open_or_create  # type: ignore[method-assign]


def _interrupt_at(number: int) -> Callable[[Any, int, Any, Any, Any], Any]:
    def change(original: Any, call: int, generator: Any, captions: Any, seeds: Any) -> Any:
        if call == number:
            raise KeyboardInterrupt
        return original(generator, captions, seeds)

    return change


def damaged(lab: Lab, out: Path) -> str:
    """Files of images and scores cut short, or with one bit flipped anywhere."""
    lab.attempt(out)
    pristine = lab.folder / "pristine"
    shutil.copytree(out, pristine)
    flips = 0
    for k in lab.moments(4, 120):
        shutil.rmtree(out)
        shutil.copytree(pristine, out)
        files = sorted((out / ("images", "scores")[k % 2]).rglob("*.parquet"))
        path = files[lab.rng.randrange(len(files))]
        data = bytearray(path.read_bytes())
        if k % 8 == 7:
            data = data[: lab.rng.randrange(len(data))]
        else:
            data[lab.rng.randrange(len(data))] ^= 1 << lab.rng.randrange(8)
        path.write_bytes(data)
        for name in ("result.json", "ranking.csv"):
            (out / name).unlink()
        lab.recovered(out, classifier=("again", "colours")[k // 2 % 2])
        flips += 1
    return f"{flips} files, each damaged in another place"


def damaged_everywhere(lab: Lab, out: Path) -> str:
    """Each bit (short: one in twenty) of a file of images and of one of scores: noticed, or without effect."""
    import logging

    import numpy as np

    from genlens.score_cache import ScoreCache
    from genlens.store import ImageStore

    logging.disable(logging.CRITICAL)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 3, 3), dtype=np.uint8)
    keys = ["a" * 32, "b" * 32, "c" * 32]
    ImageStore(out / "images").append(keys, ["red circle (1, 2) 3", "", "tv"], [1, 2, 3], pixels)
    ScoreCache(out / "scores").append(keys, np.array([[0.1, 2], [3, -4], [5, 6]], np.float32))

    def images(folder: Path) -> dict[str, bytes]:
        store = ImageStore(folder)
        return {
            k: i.tobytes() for ks, found in store.read(sorted(store.keys())) for k, i in zip(ks, found, strict=True)
        }

    def scores(folder: Path) -> dict[str, bytes]:
        cache = ScoreCache(folder)
        return {key: cache.get([key]).tobytes() for key in keys if key in cache}

    tried = unnoticed = 0
    for name, read in (("images", images), ("scores", scores)):
        path = next((out / name).glob("*.parquet"))
        data, right = path.read_bytes(), read(out / name)
        assert len(right) == 3
        for bit in range(len(data) * 8) if lab.long else range(lab.seed % 8, len(data) * 8, 20):
            spoilt = bytearray(data)
            spoilt[bit // 8] ^= 1 << bit % 8
            path.write_bytes(spoilt)
            found = read(out / name)
            assert all(right.get(key) == value for key, value in found.items()), f"bit {bit} of {name}"
            tried, unnoticed = tried + 1, unnoticed + (len(found) == 3)
    logging.disable(logging.NOTSET)
    return f"{tried:,} bits: {tried - unnoticed:,} noticed, {unnoticed:,} without effect, no wrong image or score"


def two_processes(lab: Lab, out: Path) -> str:
    """Two processes on one run folder."""
    gate = lab.folder / "gate"
    os.mkfifo(gate)

    def wait_in_the_middle(original: Any, call: int, generator: Any, captions: Any, seeds: Any) -> Any:
        if call == 3:
            gate.read_text()  # until somebody writes
        return original(generator, captions, seeds)

    first = lab.start(out, lambda: _wrap_generate(wait_in_the_middle))
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
        _wrap_generate(_interrupt_at(3))

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
        def change(original: Any, call: int, generator: Any, captions: Any, seeds: Any) -> Any:
            if len(captions) > largest:
                raise error
            return original(generator, captions, seeds)

        return lambda: _wrap_generate(change)

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

        def slowly(original: Any, call: int, generator: Any, captions: Any, seeds: Any) -> Any:
            time.sleep(0.03)
            return original(generator, captions, seeds)

        child = lab.start(place, lambda: _wrap_generate(slowly))
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
