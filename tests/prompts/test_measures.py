"""Measures of pictures: closed forms, unbiasedness at small sizes, and what is refused."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from genlens.errors import UserError
from genlens.prompts.measures import (
    activation_score,
    clip_iqa,
    frechet_distance,
    frechet_infinity,
    given_to,
    kernel_distance,
    mean_distance,
    share,
    vendi_score,
)


@pytest.mark.parametrize(
    ("outputs", "kind", "target", "expected"),
    [
        ([[1, 3, 2], [5, 0, 1]], "logits", 1, [True, False]),
        ([[0.4, 0.6], [0.7, 0.3]], "probabilities", 0, [False, True]),
        ([[0.6], [0.4]], "probabilities", 0, [True, False]),
        ([[0.1], [-0.1]], "logits", 0, [True, False]),
        ([[2, 1], [-1, 3]], "scores", 0, [True, False]),  # independent concepts: another may be larger
    ],
)
def test_given_to(outputs, kind, target: int, expected: list[bool]) -> None:
    assert given_to(outputs, kind, target).tolist() == expected


def test_given_to_a_class_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"`target` must be in 0..1; got 2"):
        given_to([[0, 1]], "logits", 2)


def test_the_activation_score_has_wilsons_interval() -> None:
    class Bright:
        outputs, fingerprint = "scores", "bright"

        def predict(self, images) -> np.ndarray:
            return np.array([[image.mean() - 127.0] for image in images], dtype=np.float32)

    images = np.concatenate([np.full((3, 4, 4, 3), 200), np.full((1, 4, 4, 3), 20)]).astype(np.uint8)
    found = activation_score(Bright(), images, 0)
    assert (found.count, found.n, found.value) == (3, 4, 0.75)
    assert (found.low, found.high) == pytest.approx((0.3006, 0.9544), abs=1e-4)
    with pytest.raises(UserError, match="at least one picture"):
        share([])


def test_the_kernel_distance_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 3 + 1) ** 3)

    same = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    real = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    cross = np.mean([k(a, b) for a in x for b in y])
    assert kernel_distance(x, y)[0] == pytest.approx(same + real - 2 * cross)


def test_the_jackknife_leaves_each_picture_out_once() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), rng.normal(1, 1, size=(6, 3))
    without = np.array([kernel_distance(np.delete(x, i, axis=0), y)[0] for i in range(7)])
    expected = np.sqrt(6 / 7 * ((without - without.mean()) ** 2).sum())
    assert kernel_distance(x, y)[1] == pytest.approx(expected)


def test_the_kernel_distance_has_no_bias_at_small_sizes_and_the_frechet_distance_has() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(2000, 8))
    found = np.array([kernel_distance(rng.normal(size=(20, 8)), real) for _ in range(200)])
    assert abs(found[:, 0].mean()) < 4 * found[:, 0].std() / np.sqrt(200)
    apart = np.array([kernel_distance(rng.normal(0.5, 1, size=(40, 8)), real) for _ in range(200)])
    assert apart[:, 1].mean() == pytest.approx(apart[:, 0].std(), rel=0.15)
    plain, endless = [], []
    for _ in range(20):
        x = rng.normal(size=(100, 8))
        plain.append(frechet_distance(x, real))
        endless.append(frechet_infinity(x, real))
    assert np.mean(plain) > 0.15
    assert abs(np.mean(endless)) < 0.25 * np.mean(plain)


def test_the_frechet_distance_of_known_laws() -> None:
    """One dimension: (mean gap)^2 + (gap of standard deviations)^2, of the samples' own moments."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, (50, 1)), rng.normal(2, 3, (70, 1))
    expected = (x.mean() - y.mean()) ** 2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
    assert frechet_distance(x, y) == pytest.approx(expected)
    z = rng.normal(size=(40, 5))
    assert frechet_distance(z, z) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(z + 1, z) == pytest.approx(5)


def test_fewer_pictures_than_features_are_legal() -> None:
    rng = np.random.default_rng(0)
    assert np.isfinite(frechet_distance(rng.normal(size=(5, 30)), rng.normal(size=(90, 30))))


def test_mean_distance_and_vendi_score_of_extremes() -> None:
    assert mean_distance([[1, 2]] * 4) == 0
    assert mean_distance([[0, 0], [3, 4], [3, 4]]) == pytest.approx(10 / 3)
    assert vendi_score([[1, 2]] * 5) == pytest.approx(1)
    assert vendi_score(np.eye(6)) == pytest.approx(6)
    assert vendi_score([[1, 0], [2, 0], [0, 1], [0, 3]]) == pytest.approx(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernel_distance(np.zeros((2, 3)), np.zeros((9, 3))), "needs 3 pictures or more"),
        (lambda: frechet_distance(np.zeros((9, 3)), np.zeros((9, 4))), r"\(9, 3\) and \(9, 4\)"),
        (lambda: mean_distance(np.zeros((1, 3))), "needs two pictures"),
    ],
)
def test_what_is_refused(call, message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()


def test_clip_iqa_without_torchmetrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    monkeypatch.setitem(sys.modules, "torchmetrics.multimodal", None)
    with pytest.raises(UserError, match="CLIP-IQA needs torchmetrics"):
        clip_iqa(np.zeros((1, 8, 8, 3), dtype=np.uint8))


def test_clip_iqa_without_weights_and_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def metric(model: str, data_range: int):
        if model == "missing":
            raise OSError("can't reach the hub\nmore")
        return lambda images: images.float().mean(dim=(1, 2, 3)) / data_range

    fake = types.ModuleType("torchmetrics.multimodal")
    fake.CLIPImageQualityAssessment = metric  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchmetrics", types.ModuleType("torchmetrics"))
    monkeypatch.setitem(sys.modules, "torchmetrics.multimodal", fake)
    with pytest.raises(UserError, match="can't load 'missing': can't reach the hub Fetch"):
        clip_iqa(np.zeros((1, 8, 8, 3), dtype=np.uint8), "missing")
    assert clip_iqa(np.full((2, 8, 8, 3), 51, dtype=np.uint8)).tolist() == pytest.approx([0.2, 0.2])
    assert torch.is_grad_enabled()
