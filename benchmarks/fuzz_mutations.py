"""Damage that keeps a file's form: JSON stays JSON, Parquet stays Parquet, and any file may lose or gain bytes."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Mutation = Callable[[bytes, random.Random], bytes]

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e308, -1e400, float("nan"), 2**31, 2**53, 2**63, -(2**64), 10**30,
    "", " ", "0", "nan", "1e999", "../../etc/passwd", "/etc/passwd", "C:\\x", "a\0b", "\x1b[31mred\x1b[0m", "one\ntwo",
    "\ud800", "\u202e", "<script>alert(1)</script>", "{tv}", "{0.__class__}", "x" * 300, [], {}, [[]], [None], ["a", 1],
    {"": None}, {"counts": [1], "size": [1, 1]}, [1, 2, 3, 4, 5, 6], "__import__('os')", "file:///etc/passwd", "tv",
)  # fmt: skip
"""Values that readers are known to trip over."""

_COLUMNS: tuple[Callable[[int], pa.Array], ...] = (
    lambda n: pa.nulls(n),
    lambda n: pa.array([1] * n, pa.uint64()),
    lambda n: pa.array([2**64 - 1] * n, pa.uint64()),
    lambda n: pa.array([k % 2 for k in range(n)], pa.int8()),
    lambda n: pa.array([k % 2 == 0 for k in range(n)]),
    lambda n: pa.array([float("nan"), *[1.5] * n][:n]),
    lambda n: pa.array(["a"] * n),
    lambda n: pa.array([f"{k}.png" for k in range(n)], pa.large_string()),
    lambda n: pa.array([b"\xff\x00"] * n),
    lambda n: pa.array([Decimal("1.50")] * n),
    lambda n: pa.array([datetime(2020, 1, 1, tzinfo=UTC)] * n),
    lambda n: pa.array([2**62] * n, pa.timestamp("s")),
    lambda n: pa.array([1] * n, pa.duration("ns")),
    lambda n: pa.array([1] * n, pa.date32()),
    lambda n: pa.array([1] * n, pa.time64("us")),
    lambda n: pa.array([[1.0], [], None, *[[1.0, 2.0]] * n][:n], pa.list_(pa.float32())),
    lambda n: pa.array([[1.0, 2.0]] * n, pa.list_(pa.float32())),
    lambda n: pa.array([[float("inf"), float("nan")]] * n, pa.list_(pa.float32())),
    lambda n: pa.array([{"bytes": b"no image", "path": "../../x"}] * n),
    lambda n: pa.array([{"bytes": None, "path": None}] * n, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    lambda n: pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int64())),
    lambda n: pa.array(["a", "b", *["a"] * n][:n]).dictionary_encode(),
)
"""Columns of n rows, of every type that a reader might meet."""


def mutate(data: bytes, form: str, rng: random.Random, anyhow: Mutation) -> bytes:
    """Damage a file.

    Args:
        data: the file; of form "parts" one line with a name, then that file.
        form: "json", "jsonl", "csv", "parquet", "bytes" or "parts".
        rng: decides how.
        anyhow: mutation of bytes that knows nothing.
    """
    if form == "parts":
        name, _, content = data.partition(b"\n")
        inner = name.rpartition(b".")[2].decode("ascii", "replace")
        return name + b"\n" + mutate(content, inner, rng, anyhow)
    within = {"json": mutate_json, "jsonl": mutate_lines, "csv": mutate_cells, "parquet": mutate_parquet}.get(form)
    if within is None or rng.random() < 0.3:
        return anyhow(data, rng)
    try:
        return within(data, rng)
    except (ValueError, TypeError, KeyError, OSError, RecursionError, OverflowError, pa.ArrowException):
        return anyhow(data, rng)


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, drop, repeat, cut or insert bytes."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(result) + 1), min(rng.randint(1, 16), len(result))
        match rng.randrange(5):
            case 0 if result:
                result[at % len(result)] ^= 1 << rng.randrange(8)
            case 1:
                del result[at : at + length]
            case 2:
                result[at:at] = result[max(0, at - length) : at]
            case 3:
                del result[at:]
            case _:
                result[at:at] = rng.randbytes(length)
    return bytes(result)


def mutate_json(data: bytes, rng: random.Random) -> bytes:
    """Replace, drop, rename or repeat some entries; sometimes nest the whole very deeply."""
    if rng.random() < 0.002:
        return b"[" * 100_000
    document = json.loads(data)
    for _ in range(rng.randint(1, 3)):
        document = _changed(document, rng)
    return json.dumps(document).encode()


def _changed(node: Any, rng: random.Random) -> Any:
    """A JSON value with one change somewhere in it."""
    if not isinstance(node, (dict, list)) or not node or rng.random() < 0.08:
        return rng.choice(VALUES)
    key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
    chance = rng.random()
    if chance < 0.7:
        node[key] = _changed(node[key], rng)
    elif chance < 0.8:
        del node[key]
    elif isinstance(node, list):
        node.insert(key, rng.choice([*node, *VALUES]))
    else:
        node[str(rng.choice(VALUES))] = node[key] if chance < 0.9 else node.pop(key)
    return node


def mutate_lines(data: bytes, rng: random.Random) -> bytes:
    """Mutate the JSON of one line, or drop or repeat a line."""
    lines = data.splitlines()
    at = rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case _:
            lines[at] = mutate_json(lines[at], rng)
    return b"\n".join(lines)


def mutate_cells(data: bytes, rng: random.Random) -> bytes:
    """Replace one cell of a csv, or drop or repeat a line."""
    rows = [line.split(b",") for line in data.split(b"\n")]
    row = rng.choice(rows)
    match rng.randrange(6):
        case 0:
            rows.remove(row)
        case 1:
            rows.append(row)
        case 2:
            row.append(b"")
        case _:
            value = str(rng.choice(VALUES)).encode("utf-8", "surrogatepass")
            row[rng.randrange(len(row))] = rng.choice([value, b'"' + value + b'"'])
    return b"\n".join(b",".join(row) for row in rows)


def mutate_parquet(data: bytes, rng: random.Random) -> bytes:
    """Change a column's type, values or name, drop or repeat rows or columns, change the file's metadata."""
    file = pq.ParquetFile(io.BytesIO(data))
    if "map<" in str(file.schema_arrow):
        raise ValueError("Arrow aborts on damaged maps")
    table = file.read()
    at = rng.randrange(table.num_columns)
    name = table.column_names[at]
    match rng.randrange(8):
        case 0:
            table = table.drop_columns([name])
        case 1:
            table = table.rename_columns(
                [str(rng.choice(VALUES)) if k == at else n for k, n in enumerate(table.column_names)]
            )
        case 2:
            table = pa.concat_tables([table, table])
        case 3:
            table = table.slice(rng.randrange(table.num_rows + 1))
        case 4:
            table = table.replace_schema_metadata(
                {b"pandas": rng.choice([b"{}", b"no JSON", b'{"columns": 1}']), b"huggingface": b"["}
            )
        case 5:
            cells = table[name].to_pylist()
            cells[rng.randrange(len(cells))] = rng.choice([*cells, *VALUES])
            table = table.set_column(at, name, pa.array(cells, table.schema.types[at]))
        case _:
            table = table.set_column(at, name, rng.choice(_COLUMNS)(table.num_rows))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="none", write_page_checksum=rng.random() < 0.5)
    return buffer.getvalue()
