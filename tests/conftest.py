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
