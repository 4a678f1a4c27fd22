"""Images and scores on disk: whole or absent, readable by others, damaged files set aside."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from genlens.errors import RunFolderError, UserError
from genlens.files import WriteError, remove_strays, write_atomic
from genlens.score_cache import ScoreCache
from genlens.shards import Shards
from genlens.store import ImageStore, decode_image, encode_png, image_key

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 8, 10, 3), dtype=np.uint8)
CAPTIONS = ["a", "b", "", "ä, 日本", "a", "c"]
SEEDS = [0, 1, 2, 3, 2**63 - 1, 5]
KEYS = [image_key("model", caption, seed) for caption, seed in zip(CAPTIONS, SEEDS, strict=True)]


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """Two files of three images."""
    store = ImageStore(tmp_path / "images")
    for part in (slice(0, 3), slice(3, 6)):
        store.append(KEYS[part], CAPTIONS[part], SEEDS[part], IMAGES[part])
    return store


def read_all(store: ImageStore, keys: list[str]) -> dict[str, np.ndarray]:
    return {key: image for names, images in store.read(keys) for key, image in zip(names, images, strict=True)}


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def test_key_is_a_hash_of_all_fields_and_stable() -> None:
    assert image_key("model", "a", 0) == "9d2adacccf9137909f6d0730cec3b0a4"
    assert len({image_key("m", "a", 1), image_key("m", "a1", 1), image_key("ma", "", 1), image_key("m", "a", 11)}) == 4
    assert image_key("m", "a", 3) == image_key("m", "a", np.int64(3))  # type: ignore[arg-type]


def test_images_come_back_exactly(store: ImageStore) -> None:
    for one in (store, ImageStore(Path(store.place))):
        assert len(one) == 6 and one.keys() == set(KEYS) and KEYS[0] in one and "x" not in one
        images = read_all(one, KEYS[::-1])
        for key, image in zip(KEYS, IMAGES, strict=True):
            np.testing.assert_array_equal(images[key], image)
    assert list(read_all(store, KEYS[4:5])) == KEYS[4:5]
    with pytest.raises(KeyError):
        read_all(store, ["x"])


def test_files_are_parquet_that_hugging_face_datasets_opens(store: ImageStore) -> None:
    table = pq.read_table(files(Path(store.place))[0])
    assert table.column_names == ["key", "caption", "seed", "image"]
    cell = table["image"][0].as_py()
    assert set(cell) == {"bytes", "path"}
    assert Image.open(io.BytesIO(cell["bytes"])).format == "PNG"
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"} and set(features) == set(table.column_names)


def test_png_round_trip_of_photographs_and_flat_colour() -> None:
    for image in (IMAGES[0], np.full((5, 7, 3), 200, np.uint8)):
        np.testing.assert_array_equal(decode_image(encode_png(image)), image)


@pytest.mark.parametrize("damage", ["cut short", "empty", "middle", "other columns", "text"])
def test_damaged_file_is_set_aside(store: ImageStore, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    path = files(Path(store.place))[0]
    whole = path.read_bytes()
    lost = set(pq.read_table(path)["key"].to_pylist())
    if damage == "cut short":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "middle":
        at = whole.index(b"IDAT") + 10
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    elif damage == "other columns":
        pq.write_table(pq.read_table(path).drop_columns(["image", "key"]), path)
    else:
        path.write_text("hello")
    with caplog.at_level(logging.WARNING, "genlens"):
        again = ImageStore(Path(store.place))
        found = read_all(again, sorted(again.keys()))
    assert set(found) == set(KEYS) - lost == again.keys()
    assert list(again.damaged) == [path.name]
    assert f"{path} is damaged (" in caplog.text and "its rows are made again" in caplog.text
    assert [one.name for one in (Path(store.place) / "damaged").iterdir()] == [f"{path.name}.bad"]
    assert ImageStore(Path(store.place)).keys() == again.keys()


def test_file_that_vanishes_counts_as_absent(store: ImageStore) -> None:
    files(Path(store.place))[0].unlink()
    assert len(read_all(store, KEYS)) == 3
    assert len(store) == 3


def test_same_batch_again_replaces_its_file(store: ImageStore) -> None:
    store.append(KEYS[:3], CAPTIONS[:3], SEEDS[:3], IMAGES[:3])
    assert len(files(Path(store.place))) == 2


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_failed_write_leaves_nothing_behind(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    before = sorted(Path(store.place).iterdir())

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Path if step == "open" else os, step, fail)
    full = r"^The disk is full: can't write to .*images\. Free some space\.$"
    with pytest.raises(WriteError, match=full) if isinstance(error, OSError) else pytest.raises(KeyboardInterrupt):
        store.append(["k"], ["c"], [0], IMAGES[:1])
    monkeypatch.undo()
    assert sorted(Path(store.place).iterdir()) == before
    assert "k" not in store and ImageStore(Path(store.place)).keys() == set(KEYS)


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"^Can't write to .*file.*: (Not a directory|File exists)\.$"):
        write_atomic(tmp_path / "file" / "x", b"1")


def test_strays_of_a_killed_process_are_removed(store: ImageStore) -> None:
    stray = Path(store.place) / f".{'0' * 20}.parquet.tmp-123"
    stray.write_bytes(b"half")
    assert len(ImageStore(Path(store.place))) == 6
    remove_strays(Path(store.place).parent)
    assert not stray.exists() and len(files(Path(store.place))) == 2


def test_scores_come_back_in_any_order(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path / "scores")
    assert cache.n_outputs is None and len(cache) == 0 and cache.get([]).shape == (0, 0)
    scores = RNG.normal(size=(5, 3)).astype(np.float32)
    cache.append(KEYS[:2], scores[:2])
    cache.append(KEYS[2:5], scores[2:])
    for one in (cache, ScoreCache(tmp_path / "scores")):
        assert one.n_outputs == 3 and len(one) == 5 and KEYS[4] in one and KEYS[5] not in one
        np.testing.assert_array_equal(one.get([KEYS[3], KEYS[0]]), scores[[3, 0]])
        assert one.get(KEYS[:2]).dtype == np.float32
        with pytest.raises(KeyError):
            one.get(["x"])


def test_scores_of_another_width_are_refused(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path)
    cache.append(KEYS[:1], np.zeros((1, 2), np.float32))
    with pytest.raises(UserError, match=r"^The classifier gave 3 scores an image, and 2 before .* must change when"):
        cache.append(KEYS[1:2], np.zeros((1, 3), np.float32))


def test_damaged_scores_are_set_aside(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path)
    cache.append(KEYS[:2], np.zeros((2, 2), np.float32))
    cache.append(KEYS[2:3], np.ones((1, 2), np.float32))
    path = next(path for path in files(tmp_path) if len(pq.read_table(path)) == 2)
    path.write_bytes(path.read_bytes()[:-20])
    assert len(ScoreCache(tmp_path)) == 1
    assert [one.name for one in (tmp_path / "damaged").iterdir()] == [f"{path.name}.bad"]


def test_unreadable_by_permission_is_not_damage(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(pq, "ParquetFile", refuse)
    with pytest.raises(RunFolderError, match=r"\.parquet can't be read: Permission denied\.$"):
        ImageStore(Path(store.place))
    assert len(files(Path(store.place))) == 2


def test_a_hundred_thousand_keys_open_in_seconds(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    tiny = [np.zeros((1, 1, 3), np.uint8)] * 64
    n_files = 60
    for batch in range(n_files):
        keys = [f"{batch:06d}{i:026d}" for i in range(64)]
        store.append(keys, [""] * 64, range(64), tiny)
    start = time.process_time()
    assert len(ImageStore(tmp_path)) == 64 * n_files
    assert (time.process_time() - start) / n_files < 0.02  # 1,563 files make 100,000 images; 2 ms each where idle


def test_shards_hold_no_rows_in_memory(store: ImageStore) -> None:
    shards = Shards(Path(store.place), store._shards._schema)
    assert sum(len(table) for table in shards.scan(["key"])) == 6
    assert set(shards._where.values()) == {path.name for path in files(Path(store.place))}
