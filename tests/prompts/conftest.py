"""The tiny pipelines of tests/generators, a scorer that is known, and the shipped generator."""

from __future__ import annotations

import importlib.util
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

_PLACE = Path(__file__).parents[1] / "generators" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("tiny_pipelines", _PLACE)
assert _SPEC and _SPEC.loader
_tiny = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_tiny)
pipeline_folder = _tiny.pipeline_folder


@pytest.fixture(scope="session")
def shapes_generator() -> Any:
    """The generator that comes with genlens."""
    from genlens.generators.diffusers import DiffusersGenerator

    folder = files("genlens").joinpath("assets", "shapes_generator")
    return DiffusersGenerator.from_pretrained(str(folder), device="cpu")
