"""The plan of a finished run on disk, so that other classifiers can be scored on its images without its data set.

`plan_images.parquet` has a row an image (caption, seed), `plan_rows.parquet` a row a row of the table (id, label,
cluster, numbers of its images in each state); `plan.json` says what they mean, and the hash of each, so that no flipped
bit goes unnoticed.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from genlens.errors import RunFolderError
from genlens.files import write_atomic
from genlens.plan import ConceptStates, Plan

IMAGES_FILE, ROWS_FILE, ABOUT_FILE = "plan_images.parquet", "plan_rows.parquet", "plan.json"
_OWN, _INDEX, _VALUES = "own {}", "images {}", "values {}"


@dataclass(frozen=True, eq=False)
class FinishedPlan:
    """What a run's images show, and what its scores were held against.

    Attributes:
        plan: M images of N rows; its extras are left out, and values that aren't numbers are None.
        y: (N,) labels.
        row_ids: N names.
        clusters: (N,) groups of dependent rows, or None.
        generator: fingerprint of the generator.
        settings: scoring, target_class, confidence, label.
    """

    plan: Plan
    y: NDArray[Any]
    row_ids: tuple[str, ...]
    clusters: NDArray[Any] | None
    generator: str
    settings: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write the files, each whole or not at all.

        Raises:
            WriteError: the disk is full, or the folder can't be written.
        """
        plan, n_rows = self.plan, len(self.y)
        rows: dict[str, Any] = {"row_id": list(self.row_ids), "y": self.y}
        if self.clusters is not None:
            rows["cluster"] = [str(cluster) for cluster in self.clusters]
        rows["reference"] = list(plan.reference)
        for states in plan.states:
            rows[_OWN.format(states.concept)] = states.own
            rows[_INDEX.format(states.concept)] = list(states.index.reshape(n_rows, -1))
            numbers = _numbers(states.states)
            if numbers is not None:
                rows[_VALUES.format(states.concept)] = list(numbers)
        concepts: list[dict[str, Any]] = [
            {"name": states.concept, "stratum": states.stratum.tolist(), "strata": list(states.strata)}
            for states in plan.states
        ]
        images = pa.table({"caption": list(plan.captions), "seed": plan.seeds})
        tables = {IMAGES_FILE: images, ROWS_FILE: pa.table(rows)}
        hashes = {name: _write(folder / name, table) for name, table in tables.items()}
        about: dict[str, Any] = {
            "generator": self.generator,
            "concepts": concepts,
            "settings": self.settings,
            "files": hashes,
        }
        about["hash"] = _digest(_text(about))
        write_atomic(folder / ABOUT_FILE, _text(about))

    @classmethod
    def load(cls, folder: Path) -> FinishedPlan:
        """Read what `save` wrote.

        Raises:
            RunFolderError: a file is missing or damaged.
        """
        for name in (IMAGES_FILE, ROWS_FILE, ABOUT_FILE):
            if not (folder / name).is_file():
                raise RunFolderError(
                    f"{folder} has no {name}: it isn't the folder of a finished `genlens rank` over every row. "
                    "Finish the run with the command that began it."
                )
        try:
            about = _about(folder / ABOUT_FILE)
            return _read(about, *(_table(folder / name, about["files"][name]) for name in (IMAGES_FILE, ROWS_FILE)))
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RunFolderError(
                f"The plan in {folder} is damaged ({reason}); repeat the command that wrote it."
            ) from None


def _write(path: Path, table: pa.Table) -> str:
    """Write a table and return its hash."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_atomic(path, buffer.getvalue())
    return _digest(buffer.getvalue())


def _about(path: Path) -> dict[str, Any]:
    about = dict(json.loads(path.read_text(encoding="utf-8")))
    if about.pop("hash") != _digest(_text(about)):
        raise ValueError(f"{path.name} isn't what was written")
    return about


def _text(about: dict[str, Any]) -> bytes:
    return json.dumps(about, indent=1, ensure_ascii=False).encode()


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def _table(path: Path, digest: str) -> pa.Table:
    data = path.read_bytes()
    if _digest(data) != digest:
        raise ValueError(f"{path.name} isn't what was written")
    return pq.ParquetFile(io.BytesIO(data)).read()


def _numbers(states: NDArray[Any]) -> NDArray[np.float64] | None:
    """(N, S) values as numbers, or None where one isn't."""
    if not all(isinstance(value, (int, float, np.integer, np.floating)) for value in states.ravel()):
        return None
    return states.astype(np.float64)


def _read(about: dict[str, Any], images: pa.Table, rows: pa.Table) -> FinishedPlan:
    reference = _matrix(rows["reference"])
    captions, seeds = tuple(images["caption"].to_pylist()), images["seed"].to_numpy()
    states = tuple(_states(rows, concept, reference.shape[1]) for concept in about["concepts"])
    if not states or max(int(item.index.max()) for item in states) >= len(captions):
        raise ValueError("its rows name images that it doesn't have")
    clusters = rows["cluster"].to_numpy() if "cluster" in rows.column_names else None
    plan = Plan(captions, seeds, reference, states)
    settings = dict(about["settings"])
    return FinishedPlan(
        plan, rows["y"].to_numpy(), tuple(rows["row_id"].to_pylist()), clusters, str(about["generator"]), settings
    )


def _states(rows: pa.Table, concept: dict[str, Any], n_draws: int) -> ConceptStates:
    name, strata = str(concept["name"]), tuple(concept["strata"])
    own = rows[_OWN.format(name)].to_numpy()
    stratum = np.array(concept["stratum"], dtype=np.int64)
    index = _matrix(rows[_INDEX.format(name)]).reshape(len(own), len(stratum), n_draws)
    held = _VALUES.format(name) in rows.column_names
    values = _matrix(rows[_VALUES.format(name)]) if held else np.full((len(own), len(stratum)), None)
    return ConceptStates(name, index, stratum, np.bincount(own, minlength=len(strata)), own, strata, values)


def _matrix(column: pa.ChunkedArray) -> NDArray[Any]:
    return np.array(column.to_pylist())
