"""Faults of the disk: full, read-only, damaged. See `fault_cases` for what must come of them."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fault_lab import Lab, interrupt

NOBODY = 65534


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
            lab.spoilt(out / "disk" / "run", interrupt)
            subprocess.run(["mount", "-o", "remount,ro", str(out / "disk")], check=True)
            assert lab.spoilt(out / "disk" / "run", says="Read-only file system").code == 1
            subprocess.run(["mount", "-o", "remount,rw", str(out / "disk")], check=True)
            lab.recovered(out / "disk" / "run")
            ways.append("read-only mount")
    lab.spoilt(out / "run", interrupt)
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
