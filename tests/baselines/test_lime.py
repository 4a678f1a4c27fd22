"""LIME on a model whose map is known, and against captum and scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import Lime
from sklearn.linear_model import Ridge
from sklearn.metrics import pairwise_distances

from genlens.baselines.lime import (
    LimeSettings,
    find_superpixels,
    hidden_image,
    kernel,
    lime_maps,
    quickshift_superpixels,
    rank_by_lime,
    sample_states,
    slic_superpixels,
    surrogate,
)
from genlens.classifiers.bottleneck import ConceptBottleneck
from genlens.classifiers.callable import CallableClassifier
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.errors import UserError
from genlens.seeds import row_seed


def blocks(image: np.ndarray) -> np.ndarray:
    """Superpixels of 8 x 8 pixels."""
    rows, columns = np.indices(image.shape[:2]) // 8
    return rows * (image.shape[1] // 8) + columns


def redness(images: np.ndarray) -> np.ndarray:
    return ((images[..., 0] > 150) & (images[..., 1] < 80)).mean(axis=(1, 2))


BLOCKS = LimeSettings(n_samples=300, superpixels=blocks, hide="median")


def test_the_map_of_redness_is_the_red_square(squares: ConceptTable) -> None:
    image = load_image(squares.image_paths[3])
    values = lime_maps(lambda pictures: redness(pictures)[:, None], image, BLOCKS)[0]
    red = squares.masks(3)[0]
    assert values.shape == (32, 32)
    assert values[red] == pytest.approx(1 / 16, rel=0.15)  # each block is a sixteenth of the picture; ridge shrinks
    assert values[~red] == pytest.approx(0.0, abs=0.005)
    result = rank_by_lime([CallableClassifier(redness)], squares, BLOCKS, threshold="max:0.5")
    assert result.per_image[3, 0] == pytest.approx([1.0, 0.0])
    assert result.importance[0, 0] == 1.0


def test_the_surrogate_equals_captums_lime(squares: ConceptTable) -> None:
    image = load_image(squares.image_paths[3])
    rng = np.random.default_rng(0)
    pattern = rng.random((32, 32, 3))

    def score(pictures: np.ndarray) -> np.ndarray:
        return np.tanh((pictures / 255 * pattern).mean(axis=(1, 2, 3)) * 3)[:, None]

    settings = LimeSettings(n_samples=80, superpixels=blocks, hide=(0, 0, 0), kernel_width=0.3, alpha=0.5, seed=4)
    mine = lime_maps(score, image, settings, "row 3")[0]
    segments = find_superpixels(image, settings)
    states = sample_states(int(segments.max()) + 1, 80, row_seed(4, "row 3"))

    def perturb(_inputs, **_options):
        yield from torch.tensor(states[:, None, :]).long()

    def similarity(_inputs, _perturbed, switches, **_options) -> float:
        distance = pairwise_distances(switches.numpy(), np.ones((1, switches.shape[1])), metric="cosine")[0, 0]
        return float(np.sqrt(np.exp(-(distance**2) / 0.3**2)))

    def as_tensor(array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array.transpose(2, 0, 1)[None].astype(np.float32))

    explainer = Lime(
        lambda inputs: torch.tensor(score(inputs.numpy().transpose(0, 2, 3, 1))[:, 0]),
        interpretable_model=SkLearnRidge(alpha=0.5),
        similarity_func=similarity,
        perturb_func=perturb,
    )
    found = explainer.attribute(
        as_tensor(image),
        baselines=as_tensor(hidden_image(image, segments, settings)),
        feature_mask=torch.tensor(segments)[None, None],
        n_samples=80,
    )
    assert np.abs(mine).max() > 0.001
    assert mine == pytest.approx(found.numpy()[0, 0], abs=1e-5)


def test_many_heads_at_once_equal_scikit_learns_ridge_on_each() -> None:
    rng = np.random.default_rng(1)
    states, scores = rng.random((60, 7)) < 0.5, rng.normal(size=(60, 3))
    weights = rng.random(60)
    found = surrogate(states, scores, weights, 2.0)
    for m in range(3):
        ridge = Ridge(alpha=2.0).fit(states.astype(float), scores[:, m], sample_weight=weights)
        assert found[:, m] == pytest.approx(ridge.coef_, abs=1e-10)


def test_the_kernel_is_that_of_the_lime_package() -> None:
    states = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], dtype=bool)
    distance = pairwise_distances(states.astype(float), states[:1].astype(float), metric="cosine").ravel()
    assert kernel(states, 0.25) == pytest.approx(np.sqrt(np.exp(-(distance**2) / 0.25**2)))


def test_models_on_one_bottleneck_share_the_perturbed_pictures(squares: ConceptTable, colour_net) -> None:
    weights = [[1.0, 0.0], [0.0, 1.0], [0.5, -0.5]]
    models = [ConceptBottleneck(colour_net, w, on="logits") for w in weights]
    rows = squares.take([0, 1, 2, 3])
    colour_net.module.runs = 0
    together = rank_by_lime(models, rows, BLOCKS)
    assert colour_net.module.runs <= 4 * BLOCKS.n_samples
    for m, model in enumerate(models):
        alone = rank_by_lime([model], rows, BLOCKS)
        assert together.per_image[:, m] == pytest.approx(alone.per_image[:, 0], nan_ok=True)
    assert together.importance[0, 0] > together.importance[0, 1]
    assert together.importance[1, 1] > together.importance[1, 0]


def test_each_distinct_picture_is_scored_once(squares: ConceptTable) -> None:
    seen = []

    def score(pictures: np.ndarray) -> np.ndarray:
        seen.append(len(pictures))
        return redness(pictures)[:, None]

    halves = LimeSettings(n_samples=500, superpixels=lambda image: np.indices(image.shape[:2])[1] // 16, batch_size=3)
    lime_maps(score, load_image(squares.image_paths[3]), halves)
    assert seen == [3, 1]  # two superpixels: four pictures


def test_samples_depend_on_seed_and_row_only(squares: ConceptTable) -> None:
    image = load_image(squares.image_paths[3])

    def score(pictures: np.ndarray) -> np.ndarray:
        return np.cos(pictures.mean(axis=(1, 2, 3)))[:, None]

    first, again = (lime_maps(score, image, BLOCKS, "a") for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, lime_maps(score, image, BLOCKS, "b"))
    assert not np.array_equal(first, lime_maps(score, image, replace(BLOCKS, seed=1), "a"))


@pytest.mark.parametrize("segmenter", [quickshift_superpixels, slic_superpixels])
def test_superpixels_part_the_squares_from_the_background(squares: ConceptTable, segmenter) -> None:
    image = load_image(squares.image_paths[3])
    segments = segmenter(image)
    assert segments.shape == (32, 32)
    red = squares.masks(3)[0]
    shares = np.array([red[segments == number].mean() for number in np.unique(segments)])
    assert ((shares < 0.2) | (shares > 0.8)).all()
    assert (shares > 0.8).any()


def test_what_a_hidden_superpixel_looks_like(squares: ConceptTable) -> None:
    image = load_image(squares.image_paths[3])
    halves = np.indices((32, 32))[1] // 16
    mean = hidden_image(image, halves, LimeSettings())
    assert mean[0, 0].tolist() == image[:, :16].reshape(-1, 3).mean(axis=0).astype(int).tolist()
    assert mean[31, 31].tolist() == image[:, 16:].reshape(-1, 3).mean(axis=0).astype(int).tolist()
    assert (hidden_image(image, halves, LimeSettings(hide="median")) == 230).all()
    assert (hidden_image(image, halves, LimeSettings(hide=(0, 10, 20))) == [0, 10, 20]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_samples": 1}, r"`n_samples` must be an integer >= 2; got 1\."),
        ({"superpixels": "voronoi"}, "`superpixels` must be 'quickshift', 'slic' or a function; got 'voronoi'"),
        ({"kernel_width": 0.0}, r"`kernel_width` must be > 0; got 0.0\."),
        ({"alpha": 0.0}, r"`alpha` must be > 0; got 0.0\."),
        ({"hide": "grey"}, r"`hide` must be 'mean', 'median' or three integers in 0..255; got 'grey'"),
        ({"hide": (0, 0, 256)}, r"`hide` must be .* got \(0, 0, 256\)"),
        ({"batch_size": 0}, r"`batch_size` must be an integer >= 1; got 0\."),
        ({"seed": -1}, r"`seed` must be an integer >= 0; got -1\."),
    ],
)
def test_bad_settings(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        LimeSettings(**options)


def test_bad_input(squares: ConceptTable) -> None:
    model = CallableClassifier(redness)
    with pytest.raises(UserError, match="LIME needs the pixels of concepts, and this table has no masks"):
        rank_by_lime([model], replace(squares, masks=None))
    wrong = LimeSettings(superpixels=lambda image: np.zeros(3))
    with pytest.raises(UserError, match=r"`superpixels` must return one number a pixel, shape \(32, 32\); got \(3,\)"):
        rank_by_lime([model], squares, wrong)
    with pytest.raises(UserError, match="`threshold` must be"):
        rank_by_lime([model], squares, threshold="best")
