"""Classifiers: whatever turns images into numbers, behind one small protocol.

Names are loaded when they are first used: torch, transformers, timm and ONNX Runtime stay out of `import genlens`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genlens._lazy import lazy_names

if TYPE_CHECKING:
    from genlens.classifiers.bottleneck import ConceptBottleneck as ConceptBottleneck
    from genlens.classifiers.bundled import load_demo_target as load_demo_target
    from genlens.classifiers.bundled import load_shapes_checker as load_shapes_checker
    from genlens.classifiers.bundled import load_shapes_concepts as load_shapes_concepts
    from genlens.classifiers.callable import CallableClassifier as CallableClassifier
    from genlens.classifiers.concept_net import ConceptNet as ConceptNet
    from genlens.classifiers.huggingface import TransformersClassifier as TransformersClassifier
    from genlens.classifiers.load import as_classifier as as_classifier
    from genlens.classifiers.load import load_classifier as load_classifier
    from genlens.classifiers.load import load_classifiers as load_classifiers
    from genlens.classifiers.onnx import OnnxClassifier as OnnxClassifier
    from genlens.classifiers.preprocess import ImagePreprocess as ImagePreprocess
    from genlens.classifiers.protocol import Classifier as Classifier
    from genlens.classifiers.protocol import target_score as target_score
    from genlens.classifiers.timm import TimmClassifier as TimmClassifier
    from genlens.classifiers.torch_module import TorchClassifier as TorchClassifier

_HOME = {
    "CallableClassifier": ".callable",
    "Classifier": ".protocol",
    "ConceptBottleneck": ".bottleneck",
    "ConceptNet": ".concept_net",
    "ImagePreprocess": ".preprocess",
    "OnnxClassifier": ".onnx",
    "TimmClassifier": ".timm",
    "TorchClassifier": ".torch_module",
    "TransformersClassifier": ".huggingface",
    "as_classifier": ".load",
    "load_classifier": ".load",
    "load_classifiers": ".load",
    "load_demo_target": ".bundled",
    "load_shapes_checker": ".bundled",
    "load_shapes_concepts": ".bundled",
    "target_score": ".protocol",
}
"""Public name -> the module of this package it lives in."""

__all__ = sorted(_HOME)

__getattr__ = lazy_names(__name__, _HOME)
