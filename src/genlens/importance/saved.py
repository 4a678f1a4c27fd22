"""The folder form of a result: JSON, CSV and Parquet with checksums, no pickle, and nothing trusted when it is read."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from genlens.errors import RunFolderError
from genlens.files import write_atomic
from genlens.importance.result import Analysis, CheckResult, ImportanceResult, Picture
from genlens.store import decode_image

RESULT_FILE = "result.json"
_FORMAT = 2
_VECTORS = ("importance", "std", "se", "ci_low", "ci_high", "p_value", "q_value", "reliance", "reliance_signed")
_MATRICES = ("reliance_ci", "reliance_signed_ci")
_NUMBER, _COUNT = (int, float), int
_SCALARS: dict[str, Any] = {
    "reference_score": (*_NUMBER, type(None)), "real_score": (*_NUMBER, type(None)), "confidence": _NUMBER,
    "interval": str, "scoring": str, "target_class": (_COUNT, type(None)), "n_rows": _COUNT, "n_images": _COUNT,
    "n_naive": _COUNT, "settings": dict,
}  # fmt: skip
_VERDICTS = ("passed", "failed", "undecided", "not applicable")
_T = TypeVar("_T")


def write_result(result: ImportanceResult, folder: Path) -> None:
    """Write a result; `result.json` goes first and comes last, so a half-written result counts as none.

    Raises:
        WriteError: the disk is full, or the folder can't be written.
    """
    (folder / RESULT_FILE).unlink(missing_ok=True)
    parts = {
        "repeats.parquet": _parquet(result.frame()),
        "effects.parquet": _parquet(result.row_effects()),
        "gallery.parquet": _parquet(_frame([asdict(picture) for picture in result.gallery], _names(Picture))),
        "checks.json": _json([asdict(check) for check in result.checks]),
        "analyses.json": _json([asdict(analysis) for analysis in result.analyses]),
    }
    for name, data in parts.items():
        write_atomic(folder / name, data)
    write_atomic(folder / "ranking.csv", result.ranking().to_csv(index=False).encode())
    document: dict[str, Any] = {"format": _FORMAT, "concepts": list(result.concepts)}
    document |= {name: getattr(result, name).tolist() for name in (*_VECTORS, *_MATRICES)}
    document |= {name: getattr(result, name) for name in _SCALARS}
    document |= {"reference_ci": result.reference_ci, "real_ci": result.real_ci}
    document["files"] = {name: checksum(data) for name, data in parts.items()}
    write_atomic(folder / RESULT_FILE, sealed(document))


def sealed(document: Mapping[str, Any]) -> bytes:
    """A result's JSON document with its checksum."""
    content = {key: value for key, value in document.items() if key != "checksum"}
    return _json({**content, "checksum": checksum(_json(content))})


def read_result(folder: Path) -> ImportanceResult:
    """Read what `write_result` wrote.

    Raises:
        RunFolderError: there is no result, or a file of it is missing, damaged or belongs to another result.
    """
    if not (folder / RESULT_FILE).is_file():
        raise RunFolderError(f"{folder} holds no {RESULT_FILE}; it isn't the folder of a finished run.")
    try:
        return _read(folder)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise RunFolderError(
            f"The result in {folder} is damaged ({error}); repeat the command that wrote it."
        ) from error


