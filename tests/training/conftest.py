"""The tiny pipelines of tests/generators, and a few captioned images to train them on."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

_PLACE = Path(__file__).parents[1] / "generators" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("tiny_pipelines", _PLACE)
assert _SPEC and _SPEC.loader
_tiny = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_tiny)
pipeline_folder = _tiny.pipeline_folder

COLOURS = ("red circle", "green circle", "blue circle")


@pytest.fixture(scope="session")
def captioned(shapes_folder: Path) -> Any:
    """12 images of shapes whose captions name three concepts; the tiny tokenizers know the words."""
    from genlens.captions import ListTemplate
    from genlens.concepts import ConceptTable
    from genlens.training.finetune_data import from_table

    table = ConceptTable.from_metadata(shapes_folder, COLOURS, template=ListTemplate(texts=False))
    return from_table(table).take(range(12))
