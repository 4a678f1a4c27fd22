"""Batches in order, images before scores, and a clean end whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genlens.batch_writer import Batch, BatchWriter
from genlens.score_cache import ScoreCache
from genlens.scorer import Scorer
from genlens.store import ImageStore


class Ones:
    fingerprint, outputs = "ones", "scores"

    def predict(self, images: object) -> np.ndarray:
        return np.ones((len(images), 1), np.float32)  # type: ignore[arg-type]


def batch(name: str) -> Batch:
    return Batch([f"{name}1", f"{name}2"], ["a", "b"], [1, 2], np.zeros((2, 8, 8, 3), np.uint8))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[ImageStore, Scorer, list[int]]]:
    store, scorer = ImageStore(tmp_path / "images"), Scorer("ones", Ones(), ScoreCache(tmp_path / "scores"))
    yield store, scorer, []
    assert not [thread for thread in threading.enumerate() if thread.name == "genlens writer"]


def scored(scorer: Scorer, given: Batch) -> None:
    given.set_scores(lambda: [scorer.predict(given.keys, given.images)])


def test_images_then_scores_batch_by_batch(place: tuple[ImageStore, Scorer, list[int]]) -> None:
    store, scorer, told = place
    first, second = batch("a"), batch("b")
    with BatchWriter(store, [scorer], told.append) as writer:
        writer.write(first)
        scored(scorer, first)
        writer.write(second)
        assert told == [2] and "a2" in store and "a2" in scorer.cache
        scored(scorer, second)
    assert told == [2, 2] and store.keys() == {"a1", "a2", "b1", "b2"}
    np.testing.assert_array_equal(scorer.cache.get(["b2", "a1"]), [[1], [1]])


def test_an_error_outside_keeps_the_batch_in_hand(place: tuple[ImageStore, Scorer, list[int]]) -> None:
    store, scorer, told = place
    first = batch("a")
    with pytest.raises(KeyboardInterrupt), BatchWriter(store, [scorer], told.append) as writer:
        writer.write(first)
        scored(scorer, first)
        raise KeyboardInterrupt
    assert told == [2] and "a1" in scorer.cache


def test_a_stop_before_the_scoring_keeps_the_images(place: tuple[ImageStore, Scorer, list[int]]) -> None:
    store, scorer, told = place
    with pytest.raises(KeyboardInterrupt), BatchWriter(store, [scorer], told.append) as writer:
        writer.write(batch("a"))
        raise KeyboardInterrupt
    assert told == [] and "a1" in store and "a1" not in scorer.cache


def test_a_second_ctrl_c_does_not_wait_for_scores(
    place: tuple[ImageStore, Scorer, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, scorer, told = place
    first, calls = batch("a"), []
    first.claim()  # somebody scores it, and never ends
    real = BatchWriter._wait

    def wait(writer: BatchWriter) -> None:
        calls.append(1)
        if len(calls) == 2:  # at the end of the context
            raise KeyboardInterrupt
        real(writer)

    monkeypatch.setattr(BatchWriter, "_wait", wait)
    with pytest.raises(KeyboardInterrupt), BatchWriter(store, [scorer], told.append) as writer:
        writer.write(first)
        raise KeyboardInterrupt
    assert told == [] and "a1" in store and "a1" not in scorer.cache


def test_an_error_of_the_scoring_comes_out_of_the_next_write(place: tuple[ImageStore, Scorer, list[int]]) -> None:
    store, scorer, told = place
    first = batch("a")
    with pytest.raises(ZeroDivisionError), BatchWriter(store, [scorer], told.append) as writer:
        writer.write(first)
        with pytest.raises(ZeroDivisionError):
            first.set_scores(lambda: [None] * (1 // 0))
        writer.write(batch("b"))
    assert told == [] and store.keys() == {"a1", "a2"}
