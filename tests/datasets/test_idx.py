"""IDX files and where Fashion-MNIST is looked for."""

from __future__ import annotations

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from genlens.datasets import idx
from genlens.errors import UserError


def idx_bytes(values: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Fashion-MNIST."""
    monkeypatch.setattr(idx, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.delenv(idx.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 28, 28), (0, 28, 28)])
@pytest.mark.parametrize("compressed", [False, True])
def test_files_are_read_back(tmp_path: Path, shape: tuple[int, ...], compressed: bool) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    data = idx_bytes(values)
    (tmp_path / "x").write_bytes(gzip.compress(data) if compressed else data)
    assert np.array_equal(idx.read_idx(tmp_path / "x"), values)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no IDX file of unsigned bytes"),
        (b"\x89PNG\r\n", "no IDX file of unsigned bytes"),
        (b"\0\0\x0d\1\0\0\0\0", "no IDX file of unsigned bytes"),  # floats
        (b"\0\0\x08\0", "no IDX file of unsigned bytes"),
        (b"\0\0\x08\3\0\0", "ends within its header"),
        (idx_bytes(np.zeros(9, np.uint8))[:-1], "says 9 = 9 bytes but holds 8"),
        (idx_bytes(np.zeros(9, np.uint8)) + b"!", "says 9 = 9 bytes but holds 10"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 1 << 31, 1 << 31, 1 << 31), "bytes but holds 0"),
        (gzip.compress(idx_bytes(np.zeros(900, np.uint8)))[:-9], "can't be read"),
        (b"\x1f\x8b\x08damaged", "can't be read"),
    ],
)
def test_files_that_are_none_are_refused_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(UserError, match=message) as error:
        idx.read_idx(tmp_path / "x")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there doesn't exist"):
        idx.read_idx(tmp_path / "there")


def test_photographs_of_the_splits_are_disjoint_and_together_all(fashion_folder: Path) -> None:
    splits = {name: idx.load_photos(name, fashion_folder) for name in ("train", "val", "test")}
    assert [len(photos.images) for photos in splits.values()] == [300, 60, 60]
    parts = [{image.tobytes() for image in photos.images} for photos in splits.values()]
    assert len(set.union(*parts)) == sum(len(part) for part in parts) == 420
    photos = splits["val"]
    assert all((photos.labels[photos.of(concept)] == concept).all() for concept in range(10))
    assert sum(len(photos.of(concept)) for concept in range(10)) == 60


def test_an_unknown_split_is_refused(fashion_folder: Path) -> None:
    with pytest.raises(UserError, match="`split` must be one of train, val, test; got 'dev'"):
        idx.load_photos("dev", fashion_folder)  # type: ignore[arg-type]


def test_where_the_files_are_looked_for(
    nowhere: Path, fashion_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"dataset-fashion-mnist.*--photos or GENLENS_FASHION_MNIST"):
        idx.find_fashion_mnist()
    shutil.copytree(fashion_folder, nowhere / "data" / "FashionMNIST" / "raw")  # torchvision, root "data"
    assert idx.find_fashion_mnist() == Path("data/FashionMNIST/raw")
    assert idx.find_fashion_mnist(nowhere / "data") == nowhere / "data/FashionMNIST/raw"
    shutil.copytree(fashion_folder, nowhere / "system")
    assert idx.find_fashion_mnist() == nowhere / "system"
    monkeypatch.setenv(idx.VARIABLE, str(fashion_folder))
    assert idx.find_fashion_mnist() == fashion_folder
    monkeypatch.setenv(idx.VARIABLE, "empty")
    with pytest.raises(UserError, match="GENLENS_FASHION_MNIST is empty, which lacks Fashion-MNIST's IDX files"):
        idx.find_fashion_mnist()
    with pytest.raises(UserError, match="The folder other lacks Fashion-MNIST's IDX files"):
        idx.find_fashion_mnist("other")


def test_plain_files_are_as_good(nowhere: Path, fashion_folder: Path) -> None:
    for path in fashion_folder.iterdir():
        (nowhere / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    plain, packed = idx.load_photos("test", nowhere), idx.load_photos("test", fashion_folder)
    assert np.array_equal(plain.images, packed.images)
    assert np.array_equal(plain.labels, packed.labels)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("t10k-images-idx3-ubyte", np.zeros((60, 20, 20), np.uint8), "must hold images"),
        ("t10k-labels-idx1-ubyte", np.zeros(59, np.uint8), "must hold images"),
        ("t10k-labels-idx1-ubyte", np.full(60, 11, np.uint8), "must hold labels 0-9; got 11"),
        ("t10k-labels-idx1-ubyte", np.ones(60, np.uint8), "lack the class 0"),
    ],
)
def test_other_data_in_the_files_are_refused(
    nowhere: Path, fashion_folder: Path, name: str, values: np.ndarray, message: str
) -> None:
    folder = nowhere / "copy"
    shutil.copytree(fashion_folder, folder)
    (folder / name).write_bytes(idx_bytes(values))
    with pytest.raises(UserError, match=message):
        idx.load_photos("test", folder)


def test_the_real_files() -> None:
    if not idx.SYSTEM_FOLDER.is_dir():
        pytest.skip(f"Debian's package dataset-fashion-mnist isn't installed ({idx.SYSTEM_FOLDER} is missing)")
    photos = {name: idx.load_photos(name, idx.SYSTEM_FOLDER) for name in ("train", "val", "test")}
    assert [len(found.images) for found in photos.values()] == [50_000, 10_000, 10_000]
    assert np.bincount(photos["test"].labels).tolist() == [1000] * 10
    assert np.bincount(photos["train"].labels + 0)[0] + np.bincount(photos["val"].labels)[0] == 6000
