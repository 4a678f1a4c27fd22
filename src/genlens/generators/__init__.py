"""Text-to-image models behind one protocol: any diffusers pipeline, and a perfect drawer for the shapes data set.

Names are loaded when they are first used: torch and diffusers stay out of `import genlens`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genlens.generators.diffusers import DiffusersGenerator as DiffusersGenerator
    from genlens.generators.drawer import DrawerGenerator as DrawerGenerator
    from genlens.generators.protocol import Generator as Generator

_HOME = {"DiffusersGenerator": "diffusers", "DrawerGenerator": "drawer", "Generator": "protocol"}
"""Public name -> the module of this package it lives in."""

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'genlens.generators' has no attribute {name!r}")
    value = getattr(import_module(f"genlens.generators.{_HOME[name]}"), name)
    globals()[name] = value
    return value
