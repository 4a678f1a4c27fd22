"""What all tests share: no network, no hub, one thread, no window; and a small shapes data set."""

from __future__ import annotations

import os

# Before torch and matplotlib are imported by anything: many small operations run faster on one thread than on two.
os.environ.update(
    OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", MPLBACKEND="Agg",
    TERM="dumb", COLUMNS="100", NO_COLOR="1",
)  # fmt: skip

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from genlens.concepts import ConceptTable
    from genlens.generators.drawer import DrawerGenerator


@pytest.fixture(scope="session")
def shapes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shapes data set of 64 rows as an imagefolder. Read only."""
    from genlens.datasets.shapes import write_imagefolder

    folder = tmp_path_factory.mktemp("data") / "shapes"
    write_imagefolder(folder, 64, 0)
    return folder


@pytest.fixture(scope="session")
def shapes_table(shapes_folder: Path) -> ConceptTable:
    """64 rows, six binary concepts whose captions say where each shape is, and the data set's own label."""
    from genlens.concepts import ConceptTable
    from genlens.datasets.shapes import CONCEPTS

    return ConceptTable.from_metadata(shapes_folder, list(CONCEPTS), "label")


@pytest.fixture
def drawer() -> DrawerGenerator:
    """The perfect generator for `shapes_table`."""
    from genlens.generators.drawer import DrawerGenerator

    return DrawerGenerator()


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run folder that does not exist yet."""
    return tmp_path / "run"


@pytest.fixture(scope="session")
def fashion_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fashion-MNIST's four IDX files with fake photographs: bright boxes, a form for each class. Read only."""
    import gzip
    import struct

    import numpy as np

    folder = tmp_path_factory.mktemp("fashion")
    rng = np.random.default_rng(0)
    for part, n in (("train", 360), ("t10k", 60)):
        labels = np.arange(n, dtype=np.uint8) % 10
        images = np.zeros((n, 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            height, width = 10 + 3 * (int(label) // 2), 24 - 4 * (int(label) % 4)
            top, left = (28 - height) // 2, (28 - width) // 2
            image[top : top + height, left : left + width] = rng.integers(100, 256, (height, width))
        for name, values in ((f"{part}-images-idx3", images), (f"{part}-labels-idx1", labels)):
            header = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
            (folder / f"{name}-ubyte.gz").write_bytes(gzip.compress(header + values.tobytes(), mtime=0))
    return folder