def _read(folder: Path) -> ImportanceResult:
    document = _expect("the document", json.loads((folder / RESULT_FILE).read_bytes()), dict)
    if checksum(_json({key: value for key, value in document.items() if key != "checksum"})) != document["checksum"]:
        raise ValueError(f"the checksum of {RESULT_FILE} is wrong")
    parts = {name: _part(folder / name, digest) for name, digest in document["files"].items() if name in _PARTS}
    concepts = tuple(_texts("concepts", document["concepts"]))
    size = len(concepts)
    if not size or len(set(concepts)) < size:
        raise ValueError("it has no concepts, or one twice")
    arrays: dict[str, Any] = {name: _array(document[name], (size,)) for name in _VECTORS}
    arrays |= {name: _array(document[name], (size, 2)) for name in _MATRICES}
    _weights(_expect("settings", document["settings"], dict).get("true_reliance"))
    repeats = _array(_columns(parts["repeats.parquet"])["importance"]).reshape(size, -1)
    effects = _columns(parts["effects.parquet"])
    return ImportanceResult(
        concepts=concepts,
        repeats=repeats,
        effects=_array(effects["effect"]).reshape(size, -1),
        row_ids=tuple(_texts("row_id", effects["row_id"][: len(effects["row_id"]) // size])),
        own=np.array(_texts("own", effects["own"]), dtype=object).reshape(size, -1),
        reference_ci=_interval(document["reference_ci"]),
        real_ci=None if document["real_ci"] is None else _interval(document["real_ci"]),
        checks=tuple(_records(CheckResult, json.loads(parts["checks.json"]))),
        analyses=tuple(_records(Analysis, json.loads(parts["analyses.json"]))),
        gallery=tuple(_records(Picture, _rows(parts["gallery.parquet"]))),
        **arrays,
        **{name: _scalar(name, document[name], kind) for name, kind in _SCALARS.items()},
    )


_PARTS = ("repeats.parquet", "effects.parquet", "gallery.parquet", "checks.json", "analyses.json")


def _part(path: Path, digest: str) -> bytes:
    """Content of a file, whose checksum must be right."""
    data = path.read_bytes()
    if checksum(data) != digest:
        raise ValueError(f"{path.name} isn't the file that was written with {RESULT_FILE}")
    return data


def _scalar(name: str, value: Any, kind: Any) -> Any:
    _expect(name, value, kind)
    return math.nan if name == "reference_score" and value is None else value


def _weights(known: Any) -> None:
    """Check the weights that a target model is known to have: a number for each concept, or none."""
    for value in known.values() if isinstance(known, dict) else ():
        if value is not None:
            float(_expect("true_reliance", value, _NUMBER))


def _expect(name: str, value: _T, kind: Any) -> _T:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{name} is {str(value)[:40]!r}")
    return value


def _text(name: str, value: Any) -> Any:
    return _expect(name, value, str)


def _texts(name: str, values: Any) -> list[str]:
    return [_expect(name, value, str) for value in _expect(name, values, list)]


def _records(kind: Callable[..., _T], records: Iterable[Any]) -> Iterable[_T]:
    """Dataclasses of records, each entry of the type it has to be."""
    names = _names(kind)
    for record in _expect("the list", records, list):
        for name in names:
            _CHECKS.get(name, _text)(name, record[name])
        entries = {name: record[name] for name in names}
        if entries.get("matrix") is not None:  # JSON has null for NaN
            across = len(entries["labels"])
            down = min(len(entries["matrix"]), across)  # watched concepts have a column, and no row
            entries["matrix"] = _array(entries["matrix"], (down, across)).tolist()
        if "score" in entries and entries["score"] is None:
            entries["score"] = math.nan
        yield kind(**entries)


def _table(name: str, value: Any) -> None:
    for record in _expect(name, value, list):
        for cell in _expect(name, record, dict).values():
            for entry in cell if isinstance(cell, list) else [cell]:
                if not isinstance(entry, (str, bool, *_NUMBER, type(None))):
                    raise TypeError(f"{name} holds {str(entry)[:40]!r}")


def _verdict(name: str, value: Any) -> None:
    if value not in _VERDICTS:
        raise ValueError(f"{name} is {str(value)[:40]!r}")


def _picture(name: str, value: Any) -> None:
    decode_image(_expect(name, value, bytes))


def _optional(kind: Any) -> Callable[[str, Any], Any]:
    return lambda name, value: _expect(name, value, (*kind, type(None)))


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "verdict": _verdict,
    "table": _table,
    "labels": _texts,
    "matrix": _optional((list,)),
    "value": _optional(_NUMBER),
    "threshold": _optional(_NUMBER),
    "score": _optional(_NUMBER),
    "png": _picture,
}
"""How an entry of a record is checked; all others are texts."""


def _names(kind: Any) -> list[str]:
    return [entry.name for entry in fields(kind)]


def _array(values: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Float64 array; None (JSON null) becomes NaN."""
    array = np.array(values, dtype=np.float64)
    if array.ndim != len(shape or (0,)) or (shape and array.shape != shape):
        raise ValueError(f"an array has the shape {array.shape}")
    return array


def _interval(ends: Any) -> tuple[float, float]:
    low, high = _array(ends, (2,)).tolist()
    return low, high


def _columns(data: bytes) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = _table_of(data).to_pydict()
    return columns


def _rows(data: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _table_of(data).to_pylist()
    return rows


def _table_of(data: bytes) -> Any:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(io.BytesIO(data))
    if "map<" in str(file.schema_arrow):
        raise ValueError("a column of maps")  # Arrow aborts on damaged ones
    return file.read()


def _frame(values: Any, columns: list[str]) -> Any:
    import pandas as pd

    return pd.DataFrame(values, columns=columns)


def _parquet(frame: Any) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _json(document: Any) -> bytes:
    return (json.dumps(_null(document), indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def checksum(data: bytes) -> str:
    """Checksum of a file's content: 32 hexadecimal digits."""
    return blake2b(data, digest_size=16).hexdigest()


def _null(value: Any) -> Any:
    """Make numpy scalars, tuples and non-finite floats fit for JSON."""
    if isinstance(value, Mapping):
        return {str(key): _null(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_null(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
