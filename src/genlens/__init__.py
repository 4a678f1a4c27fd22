"""genlens: rank the concepts an image classifier relies on.

A concept is permuted in the captions of a data set, the images are generated again by a text-to-image model, and the
fall of the classifier's score is the concept's importance (DEPICT, arXiv 2407.14509).

Names are loaded when they are first used, so `import genlens` itself is quick and imports neither torch nor diffusers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genlens._lazy import lazy_names
from genlens._version import __version__ as __version__

if TYPE_CHECKING:
    from genlens.captions import FieldsTemplate as FieldsTemplate
    from genlens.captions import FormatTemplate as FormatTemplate
    from genlens.captions import ListTemplate as ListTemplate
    from genlens.classifiers import CallableClassifier as CallableClassifier
    from genlens.classifiers import ConceptBottleneck as ConceptBottleneck
    from genlens.classifiers import OnnxClassifier as OnnxClassifier
    from genlens.classifiers import TimmClassifier as TimmClassifier
    from genlens.classifiers import TorchClassifier as TorchClassifier
    from genlens.classifiers import TransformersClassifier as TransformersClassifier
    from genlens.classifiers import load_classifier as load_classifier
    from genlens.compare import compare as compare
    from genlens.concepts import Concept as Concept
    from genlens.concepts import ConceptTable as ConceptTable
    from genlens.depict import permutation_importance as permutation_importance
    from genlens.errors import GenlensError as GenlensError
    from genlens.errors import UserError as UserError
    from genlens.generators.diffusers import DiffusersGenerator as DiffusersGenerator
    from genlens.generators.drawer import DrawerGenerator as DrawerGenerator
    from genlens.importance.result import CheckResult as CheckResult
    from genlens.importance.result import ImportanceResult as ImportanceResult
    from genlens.plan import Plan as Plan
    from genlens.plan import make_plan as make_plan
    from genlens.prompts.objectives import class_log_probability as class_log_probability
    from genlens.prompts.objectives import class_logit as class_logit
    from genlens.prompts.objectives import margin as margin
    from genlens.prompts.objectives import neural_feature as neural_feature
    from genlens.prompts.optimize import optimize_prompt as optimize_prompt
    from genlens.prompts.soft import SoftPrompt as SoftPrompt

_HOME = {
    "CallableClassifier": "genlens.classifiers",
    "CheckResult": "genlens.importance.result",
    "Concept": "genlens.concepts",
    "ConceptBottleneck": "genlens.classifiers",
    "ConceptTable": "genlens.concepts",
    "DiffusersGenerator": "genlens.generators.diffusers",
    "DrawerGenerator": "genlens.generators.drawer",
    "FieldsTemplate": "genlens.captions",
    "FormatTemplate": "genlens.captions",
    "GenlensError": "genlens.errors",
    "ImportanceResult": "genlens.importance.result",
    "ListTemplate": "genlens.captions",
    "OnnxClassifier": "genlens.classifiers",
    "Plan": "genlens.plan",
    "SoftPrompt": "genlens.prompts.soft",
    "TimmClassifier": "genlens.classifiers",
    "TorchClassifier": "genlens.classifiers",
    "TransformersClassifier": "genlens.classifiers",
    "UserError": "genlens.errors",
    "class_log_probability": "genlens.prompts.objectives",
    "class_logit": "genlens.prompts.objectives",
    "compare": "genlens.compare",
    "load_classifier": "genlens.classifiers",
    "make_plan": "genlens.plan",
    "margin": "genlens.prompts.objectives",
    "neural_feature": "genlens.prompts.objectives",
    "optimize_prompt": "genlens.prompts.optimize",
    "permutation_importance": "genlens.depict",
}
"""Public name -> the module it lives in."""

__all__ = ["__version__", *sorted(_HOME)]

__getattr__ = lazy_names(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
