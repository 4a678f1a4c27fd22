"""Work on a thread of its own: one call after another, in order, and never more than the caller allows for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar, cast

_T = TypeVar("_T")


class Worker:
    """A thread that carries out calls one at a time, in the order they came.

    It is a daemon: a call that takes long never keeps a stopped process alive. Work that must end, such as writing a
    file, is waited for by whoever asked for it.

    Args:
        name: of the thread, for debuggers.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=f"genlens {name}", daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], _T]) -> Future[_T]:
        """Carry out a call after those before it; its result or its error is in the future."""
        future: Future[_T] = Future()
        self._calls.put((future, call))
        return future

    def close(self, *, wait: bool = True) -> None:
        """Take no more calls; `wait`: until those that came are done."""
        self._calls.put(None)
        if wait:
            self._thread.join()

    def _work(self) -> None:
        while (order := self._calls.get()) is not None:
            future, call = order
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # whoever waits for the future gets it, and nobody else
                    future.set_exception(error)
            del order, future, call  # nothing of a call outlives it


def ahead(items: Iterable[_T], name: str) -> Generator[_T, None, None]:
    """The same items, each made on a thread while the caller works on the one before.

    At most two are in memory: the caller's and the next. An error comes where its item would have come. Close the
    iterator (`contextlib.closing`) where it may not be used up.

    Args:
        items: an iterable that nobody else touches meanwhile.
        name: of the thread.
    """
    iterator, end = iter(items), object()
    worker = Worker(name)
    try:
        coming = worker.submit(lambda: next(iterator, end))
        while (item := coming.result()) is not end:
            coming = worker.submit(lambda: next(iterator, end))
            yield cast(_T, item)
            del item
    finally:
        worker.close()
