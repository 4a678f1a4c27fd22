"""Scores of captions on given seeds: each caption is rendered and scored once, and a cache on disk remembers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.protocol import Classifier, target_score
from genlens.errors import UserError
from genlens.generators.protocol import Generator
from genlens.score_cache import ScoreCache
from genlens.store import image_key

ImageScore: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""Images uint8 (B, H, W, 3) -> what is maximised, (B,), higher is better."""


def objective_score(objective: Callable[[Any], Any], *, device: str = "cpu", batch_size: int = 64) -> ImageScore:
    """The score that a differentiable objective gives, without its gradient.

    Args:
        objective: images float (B, 3, H, W) in [0, 1] -> (B,).
        device: where it runs.
        batch_size: images at a time.
    """
    import torch

    def score(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        parts = []
        with torch.no_grad():
            for start in range(0, len(images), batch_size):
                batch = torch.from_numpy(np.ascontiguousarray(images[start : start + batch_size]))
                scaled = batch.to(device).permute(0, 3, 1, 2).float() / 255  # (B, 3, H, W)
                parts.append(objective(scaled).float().cpu().numpy())
        return np.concatenate(parts).astype(np.float64)

    return score


def class_score(classifier: Classifier, index: int) -> ImageScore:
    """The target score of a class (log-odds where there are any), from any classifier, with or without gradients."""

    def score(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return target_score(classifier.predict(images), classifier.outputs, index)

    return score


class CaptionScores:
    """Scores of captions on seeds.

    A caption is always rendered on all its seeds together, so what it scores doesn't hang on what was scored before.

    Args:
        generator: renders captions.
        score: scores the images.
        cache: number of seeds -> scores of captions on so many seeds, on disk; None: in memory only.
        done: called with the number of images after each caption that had to be rendered.
    """

    def __init__(
        self,
        generator: Generator,
        score: ImageScore,
        *,
        cache: Callable[[int], ScoreCache] | None = None,
        done: Callable[[int], None] | None = None,
    ) -> None:
        self._generator, self._score, self._cache, self._done = generator, score, cache, done
        self._kept: dict[str, NDArray[np.float64]] = {}
        self.n_images = 0
        """Images rendered so far."""

    def __call__(self, caption: str, seeds: Sequence[int]) -> NDArray[np.float64]:
        """Scores (S,) of one caption on S seeds.

        Raises:
            CaptionError: the caption is too long for the generator.
            UserError: a score isn't finite.
        """
        key = self._key(caption, seeds)
        if key not in self._kept:
            self._kept[key] = self._scored(key, caption, seeds)
        return self._kept[key]

    def mean(self, caption: str, seeds: Sequence[int]) -> float:
        """Mean of the scores of one caption."""
        return float(self(caption, seeds).mean())

    def _scored(self, key: str, caption: str, seeds: Sequence[int]) -> NDArray[np.float64]:
        cache = None if self._cache is None else self._cache(len(seeds))
        if cache is not None and key in cache:
            return np.asarray(cache.get([key])[0], dtype=np.float64)
        images = self._generator.generate([caption] * len(seeds), list(seeds))  # (S, H, W, 3)
        scores = np.asarray(self._score(images), dtype=np.float32)  # as the cache has them
        if scores.shape != (len(seeds),) or not np.isfinite(scores).all():
            raise UserError(f"The score of {caption!r} must be {len(seeds)} finite numbers; got {scores!r}.")
        if cache is not None:
            cache.append([key], scores[None])
        self.n_images += len(seeds)
        if self._done is not None:
            self._done(len(seeds))
        return np.asarray(scores, dtype=np.float64)

    def _key(self, caption: str, seeds: Sequence[int]) -> str:
        digest = blake2b(",".join(str(int(seed)) for seed in seeds).encode(), digest_size=16)
        return image_key(f"{self._generator.fingerprint} {digest.hexdigest()}", caption, len(seeds))
