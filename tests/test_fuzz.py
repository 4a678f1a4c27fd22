"""Readers of files from elsewhere: valid files, fixed findings of benchmarks/fuzz.py, and files made up on the spot.

Each must be read, or refused by a `UserError` of one line.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "fuzz_corpus"
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
NAMES = (
    "csv", "jsonl", "parquet", "coco", "run", "images", "scores", "result", "concept-net", "pipeline", "picture",
)  # fmt: skip
SHORT = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("_quiet")]


@pytest.fixture
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="genlens")


@pytest.fixture(scope="module")
def fuzz() -> Any:
    """benchmarks/fuzz_readers.py and benchmarks/fuzz_mutations.py as one namespace."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        readers, mutations = (importlib.import_module(f"fuzz_{part}") for part in ("readers", "mutations"))
    finally:
        sys.path.remove(str(BENCHMARKS))
    return type("Fuzz", (), {**vars(readers), **vars(mutations)})


def test_every_reader_is_here(fuzz: Any) -> None:
    assert set(fuzz.READERS) == set(NAMES)
    assert {path.parent.name for path in CORPUS.glob("*/*")} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_valid_files_are_read(fuzz: Any, name: str, tmp_path: Path) -> None:
    reader = fuzz.READERS[name]
    assert fuzz.try_file(reader, reader.seeds()[0], tmp_path / "x") == "read"


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_fixed_findings_stay_fixed(fuzz: Any, path: Path, tmp_path: Path) -> None:
    assert fuzz.try_file(fuzz.READERS[path.parent.name], path.read_bytes(), tmp_path / "x") in ("read", "refused")


@pytest.mark.parametrize("name", NAMES)
def test_mutated_files(fuzz: Any, name: str, tmp_path: Path) -> None:
    reader, rng = fuzz.READERS[name], random.Random(0)
    for _ in range(40):
        data = fuzz.mutate(rng.choice(reader.seeds()), reader.form, rng, fuzz.mutate_bytes)
        assert fuzz.try_file(reader, data, tmp_path / "x") in ("read", "refused")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
LINES = st.lists(
    st.fixed_dictionaries({"file_name": st.sampled_from(["a.png", "b.png", "sub/c.png", "../x"]) | JSON, "tv": JSON}),
    max_size=4,
)


@SHORT
@given(rows=LINES)
def test_any_json_lines(fuzz: Any, tmp_path: Path, rows: list[Any]) -> None:
    assert fuzz.try_file(
        fuzz.READERS["jsonl"], b"\n".join(json.dumps(row).encode() for row in rows), tmp_path / "x"
    ) in ("read", "refused")


@SHORT
@given(document=JSON, settings_=JSON)
def test_any_run_settings(fuzz: Any, tmp_path: Path, document: Any, settings_: Any) -> None:
    for content in (document, {"settings": settings_}, {"settings": {"seed": settings_}}):
        assert fuzz.try_file(fuzz.READERS["run"], json.dumps(content).encode(), tmp_path / "x") in ("read", "refused")


@SHORT
@given(segmentation=JSON, size=st.lists(st.integers(-1, 10**9), min_size=2, max_size=2))
def test_any_coco_segmentation(fuzz: Any, tmp_path: Path, segmentation: Any, size: list[int]) -> None:
    document = json.loads(fuzz.READERS["coco"].seeds()[0])
    document["annotations"][0]["segmentation"] = segmentation
    document["images"][1]["height"], document["images"][1]["width"] = size
    assert fuzz.try_file(fuzz.READERS["coco"], json.dumps(document).encode(), tmp_path / "x") in ("read", "refused")


@SHORT
@given(runs=st.lists(st.integers(0, 2**30), max_size=12))
def test_compressed_runs_are_unpacked_as_coco_packs_them(runs: list[int]) -> None:
    import numpy as np
    from faster_coco_eval.core import mask as rle

    from genlens.datasets.coco import unpacked_runs

    width = sum(run % 50 for run in runs)
    if width:
        pixels = np.repeat(np.arange(len(runs)) % 2, [run % 50 for run in runs]).astype(np.uint8)
        packed = rle.encode(np.asfortranarray(pixels[None]))
        found = unpacked_runs(packed["counts"])
        assert sum(found) == width
        assert (np.repeat(np.arange(len(found)) % 2, found) == pixels).all()


@SHORT
@given(counts=st.binary(max_size=20))
def test_any_compressed_runs(counts: bytes) -> None:
    from genlens.datasets.coco import decode_segmentation
    from genlens.errors import UserError

    with contextlib.suppress(UserError):
        assert decode_segmentation({"size": [6, 7], "counts": counts}, (6, 7)).shape == (6, 7)
