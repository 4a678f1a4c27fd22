"""The phantom in MIMIC's layout comes back through the readers as what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genlens.datasets import xray
from genlens.datasets.mimic_cxr import read_mimic_cxr, write_mimic_cxr
from genlens.datasets.xray_drawing import SIGNS
from genlens.datasets.xray_mimic import HOSP, IMAGES, write_mimic_layout
from genlens.errors import UserError


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_mimic_layout(tmp_path, 40, 3)
    studies = read_mimic_cxr(tmp_path / IMAGES, tmp_path / HOSP, tmp_path / HOSP)
    frame, phantom = studies.frame, xray.sample(40, 3)
    assert studies.lines() == [] and len(frame) == 40
    bodies = phantom.bodies
    np.testing.assert_array_equal(frame["Sex"], bodies.demographics[:, 2])
    np.testing.assert_array_equal(frame["age"], np.round(bodies.ages))
    np.testing.assert_allclose(frame["bmi"], bodies.bmis, atol=0.051)
    for k, sign in enumerate(SIGNS):  # what the report doesn't mention is blank, hence 0
        np.testing.assert_array_equal(frame[sign], bodies.signs[:, k] * phantom.said[:, k])
    np.testing.assert_array_equal(frame["Pneumonia"], phantom.pneumonia)
    assert tuple(frame["findings"]) == phantom.findings
    write_mimic_cxr(tmp_path / "data", studies, tmp_path / IMAGES)
    assert all((tmp_path / "data" / name).is_file() for name in frame["file_name"])


def test_the_same_arguments_write_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_mimic_layout(tmp_path / name, 5, 0)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 5 + 5 + 3 + 2
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    with pytest.raises(UserError, match="must not hold a data set yet"):
        write_mimic_layout(tmp_path / "a", 5, 0)
