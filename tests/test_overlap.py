"""Threads: order, bounds, errors, and an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from genlens.overlap import Worker, ahead


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("genlens")]


def test_calls_come_one_at_a_time_in_order() -> None:
    worker, seen = Worker("test"), []

    def call(number: int) -> int:
        seen.append(number)
        time.sleep(0.001)
        seen.append(number)
        return number * 2

    futures = [worker.submit(lambda n=n: call(n)) for n in range(5)]  # type: ignore[misc]
    assert [future.result() for future in futures] == [0, 2, 4, 6, 8]
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert "genlens test" in threads()
    worker.close()
    assert "genlens test" not in threads()


def test_an_error_is_in_its_future_and_stops_nothing() -> None:
    worker = Worker("test")
    bad, good = worker.submit(lambda: 1 / 0), worker.submit(lambda: 1)
    with pytest.raises(ZeroDivisionError):
        bad.result()
    assert good.result() == 1
    worker.close()


def test_one_item_ahead_and_no_more() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(6):
            made.append(number)
            yield number

    seen = []
    for item in ahead(items(), "test"):
        time.sleep(0.005)
        assert len(made) <= item + 2
        seen.append(item)
    assert seen == [0, 1, 2, 3, 4, 5]
    assert "genlens test" not in threads()


def test_the_error_of_an_item_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("second")

    found = ahead(items(), "test")
    assert next(found) == 1
    with pytest.raises(ValueError, match="second"):
        next(found)
    assert "genlens test" not in threads()


def test_closing_ends_the_thread() -> None:
    with closing(ahead(iter(range(9)), "test")) as found:
        next(found)
    assert "genlens test" not in threads()
