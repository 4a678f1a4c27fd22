"""Folders and fsspec URLs behave alike: whole or absent, listed, set aside; what goes wrong is one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from genlens.errors import UserError
from genlens.storage import DAMAGED, is_remote, open_storage
from genlens.store import ImageStore

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(params=["folder", "memory", "file"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield {"folder": str(tmp_path / "x"), "memory": "memory://genlens/x", "file": f"file://{tmp_path}/x"}[request.param]
    fsspec.filesystem("memory").store.clear()


def test_what_is_written_is_listed_and_read(place: str) -> None:
    storage = open_storage(place)
    assert storage.names(".parquet") == []
    storage.write("b.parquet", b"two")
    storage.write("a.parquet", b"one")
    storage.write("other.txt", b"-")
    assert storage.names(".parquet") == ["a.parquet", "b.parquet"]
    assert storage.read("b.parquet") == b"two"
    storage.write("b.parquet", b"again")
    assert storage.read("b.parquet") == b"again"
    assert storage.set_aside("a.parquet").endswith(DAMAGED)
    assert storage.names(".parquet") == ["b.parquet"]


def test_a_store_of_images_works_at_any_place(place: str) -> None:
    store = ImageStore(place)
    store.append(["a", "b", "c"], ["one", "two", "three"], [1, 2, 3], PICTURES)
    again = ImageStore(place)
    assert again.keys() == {"a", "b", "c"}
    ((keys, images),) = again.read(["c", "a"])
    assert keys == ["c", "a"]
    np.testing.assert_array_equal(np.stack(images), PICTURES[[2, 0]])


@pytest.mark.parametrize("harm", ["cut", "flip", "text"])
def test_a_damaged_file_is_set_aside_at_any_place(place: str, harm: str) -> None:
    ImageStore(place).append(["a", "b", "c"], ["one", "two", "three"], [1, 2, 3], PICTURES)
    storage = open_storage(place)
    (name,) = storage.names(".parquet")
    data = bytearray(storage.read(name))
    data[40] ^= 255
    storage.write(name, {"cut": bytes(data[:-9]), "flip": bytes(data), "text": b"no Parquet"}[harm])
    store = ImageStore(place)
    assert list(store.read(store.keys())) == [] or harm == "flip"
    assert store.damaged == [name] and storage.names(".parquet") == []


def test_another_process_s_batch_is_adopted_and_forgotten(place: str) -> None:
    driver = ImageStore(place)
    ImageStore(place, scan=False).append(["a", "b", "c"], ["one", "two", "three"], [1, 2, 3], PICTURES)
    assert len(driver) == 0
    driver.adopt(["a", "b", "c"])
    ((keys, _),) = driver.read(["b"])
    assert keys == ["b"]
    ((name, held),) = driver.files(["a", "c"]).items()
    assert held == ["a", "c"]
    driver.forget(["a"])
    assert "a" not in driver and "b" in driver
    driver.adopt(["a"], name)
    assert "a" in driver


def test_a_place_that_nobody_knows_is_one_line() -> None:
    with pytest.raises(UserError, match="nowhere://x can't be opened") as error:
        open_storage("nowhere://x")
    assert "\n" not in str(error.value)


def test_a_place_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage("memory://genlens/y")

    def fail(*_: object, **__: object) -> None:
        raise ValueError("An error occurred (403)\nwhen calling PutObject: Forbidden")

    monkeypatch.setattr(fsspec.filesystem("memory"), "pipe_file", fail)
    with pytest.raises(UserError, match=r"genlens/y can't be written: An error occurred .403. when calling") as error:
        storage.write("a.parquet", b"")
    assert "\n" not in str(error.value)


def test_paths_are_not_urls() -> None:
    assert is_remote("s3://bucket/x") and not is_remote("/tmp/x") and not is_remote(Path("x"))
