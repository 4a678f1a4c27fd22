"""One folder a run: its settings, its images, its scores; one process at a time, resumable at any moment."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from genlens.errors import RunFolderError
from genlens.files import WriteError, make_folder, remove_strays, write_atomic
from genlens.score_cache import ScoreCache
from genlens.storage import open_storage
from genlens.store import ImageStore

SETTINGS_FILE = "run.json"
RESULT_FILES = (
    "result.json", "checks.json", "analyses.json", "ranking.csv", "report.html",
    "repeats.parquet", "effects.parquet", "gallery.parquet", "plan_images.parquet", "plan_rows.parquet",
    "plan.json", "spurious.json", "bias.json", "pictures.csv", "candidates.json", SETTINGS_FILE,
)  # fmt: skip
_LOCK_FILE = "lock"
_PACKAGES = ("genlens", "numpy", "torch", "diffusers", "transformers", "scikit-learn", "pyarrow")


class RunFolder:
    """The folder of a run: `run.json`, `images/`, `scores/`, results.

    Nothing is touched until `open_or_create`. Writers hold `lock()`; readers need no lock.

    Args:
        path: the folder, on a disk of this machine or a shared one.
        images: fsspec URL (or path) of the images, which several machines and runs may share; None: the place that the
            run in this folder was begun with, or `images/` below it.
    """

    def __init__(self, path: str | Path, images: str | None = None) -> None:
        self.path = Path(path)
        if images is not None:
            open_storage(images)  # a URL that nobody knows is found before anything is made
        self._place = images
        self._images: ImageStore | None = None
        self._scores: dict[str, ScoreCache] = {}
        self._locked = False

    @property
    def images(self) -> ImageStore:
        """The images rendered so far."""
        if self._images is None:
            written = self.settings.get("images") if self._place is None and self.exists() else self._place
            self._images = ImageStore(self.path / "images" if written is None else str(written))
        return self._images

    def scores(self, classifier_fingerprint: str) -> ScoreCache:
        """The scores one classifier gave so far; another fingerprint has another, empty cache."""
        if classifier_fingerprint not in self._scores:
            folder = self.path / "scores" / classifier_fingerprint
            self._scores[classifier_fingerprint] = ScoreCache(folder)
        return self._scores[classifier_fingerprint]

    def exists(self) -> bool:
        """Whether a run was started here."""
        return (self.path / SETTINGS_FILE).is_file()

    def read(self) -> dict[str, Any]:
        """Content of run.json: settings, versions, created.

        Raises:
            RunFolderError: there is none, or it can't be read.
        """
        path = self.path / SETTINGS_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(content["settings"], dict):
                raise TypeError("settings is no object")
        except FileNotFoundError:
            raise RunFolderError(f"{self.path} is not a run folder: it has no {SETTINGS_FILE}.") from None
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise RunFolderError(f"{path} is damaged ({reason}). Choose another folder or pass --overwrite.") from None
        return dict(content)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the run, as JSON holds them."""
        return dict(self.read()["settings"])

    def open_or_create(self, settings: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Go on with the run in this folder, or start one.

        Args:
            settings: everything that decides which images are rendered, JSON values by name. What may differ
                between two uses of the same images (the classifier, n_repeats) doesn't belong here.
            overwrite: throw away the run that is here, images and scores included (not images at a place of their own,
                which other runs may use).

        Raises:
            RunFolderError: the run here was written with other settings (each is named), or the folder holds
                something that isn't a run, or another process writes it.
            WriteError: the folder can't be made or written.
        """
        wanted = _as_json(settings) | ({} if self._place is None else {"images": self._place})
        self._check_is_usable()
        if self.exists() and not overwrite:
            _compare(self.path, self.settings, wanted)
            return
        with self.lock():
            self._clear()
            write_atomic(self.path / SETTINGS_FILE, _document(wanted))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only process that writes this folder; remove what an earlier one left half-written.

        May be nested on one object.

        The lock is the operating system's (`flock`): it ends with its process, however that dies. A disk that knows
        none (some network disks) isn't locked.

        Raises:
            RunFolderError: another process holds it; the message names it.
            WriteError: the folder can't be made.
        """
        if self._locked:
            yield
            return
        self._check_is_usable()
        make_folder(self.path)
        path = self.path / _LOCK_FILE
        handle = _acquire(path)
        self._locked = True
        try:
            _write_owner(handle)
            remove_strays(self.path)
            yield
        finally:
            self._locked = False
            path.unlink(missing_ok=True)
            os.close(handle)

    def _check_is_usable(self) -> None:
        """Refuse a file, and a folder that holds something else than a run (one killed at its birth counts as one)."""
        if self.path.exists() and not self.path.is_dir():
            raise RunFolderError(f"{self.path} is a file, not a folder. Choose another folder.")
        own = (_LOCK_FILE, f".{SETTINGS_FILE}")
        if self.path.is_dir() and not self.exists():
            for entry in self.path.iterdir():
                if not entry.name.startswith(own):
                    raise RunFolderError(f"{self.path} is not empty and is not a run folder. Choose another folder.")

    def _clear(self) -> None:
        for name in ("images", "scores", "features", "candidates"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in RESULT_FILES:
            (self.path / name).unlink(missing_ok=True)
        self._images, self._scores = None, {}


def _as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they come back from a JSON file: tuples as lists, keys as text."""
    return dict(json.loads(json.dumps(dict(settings), default=_plain)))


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a setting must be a JSON value; got {value!r}")


def _document(settings: dict[str, Any]) -> bytes:
    content = {"settings": settings, "versions": versions(), "created": datetime.now(UTC).isoformat(timespec="seconds")}
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers; those that aren't installed are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _compare(folder: Path, written: dict[str, Any], wanted: dict[str, Any]) -> None:
    names = [name for name in {**written, **wanted} if written.get(name) != wanted.get(name)]
    if names:
        old = ", ".join(f"{name}={_short(written.get(name))}" for name in names)
        new = ", ".join(f"{name}={_short(wanted.get(name))}" for name in names)
        raise RunFolderError(
            f"{folder} was written with {old}; this run asks for {new}. Choose another folder or pass --overwrite."
        )


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"


def _acquire(path: Path) -> int:
    """Open and lock `path`; retried where its last owner removed it between the two steps."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise WriteError(path.parent, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise RunFolderError(_refusal(path)) from None
        except OSError:  # a disk that knows no locks
            return handle
        if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
            return handle
        os.close(handle)


def _write_owner(handle: int) -> None:
    owner = {"pid": os.getpid(), "host": platform.node(), "since": datetime.now().isoformat(" ", timespec="seconds")}
    with suppress(OSError):  # it only serves a message; a full disk is noticed soon enough
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(owner).encode())


def _refusal(path: Path) -> str:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        who = f"process {owner['pid']} on {owner['host']} (since {owner['since']})"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        who = "another process"
    return f"{path.parent} is in use by {who}. Wait until it ends, or choose another folder."
