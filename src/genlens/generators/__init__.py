"""Text-to-image models behind one protocol: any diffusers pipeline, and a perfect drawer for the shapes data set.

Names are loaded when they are first used: torch and diffusers stay out of `import genlens`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genlens._lazy import lazy_names

if TYPE_CHECKING:
    from genlens.generators.diffusers import DiffusersGenerator as DiffusersGenerator
    from genlens.generators.drawer import DrawerGenerator as DrawerGenerator
    from genlens.generators.protocol import Generator as Generator

_HOME = {"DiffusersGenerator": ".diffusers", "DrawerGenerator": ".drawer", "Generator": ".protocol"}
"""Public name -> the module of this package it lives in."""

__all__ = sorted(_HOME)

__getattr__ = lazy_names(__name__, _HOME)
