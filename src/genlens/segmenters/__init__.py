"""Segmenters: whatever marks the pixels that a text names, behind one small protocol.

Names are loaded when they are first used: torch and transformers stay out of `import genlens`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genlens._lazy import lazy_names

if TYPE_CHECKING:
    from genlens.segmenters.calibration import Calibration as Calibration
    from genlens.segmenters.calibration import Share as Share
    from genlens.segmenters.calibration import calibrate as calibrate
    from genlens.segmenters.calibration import corrected_share as corrected_share
    from genlens.segmenters.callable import CallableSegmenter as CallableSegmenter
    from genlens.segmenters.clipseg import ClipSegSegmenter as ClipSegSegmenter
    from genlens.segmenters.load import load_segmenter as load_segmenter
    from genlens.segmenters.presence import Presence as Presence
    from genlens.segmenters.protocol import Segmenter as Segmenter

_HOME = {
    "Calibration": ".calibration",
    "CallableSegmenter": ".callable",
    "ClipSegSegmenter": ".clipseg",
    "Presence": ".presence",
    "Segmenter": ".protocol",
    "Share": ".calibration",
    "calibrate": ".calibration",
    "corrected_share": ".calibration",
    "load_segmenter": ".load",
}
"""Public name -> the module of this package it lives in."""

__all__ = sorted(_HOME)

__getattr__ = lazy_names(__name__, _HOME)
