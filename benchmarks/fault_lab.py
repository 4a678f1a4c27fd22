"""A small run of `genlens rank` that can be spoilt, each time in a process of its own, and ways to spoil it."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROWS, BATCH = 16, 8
CLASSIFIER = "def colours(images):\n    return [image.mean(axis=(0, 1)) for image in images]\n"


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


def before_rendering(hook: Callable[[int, Sequence[str]], None]) -> None:
    """From now on call `hook(number of the call, captions)` before the generator renders a batch."""
    from genlens.generators.drawer import DrawerGenerator

    original, calls = DrawerGenerator.generate, [0]

    def generate(self: Any, captions: Any, seeds: Any) -> Any:
        calls[0] += 1
        hook(calls[0], captions)
        return original(self, captions, seeds)

    DrawerGenerator.generate = generate  # type: ignore[method-assign]


def interrupt() -> None:
    """From now on interrupt the third batch."""

    def at_third(call: int, _: Sequence[str]) -> None:
        if call == 3:
            raise KeyboardInterrupt

    before_rendering(at_third)
