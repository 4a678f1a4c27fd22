"""Seeds: a pure function of their fields."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from genlens.errors import CaptionError, GenlensError, RunFolderError, UserError
from genlens.seeds import row_seed

PINNED = 1693672091036698250


def test_seed_is_the_same_in_every_version_and_process() -> None:
    here = row_seed(0, "a.png")
    assert here == PINNED
    code = "from genlens.seeds import row_seed; print(row_seed(0, 'a.png'))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(there.stdout) == here


@pytest.mark.parametrize("other", [(1, "a.png"), (0, "b.png"), (0, "a.png", 1), (0, "a.png", 0, "on")])
def test_every_field_counts(other: tuple[int, str]) -> None:
    assert row_seed(*other) != row_seed(0, "a.png")


def test_fields_do_not_run_into_each_other() -> None:
    assert row_seed(1, "1a") != row_seed(11, "a")
    assert row_seed(0, "a1", 2) != row_seed(0, "a", 12)
    assert row_seed(0, "a", 0, "b") != row_seed(0, "a1:0b", 0)


def test_seeds_fill_the_range_without_collisions() -> None:
    seeds = np.array([row_seed(0, f"{i}.png", draw) for i in range(2000) for draw in range(2)])
    assert len(np.unique(seeds)) == len(seeds)
    assert seeds.min() >= 0
    assert abs(seeds.astype(float).mean() / 2**63 - 0.5) < 0.03


def test_odd_row_ids_have_seeds() -> None:
    assert len({row_seed(0, name) for name in ("", "ä.png", "a\udcff.png", "日本.png")}) == 4


@pytest.mark.parametrize("seed", [-1, 1.5, True, "0", None])
def test_bad_seed_is_refused(seed: object) -> None:
    with pytest.raises(UserError, match=r"^`seed` must be an integer >= 0; got "):
        row_seed(seed, "a.png")  # type: ignore[arg-type]


def test_bad_numpy_numbers_are_shown_as_numbers() -> None:
    with pytest.raises(UserError, match=r"^`seed` must be an integer >= 0; got -3\.$"):
        row_seed(np.int64(-3), "a.png")  # type: ignore[arg-type]


def test_bad_draw_is_refused() -> None:
    with pytest.raises(UserError, match=r"^`draw` must be an integer >= 0; got -1\.$"):
        row_seed(0, "a.png", -1)


def test_numpy_integers_are_integers() -> None:
    assert row_seed(np.int64(3), "a", np.int32(1)) == row_seed(3, "a", 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [UserError, RunFolderError, CaptionError])
def test_user_errors_are_value_errors(error: type[UserError]) -> None:
    assert issubclass(error, GenlensError)
    assert issubclass(error, ValueError)
