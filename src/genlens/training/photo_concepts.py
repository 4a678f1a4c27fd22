"""Concept nets of labelled photographs that fit into memory, for the protocol on real data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.concept_net import ConceptNet
from genlens.classifiers.preprocess import ImagePreprocess
from genlens.classifiers.protocol import Classifier
from genlens.classifiers.torch_module import TorchClassifier
from genlens.datasets.images import load_image
from genlens.errors import UserError
from genlens.training.concept_nets import Recipe, train_concept_net

BATCH = 64


def train_photo_concepts(
    paths: Sequence[Path],
    presence: NDArray[np.int64],
    names: Sequence[str],
    recipe: Recipe,
    *,
    size: int = 64,
    log: Callable[[str], None] | None = None,
) -> ConceptNet:
    """Train a concept net on photographs.

    Args:
        paths: N files; all are held in memory at `size`.
        presence: (N, D) of 0 and 1.
        names: D concepts.
        recipe: architecture, length, rate and seed; half of the pictures of a batch are mirrored.
        size: side in pixels to which photographs are stretched.
        log: gets a line every 100 steps.

    Raises:
        UserError: a file can't be read.
    """
    preprocess = ImagePreprocess((size, size))
    pictures = np.concatenate([preprocess.resized([load_image(path)]) for path in paths])  # (N, size, size, 3)
    labels = presence.astype(np.float32)

    def batches(step: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rng = np.random.default_rng([recipe.seed, step])
        rows = rng.integers(len(pictures), size=BATCH)
        chosen = pictures[rows]
        mirrored = rng.random(BATCH) < 0.5
        chosen[mirrored] = chosen[mirrored, :, ::-1]
        return chosen, labels[rows]

    return train_concept_net(batches, names, recipe, size=(size, size), log=log)


def as_concept_net(classifier: Classifier, names: Sequence[str], option: str) -> ConceptNet:
    """A classifier of one's own, one log-odds a concept in the order of `names`, as a concept net.

    Args:
        classifier: a torch classifier with an `ImagePreprocess`.
        names: D concepts.
        option: what it was given as, for the message.

    Raises:
        UserError: it is something else, or has another number of outputs.
    """
    if isinstance(classifier, ConceptNet) and set(names) <= set(classifier.concept_names):
        return classifier
    if not isinstance(classifier, TorchClassifier) or not isinstance(classifier.preprocess, ImagePreprocess):
        raise UserError(f"`{option}` must be a torch module with size, mean and std; got {type(classifier).__name__}.")
    blank = np.zeros((1, *(classifier.preprocess.size or (64, 64)), 3), dtype=np.uint8)
    found = classifier.predict(blank).shape[1]
    if found != len(names):
        raise UserError(f"`{option}` must have {len(names)} outputs, a log-odds for each concept; it has {found}.")
    size = classifier.batch_size
    return ConceptNet(classifier.module, tuple(names), classifier.preprocess, "own", 0, batch_size=size)
