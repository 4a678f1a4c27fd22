"""One classifier at work: batches that the memory holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from genlens.classifiers import TorchClassifier
from genlens.errors import UserError
from genlens.score_cache import ScoreCache
from genlens.scorer import Scorer

IMAGES = np.arange(20 * 4 * 4 * 3, dtype=np.uint8).reshape(20, 4, 4, 3)
KEYS = [f"k{i}" for i in range(20)]


class Hungry:
    """Means of images, as long as there are few of them."""

    fingerprint, outputs = "hungry", "scores"

    def __init__(self, holds: int, error: Exception) -> None:
        self.holds, self.error, self.sizes = holds, error, list[int]()

    def predict(self, images: Sequence[np.ndarray]) -> np.ndarray:
        self.sizes.append(len(images))
        if len(images) > self.holds:
            raise self.error
        return np.stack([image.mean(axis=(0, 1)) for image in images]).astype(np.float32)


def wrapped() -> UserError:
    error = UserError("The classifier raised MemoryError on a batch")
    error.__cause__ = MemoryError()
    return error


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory."), wrapped()])
def test_batches_are_halved_until_they_fit(tmp_path: Path, error: Exception) -> None:
    hungry = Hungry(6, error)
    scorer = Scorer("hungry", hungry, ScoreCache(tmp_path))
    found = scorer.predict(KEYS, IMAGES)
    assert found is not None and found[0] == KEYS and hungry.sizes == [20, 10, 5, 5, 5, 5]
    np.testing.assert_array_equal(found[1], IMAGES.mean(axis=(1, 2)).astype(np.float32))
    scorer.keep(found)
    assert scorer.predict(KEYS, IMAGES) is None
    assert len(hungry.sizes) == 6


def test_an_adapter_of_ours_that_runs_out_of_memory(tmp_path: Path) -> None:
    import torch

    class Module(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if len(images) > 8:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return images.mean(dim=(2, 3))

    found = Scorer("module", TorchClassifier(Module(), outputs="scores"), ScoreCache(tmp_path)).predict(KEYS, IMAGES)
    assert found is not None and found[1].shape == (20, 3)


def test_a_single_image_that_does_not_fit(tmp_path: Path) -> None:
    hungry = Hungry(0, MemoryError())
    with pytest.raises(
        UserError, match=r"^The memory doesn't hold classifier 'hungry' with one image of 4 x 4 pixels\."
    ):
        Scorer("hungry", hungry, ScoreCache(tmp_path)).predict(KEYS, IMAGES)
    assert hungry.sizes == [20, 10, 5, 2, 1]


def test_other_errors_name_the_classifier(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^Classifier 'broken' raised RuntimeError: shapes differ on a batch of 20 "):
        Scorer("broken", Hungry(0, RuntimeError("shapes differ")), ScoreCache(tmp_path)).predict(KEYS, IMAGES)
