"""A few captioned images to train the tiny pipelines on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

COLOURS = ("red circle", "green circle", "blue circle")


@pytest.fixture(scope="session")
def captioned(shapes_folder: Path) -> Any:
    """12 images of shapes whose captions name three concepts; the tiny tokenizers know the words."""
    from genlens.captions import ListTemplate
    from genlens.concepts import ConceptTable
    from genlens.training.finetune_data import from_table

    table = ConceptTable.from_metadata(shapes_folder, COLOURS, template=ListTemplate(texts=False))
    return from_table(table).take(range(12))
