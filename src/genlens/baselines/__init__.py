"""Baselines: rival methods that rank concepts without a generator but with masks (Grad-CAM, LIME, mask ablation).

Names are loaded when they are first used, so that captum and torch stay out of `import genlens`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genlens._lazy import lazy_names

if TYPE_CHECKING:
    from genlens.baselines.ablation import Ablation as Ablation
    from genlens.baselines.ablation import ablate as ablate
    from genlens.baselines.gradcam import GradCam as GradCam
    from genlens.baselines.gradcam import rank_by_gradcam as rank_by_gradcam
    from genlens.baselines.iou import MapRanking as MapRanking
    from genlens.baselines.lime import LimeSettings as LimeSettings
    from genlens.baselines.lime import rank_by_lime as rank_by_lime

_HOME = {
    "Ablation": ".ablation",
    "GradCam": ".gradcam",
    "LimeSettings": ".lime",
    "MapRanking": ".iou",
    "ablate": ".ablation",
    "rank_by_gradcam": ".gradcam",
    "rank_by_lime": ".lime",
}
"""Public name -> the module of this package it lives in."""

__all__ = sorted(_HOME)

__getattr__ = lazy_names(__name__, _HOME)
