"""The X-ray phantom: rows are pure functions, one attribute changes one thing, texts say what the pictures show."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genlens.concepts import ConceptTable
from genlens.datasets import xray
from genlens.datasets.xray_drawing import N_ANATOMY, SIGNS, Bodies, draw
from genlens.datasets.xray_reports import DEMOGRAPHICS, STATED, read_fields, read_findings, read_mentions
from genlens.errors import UserError

SIDED = [any("ide}" in pattern for pattern in STATED[sign]) for sign in SIGNS]
"""Whether a finding is on one side."""


def one(sign: int | None = None, side: int = 1, demographics: tuple[int, int, int] = (0, 0, 0)) -> Bodies:
    signs = np.zeros((1, len(SIGNS)), dtype=np.int64)
    if sign is not None:
        signs[0, sign] = 1
    sides = np.full((1, len(SIGNS)), side)
    return Bodies(np.array([demographics]), signs, sides, np.full((1, N_ANATOMY), 0.5))


def test_a_row_is_the_same_in_any_batch() -> None:
    few, many = xray.sample(3, 5, first=4), xray.sample(9, 5)
    np.testing.assert_array_equal(few.images(), many.images()[4:7])
    assert few.findings == many.findings[4:7]
    assert few.reports == many.reports[4:7]


def test_seeds_differ() -> None:
    assert xray.sample(5, 1).findings != xray.sample(5, 2).findings


@pytest.mark.parametrize("sign", range(len(SIGNS)), ids=SIGNS)
@pytest.mark.parametrize("side", [-1, 1])
def test_every_finding_shows_where_it_is(sign: int, side: int) -> None:
    without, found = (draw(bodies)[0].astype(int) for bodies in (one(), one(sign, side)))
    change = np.abs(found - without)
    assert change.max() > 25
    if SIDED[sign]:  # the patient's right is on the left of the picture
        assert (change[:, :32].sum() > change[:, 32:].sum()) == (side < 0)


@pytest.mark.parametrize("which", range(3), ids=DEMOGRAPHICS)
def test_age_bmi_and_sex_show_with_all_else_kept(which: int) -> None:
    phantom = xray.sample(4, 0)
    wanted = np.arange(3) == which
    off, on = (
        replace(phantom.bodies, demographics=np.where(wanted, value, phantom.bodies.demographics)) for value in (0, 1)
    )
    assert np.abs(draw(on).astype(int) - draw(off)).max(axis=(1, 2)).min() > 15
    for name in ("signs", "sides", "anatomy"):
        np.testing.assert_array_equal(getattr(on, name), getattr(off, name))


def test_fields_say_on_which_side_of_60_years_and_30_kg_m2_a_body_is() -> None:
    bodies = xray.sample(300, 3).bodies
    np.testing.assert_array_equal(bodies.ages > 60, bodies.demographics[:, 0] == 1)
    np.testing.assert_array_equal(bodies.bmis > 30, bodies.demographics[:, 1] == 1)
    assert bodies.ages.min() >= 20 and bodies.ages.max() <= 90 and bodies.bmis.min() >= 18 and bodies.bmis.max() <= 42


def test_texts_are_read_back_as_what_is_drawn() -> None:
    phantom = xray.sample(200, 1)
    for i, caption in enumerate(phantom.captions()):
        told, fields = read_findings(caption), read_fields(caption)
        assert [fields[name] for name in DEMOGRAPHICS] == phantom.bodies.demographics[i].tolist()
        assert set(told) == set(np.flatnonzero(phantom.said[i]).tolist())
        for sign, side in told.items():
            assert bool(side) == bool(phantom.bodies.signs[i, sign])
            if side and SIDED[sign]:
                assert side == phantom.bodies.sides[i, sign]


def test_mentions_agree_with_the_fields() -> None:
    phantom = xray.sample(300, 2)
    mentioned = [read_mentions(text) for text in phantom.findings]
    for values, found in zip(phantom.bodies.demographics.tolist(), mentioned, strict=True):
        assert found.items() <= dict(zip(DEMOGRAPHICS, values, strict=True)).items()
    share = np.mean(["Age" in found for found in mentioned])
    assert abs(share - xray.MENTIONED["person"]) < 0.08


def test_rates_are_those_that_are_documented() -> None:
    phantom = xray.sample(20_000, 4)
    bodies = phantom.bodies
    expected = xray.sign_rates(bodies.demographics)
    assert np.abs(bodies.signs.mean(axis=0) - expected.mean(axis=0)).max() < 0.012
    unsaid = np.where(phantom.said, np.nan, bodies.signs)
    rates = np.where(phantom.said, np.nan, xray.unsaid_rates(bodies.demographics))
    for old in (0, 1):
        rows = bodies.demographics[:, 0] == old
        assert np.abs(np.nanmean(unsaid[rows], axis=0) - np.nanmean(rates[rows], axis=0)).max() < 0.015


def test_no_finding_is_the_absence_of_all() -> None:
    values = xray.concept_values(xray.sample(100, 0).bodies)
    np.testing.assert_array_equal(values[:, 3], values[:, 4:].sum(axis=1) == 0)
    assert values.shape[1] == len(xray.CONCEPTS) == 16


def test_written_folder_reads_as_a_table(tmp_path: Path) -> None:
    xray.write_imagefolder(tmp_path, 40, 0)
    again = tmp_path / "again"
    xray.write_imagefolder(again, 40, 0)
    assert (tmp_path / "metadata.csv").read_bytes() == (again / "metadata.csv").read_bytes()
    table = ConceptTable.from_metadata(
        tmp_path, DEMOGRAPHICS, "Pneumonia", context="findings", watch=xray.FINDINGS
    )
    assert table.detected_names == xray.CONCEPTS
    with (tmp_path / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"file_name", *xray.CONCEPTS, "Pneumonia", "age", "bmi", "sex", "findings", "report"}
    with pytest.raises(UserError, match="must not hold a data set yet"):
        xray.write_imagefolder(tmp_path, 40, 0)


def test_bodies_of_other_shapes_are_refused() -> None:
    with pytest.raises(UserError, match="`signs` must have the shape"):
        replace(one(), signs=np.zeros((1, 3), dtype=np.int64))
