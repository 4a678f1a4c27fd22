"""Evidence and pictures on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genlens.errors import RunFolderError
from genlens.findings.evidence_files import PictureFiles, as_kept, read_evidence, write_evidence
from genlens.findings.spurious_types import Evidence


def evidence() -> Evidence:
    rng = np.random.default_rng(0)
    n = 3
    return Evidence(
        rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8), as_kept(rng.random((n, 8, 8)).astype(np.float32)),
        rng.random(n), np.array([0.5, np.nan, 1.0]), rng.random(n), rng.random((2, 2)), rng.random(n), rng.random(n),
        look=0.25, area=float("nan"),
    )  # fmt: skip


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    path, found = tmp_path / "7.npz", evidence()
    write_evidence(path, found)
    again = read_evidence(path)
    for name in ("images", "masks", "values", "parts", "reach", "restarts", "class_values", "plain_values"):
        one, other = getattr(found, name), getattr(again, name)
        assert one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f"), name
    assert again.look == 0.25 and np.isnan(again.area)


def test_thresholds_survive_the_rounding() -> None:
    masks = np.linspace(0, 1, 1001, dtype=np.float32).reshape(1, 7, 143)
    kept = as_kept(masks)
    assert np.abs(kept - masks).max() <= 0.5 / 255 + 1e-6 and (as_kept(kept) == kept).all()


def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "7.npz"
    path.write_bytes(b"no zip")
    with pytest.raises(RunFolderError, match=r"is damaged .* Delete it"):
        read_evidence(path)


def test_pictures_by_key(tmp_path: Path) -> None:
    kept = PictureFiles(tmp_path / "pictures")
    images = evidence().images
    assert "a" not in kept and len(kept) == 0
    kept["a"] = images
    assert "a" in kept and list(kept) == ["a"] and np.array_equal(kept["a"], images)
    (tmp_path / "pictures" / "b.npz").write_bytes(b"no zip")
    assert "b" not in kept
    del kept["a"]
    with pytest.raises(KeyError):
        del kept["a"]
