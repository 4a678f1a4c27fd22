"""The small models that come with genlens, for the shapes data set."""

from __future__ import annotations

from importlib.resources import as_file, files

from genlens.classifiers.bottleneck import ConceptBottleneck, On
from genlens.classifiers.concept_net import ConceptNet
from genlens.datasets.shapes import CONCEPTS, DEFAULT_WEIGHTS


def load_shapes_concepts(*, device: str = "auto", batch_size: int = 64) -> ConceptNet:
    """The demo target's concept net: which of the six shapes an image shows."""
    return _load_net("shapes_concepts", device, batch_size)


def load_shapes_checker(*, device: str = "auto", batch_size: int = 64) -> ConceptNet:
    """The independent concept classifier of the checks: other architecture, start and data than the target's."""
    return _load_net("shapes_checker", device, batch_size)


def load_demo_target(*, on: On = "probabilities", device: str = "auto", batch_size: int = 64) -> ConceptBottleneck:
    """The classifier `genlens demo` explains: a fixed weighted sum of the six shapes' predicted presence.

    Its weights are `genlens.datasets.shapes.DEFAULT_WEIGHTS`, those of the labels that `write_imagefolder` writes.
    """
    net = load_shapes_concepts(device=device, batch_size=batch_size)
    weights = dict(zip(CONCEPTS, DEFAULT_WEIGHTS, strict=True))
    return ConceptBottleneck(net, [weights[name] for name in net.concept_names], on=on)


def _load_net(name: str, device: str, batch_size: int) -> ConceptNet:
    with as_file(files("genlens").joinpath("assets", name)) as folder:
        return ConceptNet.load(folder, device=device, batch_size=batch_size)
