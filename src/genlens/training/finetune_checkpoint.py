"""The folder of a training: what it was begun with, checkpoints that are whole or absent, and its log."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.errors import UserError
from genlens.files import WriteError, make_folder, remove_strays, write_atomic

IDENTITY_FILE = "training.json"
LOG_FILE = "log.csv"
QUALITY_FILE = "quality.csv"
_CHECKPOINTS = "checkpoints"
_OWN = (_CHECKPOINTS, "scores", "validation", "pipeline", "lora", "distill", LOG_FILE, QUALITY_FILE, IDENTITY_FILE)


class TrainingFolder:
    """A folder that one training writes and goes on from.

    Args:
        path: the folder.
        keep: checkpoints kept, the latest ones.
    """

    def __init__(self, path: Path, keep: int = 2) -> None:
        self.path, self.keep = path, keep

    def open(self, identity: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Go on with the training in the folder, or begin one.

        Args:
            identity: everything that decides the weights, JSON values by name.
            overwrite: throw away what this kind of training wrote here.

        Raises:
            UserError: the training here was begun with other settings, or the folder holds something else.
            WriteError: it can't be written.
        """
        wanted = json.loads(json.dumps(identity))
        path = self.path / IDENTITY_FILE
        if overwrite and path.is_file():
            for name in _OWN:
                target = self.path / name
                shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        if path.is_file():
            _compare(path, wanted)
        elif self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise UserError(f"{self.path} holds something that isn't a training. Choose another folder.")
        else:
            write_atomic(path, (json.dumps(wanted, indent=1) + "\n").encode())
        remove_strays(self.path)

    def save(self, step: int, state: Mapping[str, Any]) -> Path:
        """Write a checkpoint aside, rename it, and remove those beyond `keep`.

        Raises:
            WriteError: the disk is full, or the folder can't be written.
        """
        import torch

        folder = self.path / _CHECKPOINTS
        make_folder(folder)
        path = folder / f"step-{step:08d}.pt"
        aside = folder / f".{path.name}.tmp-{os.getpid()}"
        try:
            with aside.open("wb") as file:
                torch.save(dict(state), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
        except OSError as error:
            raise WriteError(folder, error) from error
        finally:
            aside.unlink(missing_ok=True)
        for old in self.checkpoints()[: -self.keep]:
            old.unlink(missing_ok=True)
        return path

    def checkpoints(self) -> list[Path]:
        """Whole checkpoints, ascending by step."""
        return sorted((self.path / _CHECKPOINTS).glob("step-*.pt"))

    def latest(self) -> dict[str, Any] | None:
        """The latest checkpoint, on the CPU; None where there is none.

        Raises:
            UserError: it can't be read.
        """
        import torch

        found = self.checkpoints()
        if not found:
            return None
        try:
            state: dict[str, Any] = torch.load(found[-1], map_location="cpu", weights_only=True)
        except Exception as error:  # torch, its unpickler and zip raise all kinds for a damaged file
            raise UserError(
                f"The checkpoint {found[-1]} can't be read. Delete it to go on from the one before."
            ) from error
        return state

    def append(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add lines to a CSV file, with a header if it is new.

        Raises:
            WriteError: it can't be written.
        """
        path = self.path / name
        try:
            new = not path.exists()
            with path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                if new:
                    writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise WriteError(self.path, error) from error

    def read(self, name: str) -> list[dict[str, str]]:
        """Lines of a CSV file; none where it isn't there."""
        path = self.path / name
        if not path.exists():
            return []
        return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))

    def save_scores(self, step: int, scores: NDArray[np.float64]) -> None:
        """Write the scores behind a quality card.

        Raises:
            WriteError: they can't be written.
        """
        buffer = io.BytesIO()
        np.save(buffer, scores, allow_pickle=False)
        write_atomic(self._scores_file(step), buffer.getvalue())

    def scores(self, step: int) -> NDArray[np.float64]:
        """Inverse of `save_scores`.

        Raises:
            UserError: they can't be read.
        """
        path = self._scores_file(step)
        try:
            found: NDArray[np.float64] = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} can't be read: {error}. Pass --overwrite to begin anew.") from error
        return found

    def _scores_file(self, step: int) -> Path:
        return self.path / "scores" / f"step-{step:08d}.npy"

    def forget_after(self, step: int) -> None:
        """Drop lines of the log and the quality card that a kill left behind the checkpoint of `step`."""
        for name, last in ((LOG_FILE, step), (QUALITY_FILE, step)):
            rows = [row for row in self.read(name) if _whole(row) and int(row["step"]) <= last]
            if rows:
                text = io.StringIO()
                writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
                write_atomic(self.path / name, text.getvalue().encode())
            else:
                (self.path / name).unlink(missing_ok=True)


def _whole(row: Mapping[str, Any]) -> bool:
    """Whether a line was written to its end."""
    return None not in row.values() and None not in row and str(row["step"]).isdigit()


def _compare(path: Path, wanted: dict[str, Any]) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged. Choose another folder or pass --overwrite.") from error
    for name in sorted(set(found) | set(wanted)):
        if found.get(name) != wanted.get(name):
            raise UserError(
                f"{path.parent} was begun with {name}={found.get(name)}; this training asks for {wanted.get(name)}. "
                "Choose another folder or pass --overwrite."
            )
