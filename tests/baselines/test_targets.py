"""Target models on one bottleneck share its passes and keep their scores."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.baselines.targets import group_targets, score_images
from genlens.classifiers.bottleneck import ConceptBottleneck
from genlens.classifiers.callable import CallableClassifier
from genlens.classifiers.protocol import target_score
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.errors import UserError


def brightness(images: np.ndarray) -> np.ndarray:
    return np.stack([images.mean(axis=(1, 2, 3)), images.max(axis=(1, 2, 3))], axis=1)


def test_groups_share_passes_and_give_each_models_scores(squares: ConceptTable, colour_net) -> None:
    models = [
        ConceptBottleneck(colour_net, [1.0, 0.5], 0.25),
        CallableClassifier(brightness, outputs="logits"),
        ConceptBottleneck(colour_net, [-1.0, 2.0]),
        ConceptBottleneck(colour_net, [1.0, 0.0], on="logits"),
    ]
    images = [load_image(path) for path in squares.image_paths[:4]]
    groups = group_targets(models)
    assert [group.members for group in groups] == [(0, 2), (1,), (3,)]
    colour_net.module.runs = 0
    scores = score_images(groups, images)
    assert colour_net.module.runs == 8  # four images, probabilities and logits
    for m, model in enumerate(models):
        assert scores[:, m] == pytest.approx(target_score(model.predict(images), model.outputs), abs=1e-5)


def test_a_target_class_is_needed_for_many_classes(squares: ConceptTable) -> None:
    model = CallableClassifier(lambda images: np.zeros((len(images), 3)), outputs="logits", fingerprint="x")
    image = load_image(squares.image_paths[0])
    with pytest.raises(UserError, match="`target_class` must be given: the classifier has 3 classes"):
        score_images(group_targets([model]), [image])
    assert score_images(group_targets([model], 2), [image]).shape == (1, 1)


def test_no_target_model() -> None:
    with pytest.raises(UserError, match="`classifiers` must hold at least one target model; got none"):
        group_targets([])
