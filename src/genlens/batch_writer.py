"""Batches written in order on a thread: the images, then what the classifiers said about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from genlens.overlap import Worker
from genlens.scorer import Scored, Scorer
from genlens.store import ImageStore


class Batch:
    """B rendered images, and their scores once they are known.

    Args:
        keys: B keys.
        captions: B texts.
        seeds: B integers.
        images: uint8 (B, H, W, 3).
    """

    def __init__(
        self, keys: list[str], captions: Sequence[str], seeds: Sequence[int], images: NDArray[np.uint8]
    ) -> None:
        self.keys, self.captions, self.seeds, self.images = keys, captions, seeds, images
        self._scores: Future[list[Scored | None] | None] = Future()
        self._claimed = False

    def set_scores(self, score: Callable[[], list[Scored | None]]) -> None:
        """Score the batch, one entry a classifier; an error goes to the caller and to whoever waits for the scores."""
        self.claim()
        try:
            scores = score()
        except Exception as error:
            with suppress(InvalidStateError):
                self._scores.set_exception(error)
            raise
        except BaseException:
            self.give_up()
            raise
        with suppress(InvalidStateError):
            self._scores.set_result(scores)

    def claim(self) -> None:
        """Somebody is going to score it."""
        self._claimed = True

    def stop(self) -> None:
        """The run ends: if nobody was going to score the batch, nobody will."""
        if not self._claimed:
            self.give_up()

    def give_up(self) -> None:
        """Nobody waits any longer for its scores."""
        with suppress(InvalidStateError):
            self._scores.set_result(None)

    def scores(self) -> list[Scored | None] | None:
        """Wait for the scores; None if they were given up. Raises what `set_scores` raised."""
        return self._scores.result()


class BatchWriter:
    """Encodes and writes batches on a thread, one at a time; a context that ends when the last one is written.

    An error in a batch comes out of the next `write`, or at the end of the context, where it goes before an error of
    the context itself: it belongs to the earlier batch. At Ctrl-C the batch in hand is still finished; at a second one,
    without its scores where those aren't known yet.

    Args:
        store: takes the images.
        scorers: take the scores, in the order in which the batches have them.
        advance: told the number of images after each batch, on the caller's thread.
    """

    def __init__(self, store: ImageStore, scorers: Sequence[Scorer], advance: Callable[[int], None]) -> None:
        self._store, self._scorers, self._advance = store, scorers, advance
        self._worker = Worker("writer")
        self._pending: tuple[Batch, Future[bool]] | None = None

    def write(self, batch: Batch) -> None:
        """Wait until the batch before is written, then begin with this one.

        Raises:
            WriteError: the disk is full, or the folder can't be written.
            Exception: what a classifier raised on the batch before.
        """
        self._wait()
        self._pending = (batch, self._worker.submit(lambda: self._write(batch)))

    def __enter__(self) -> BatchWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None and self._pending is not None:
            self._pending[0].stop()
        try:
            self._wait()
        except KeyboardInterrupt:
            if self._pending is not None:
                self._pending[0].give_up()
                self._wait()
            raise
        finally:
            self._worker.close()

    def _write(self, batch: Batch) -> bool:
        """Whether the batch is done, with all scores."""
        self._store.append(batch.keys, batch.captions, batch.seeds, batch.images)
        scores = batch.scores()
        if scores is None:
            return False
        for scorer, scored in zip(self._scorers, scores, strict=True):
            scorer.keep(scored)
        return True

    def _wait(self) -> None:
        if self._pending is None:
            return
        batch, writing = self._pending
        wait([writing])
        self._pending = None
        if writing.result():
            self._advance(len(batch.keys))
