"""The small models that come with genlens, for the shapes data set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import as_file, files

from genlens.classifiers.bottleneck import ConceptBottleneck, On
from genlens.classifiers.concept_net import ConceptNet

TARGET_FILE = "target.json"


def load_shapes_concepts(*, device: str = "auto", batch_size: int = 64) -> ConceptNet:
    """The demo target's concept net: which of the six shapes an image shows."""
    return _load_net("shapes_concepts", device, batch_size)


def load_shapes_checker(*, device: str = "auto", batch_size: int = 64) -> ConceptNet:
    """The independent concept classifier of the checks: other architecture, start and data than the target's."""
    return _load_net("shapes_checker", device, batch_size)


def load_demo_target(*, on: On = "probabilities", device: str = "auto", batch_size: int = 64) -> ConceptBottleneck:
    """The classifier `genlens demo` explains: a fixed weighted sum of the six shapes' predicted presence.

    Its weights are in `assets/shapes_concepts/target.json`: red circle .48, green circle .93, blue circle .13, red
    rectangle .63, green rectangle .33, blue rectangle .77. They are at least .14 apart and no two subsets of them have
    the same sum, so "score above the median" splits rows without ties between different sets of shapes.
    """
    net = load_shapes_concepts(device=device, batch_size=batch_size)
    weights = demo_weights()
    return ConceptBottleneck(net, [weights[name] for name in net.concept_names], on=on)


def demo_weights() -> Mapping[str, float]:
    """Concept -> the demo target's weight w_j."""
    text = files("genlens").joinpath("assets", "shapes_concepts", TARGET_FILE).read_text(encoding="utf-8")
    return {str(name): float(weight) for name, weight in json.loads(text)["weights"].items()}


def _load_net(name: str, device: str, batch_size: int) -> ConceptNet:
    with as_file(files("genlens").joinpath("assets", name)) as folder:
        return ConceptNet.load(folder, device=device, batch_size=batch_size)
