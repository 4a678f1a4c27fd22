"""Mask ablation on pictures whose truth without the concept is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genlens.baselines.ablation import Ablation, ablate, inpaint_biharmonic, widen
from genlens.classifiers.bottleneck import ConceptBottleneck
from genlens.classifiers.callable import CallableClassifier
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.errors import UserError


def redness(images: np.ndarray) -> np.ndarray:
    """Share of clearly red pixels."""
    return ((images[..., 0] > 150) & (images[..., 1] < 80)).mean(axis=(1, 2))


def test_a_removed_square_leaves_its_background(squares: ConceptTable) -> None:
    with_red, without = load_image(squares.image_paths[2]), load_image(squares.image_paths[0])
    filled = inpaint_biharmonic(with_red, widen(squares.masks(2)[0], 1))
    assert filled == pytest.approx(without, abs=1)


def test_ablation_of_a_known_model_is_exact(squares: ConceptTable) -> None:
    found = ablate([CallableClassifier(redness)], squares, batch_size=3)
    has_red = squares.presence()[:, 0]
    share = 16 * 16 / 32**2
    assert found.real[:, 0] == pytest.approx(np.where(has_red, share, 0.0))
    assert found.removed[:, 0, 0] == pytest.approx(0.0)  # without red
    assert found.removed[:, 1, 0] == pytest.approx(found.real[:, 0])  # without blue
    assert found.importance(squares.labels) == pytest.approx(np.array([[0.5, 0.0]]))  # AUROC 1 -> .5
    signed, absolute = found.reliance()
    assert signed == pytest.approx(np.array([[share, 0.0]]))
    assert absolute == pytest.approx(signed)


def test_many_heads_at_once_equal_one_at_a_time(squares: ConceptTable, colour_net) -> None:
    models = [ConceptBottleneck(colour_net, weights) for weights in ([1.0, 0.2], [-0.3, 1.0])]
    together = ablate(models, squares)
    for m, model in enumerate(models):
        alone = ablate([model], squares, batch_size=1)
        assert together.removed[..., m] == pytest.approx(alone.removed[..., 0], abs=1e-6)
    labels = np.stack([squares.labels, 1 - squares.labels])
    assert together.importance(labels)[1] == pytest.approx(ablate(models[1:], squares).importance(labels[1])[0])


def test_signed_reliance_sees_a_negative_weight(squares: ConceptTable, colour_net) -> None:
    signed, absolute = ablate([ConceptBottleneck(colour_net, [1.0, -1.0], on="logits")], squares).reliance()
    assert signed[0, 0] > 0 > signed[0, 1]
    assert absolute == pytest.approx(np.abs(signed))


def test_a_hole_takes_no_other_concepts_pixels(squares: ConceptTable) -> None:
    seen = []

    def record(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        seen.append(hole)
        return image

    touching = np.zeros((2, 32, 32), dtype=bool)
    touching[0, 8:24, 0:16] = True
    touching[1, 8:24, 16:24] = True
    row = replace(squares, masks=lambda _: touching)
    ablate([CallableClassifier(redness)], row, inpaint=record, margin=2)
    red = seen[[bool(hole[8, 0]) for hole in seen].index(True)]
    assert red[6:26, 0:16].all()
    assert red[6:8, 16:18].all()
    assert not red[8:24, 16:].any()


def test_an_own_inpainting_may_be_passed(squares: ConceptTable) -> None:
    found = ablate([CallableClassifier(redness)], squares, inpaint=lambda image, hole: image)
    assert found.importance(squares.labels) == pytest.approx(np.zeros((1, 2)))


def test_bad_input(squares: ConceptTable) -> None:
    model = CallableClassifier(redness)
    with pytest.raises(UserError, match="Mask ablation needs the pixels of concepts, and this table has no masks"):
        ablate([model], replace(squares, masks=None))
    with pytest.raises(UserError, match=r"`margin` must be an integer >= 0; got -1\."):
        ablate([model], squares, margin=-1)
    with pytest.raises(UserError, match=r"`batch_size` must be an integer >= 1; got 0\."):
        ablate([model], squares, batch_size=0)
    scores = Ablation(("a",), np.ones((2, 1), dtype=bool), np.zeros((2, 1)), np.zeros((2, 1, 1)))
    with pytest.raises(UserError, match=r"`labels` must have the shape \(2,\) or \(1, 2\), a label a row; got \(3,\)"):
        scores.importance([0, 1, 1])
