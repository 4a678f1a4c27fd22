"""Agreement against published examples and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from genlens.errors import UserError
from genlens.study.agreement import category_counts, fleiss_kappa, krippendorff_alpha

FLEISS = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1], [7, 7, 0, 0, 0],
          [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]  # fmt: skip
"""Ten subjects, fourteen raters, five categories: kappa .210."""
KRIPPENDORFF = """
1 2 3 3 2 1 4 1 2 * * *
1 2 3 3 2 2 4 1 2 5 * 3
* 3 3 3 2 3 4 2 2 5 1 *
1 2 3 3 2 4 4 1 2 5 1 *
"""
"""Krippendorff (2011), example C: four observers, twelve units, missing data; nominal alpha .743."""


def test_fleiss_kappa_of_the_textbook() -> None:
    assert fleiss_kappa(FLEISS) == pytest.approx(0.210, abs=5e-4)


def test_krippendorff_alpha_of_the_paper() -> None:
    lines = [[-1 if cell == "*" else int(cell) - 1 for cell in line.split()]
             for line in KRIPPENDORFF.strip().splitlines()]  # fmt: skip
    assert krippendorff_alpha(category_counts(lines, 5)) == pytest.approx(0.743, abs=5e-4)


def test_two_raters_of_two_categories() -> None:
    """Ten units: five agreed 1, three agreed 0, two disagreed. Alpha = 1 - (n - 1) o / (n0 n1), Krippendorff's B."""
    counts = [[0, 2]] * 5 + [[2, 0]] * 3 + [[1, 1]] * 2
    assert krippendorff_alpha(counts) == pytest.approx(1 - 19 * 2 / (8 * 12))


@pytest.mark.parametrize("measure", [fleiss_kappa, krippendorff_alpha])
def test_full_agreement_and_none(measure) -> None:
    assert measure([[4, 0], [0, 4], [4, 0]]) == 1
    assert measure([[2, 2]] * 6) < 0
    assert np.isnan(measure([[4, 0], [4, 0]]))


def test_chance_gives_nothing() -> None:
    codes = np.random.default_rng(0).integers(0, 3, (40, 400))
    assert krippendorff_alpha(category_counts(codes, 3)) == pytest.approx(0, abs=0.005)
    assert fleiss_kappa(category_counts(codes, 3)) == pytest.approx(0, abs=0.005)


def test_units_of_one_answer_do_not_count() -> None:
    assert krippendorff_alpha([[2, 0], [1, 1], [1, 0]]) == krippendorff_alpha([[2, 0], [1, 1]])
    assert np.isnan(krippendorff_alpha([[1, 0]]))


def test_fleiss_needs_equal_numbers() -> None:
    with pytest.raises(UserError, match="equally many answers"):
        fleiss_kappa([[2, 0], [1, 0]])
