"""The generator that comes with genlens, for tests that optimise prompts."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest


@pytest.fixture(scope="session")
def shapes_generator() -> Any:
    """The generator that comes with genlens."""
    from genlens.generators.diffusers import DiffusersGenerator

    folder = files("genlens").joinpath("assets", "shapes_generator")
    return DiffusersGenerator.from_pretrained(str(folder), device="cpu")
