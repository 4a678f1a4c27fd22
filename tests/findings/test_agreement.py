"""Agreement with annotation, against hand counts and published examples."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from genlens.datasets.salient_imagenet import VARIABLE, read_salient_imagenet
from genlens.errors import UserError
from genlens.findings.agreement import Agreement, agreement_with, fleiss_kappa, krippendorff_alpha
from genlens.proportions import wilson_interval

FLEISS = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1], [7, 7, 0, 0, 0],
          [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]  # fmt: skip
"""The usual worked example of Fleiss' kappa: ten items, fourteen raters, kappa .210."""

KRIPPENDORFF = [
    "11*1", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "*555", "**11", "**3*",
]  # fmt: skip
"""Krippendorff (2011), example C: four observers, twelve units, nominal alpha .743."""


def compare(truth: list[int], verdicts: list[str], clusters: list[int] | None = None) -> Agreement:
    return agreement_with(truth, verdicts, clusters or list(range(len(truth))), n_resamples=400)


def test_figures_against_hand_counts() -> None:
    # core: 3 right, 1 called spurious, 1 open; spurious: 2 found, 1 missed, 1 open
    truth = [0, 0, 0, 0, 0, 1, 1, 1, 1]
    verdicts = ["core", "core", "core", "spurious", "undecided", "spurious", "spurious", "core", "undecided"]
    found = compare(truth, verdicts)
    assert (found.n, found.n_spurious, found.n_undecided) == (9, 4, 2)
    assert found.agreement.value == pytest.approx(5 / 9)
    assert found.balanced_accuracy.value == pytest.approx((3 / 5 + 2 / 4) / 2)
    assert found.precision_spurious.value == pytest.approx(2 / 3)
    assert found.recall_spurious.value == pytest.approx(1 / 2)
    assert found.f1_spurious.value == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2))
    assert found.of_decided.value == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert found.always_core.value == pytest.approx(5 / 9)
    assert found.agreement.low < found.agreement.value < found.agreement.high


def test_a_perfect_and_a_constant_answer() -> None:
    truth = [0] * 7 + [1] * 3
    perfect = compare(truth, ["core"] * 7 + ["spurious"] * 3)
    constant = compare(truth, ["core"] * 10)
    assert perfect.balanced_accuracy.value == perfect.f1_spurious.value == 1
    assert (constant.agreement.value, constant.balanced_accuracy.value, constant.f1_spurious.value) == (0.7, 0.5, 0)
    assert np.isnan(constant.precision_spurious.value)


def test_a_perfect_result_is_not_certain() -> None:
    """No resample of right verdicts has a wrong one; Wilson's interval over ten classes begins at .722."""
    truth, classes = np.arange(40) % 2 == 0, np.arange(40) // 4
    right = ["spurious" if one else "core" for one in truth]
    found = agreement_with(truth, right, classes)
    low = wilson_interval(10, 10)[0]
    assert low == pytest.approx(0.722, abs=0.001)
    for one in (found.agreement, found.balanced_accuracy, found.f1_spurious, found.of_decided):
        assert (one.value, one.low, one.high) == (1, pytest.approx(low), 1)
    wrong = agreement_with(truth, ["core" if one else "spurious" for one in truth], classes)
    assert wrong.agreement.low == 0 and wrong.agreement.high == pytest.approx(1 - low)


def test_classes_are_drawn_as_a_whole() -> None:
    """Twenty copies of each pair in one class must give the interval of the pairs themselves, not a narrower one."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 40)
    verdicts = np.where(rng.random(40) < 0.7, truth, 1 - truth)
    names = [("core", "spurious")[v] for v in verdicts]
    alone = agreement_with(truth, names, np.arange(40))
    copied = agreement_with(np.repeat(truth, 20), list(np.repeat(names, 20)), np.repeat(np.arange(40), 20))
    naive = agreement_with(np.repeat(truth, 20), list(np.repeat(names, 20)), np.arange(800))
    width = alone.agreement.high - alone.agreement.low
    assert copied.agreement.high - copied.agreement.low == pytest.approx(width, rel=0.15)
    assert naive.agreement.high - naive.agreement.low < 0.4 * width


@pytest.mark.parametrize(
    ("truth", "verdicts", "clusters", "message"),
    [
        ([0, 1], ["core", "no"], [0, 1], "Verdicts must be"),
        ([0, 1], ["core"], [0, 1], "one verdict and one class a pair; got 2, 1, 2"),
        ([0, 0], ["core", "core"], [0, 1], "only one of them"),
    ],
)
def test_bad_input_is_one_line(truth: list[int], verdicts: list[str], clusters: list[int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        agreement_with(truth, verdicts, clusters)


def test_kappa_and_alpha_against_published_examples() -> None:
    assert fleiss_kappa(FLEISS) == pytest.approx(0.210, abs=5e-4)
    counts = [[sum(c == str(k) for c in unit) for k in range(1, 6)] for unit in KRIPPENDORFF]
    assert krippendorff_alpha(counts) == pytest.approx(0.743, abs=5e-4)


def test_agreement_of_raters_at_its_ends() -> None:
    assert fleiss_kappa([[5, 0], [0, 5]]) == krippendorff_alpha([[5, 0], [0, 5]]) == 1
    assert fleiss_kappa([[5, 0], [5, 0]]) == krippendorff_alpha([[5, 0], [5, 0]]) == 1
    split = np.random.default_rng(1).multinomial(5, [0.5, 0.5], 4000)  # raters that toss coins
    assert abs(fleiss_kappa(split)) < 0.02 and abs(krippendorff_alpha(split)) < 0.02
    with pytest.raises(UserError, match="same number of raters"):
        fleiss_kappa([[5, 0], [4, 0]])
    with pytest.raises(UserError, match="two ratings"):
        krippendorff_alpha([[1, 0], [0, 1]])


@pytest.mark.skipif(not os.environ.get(VARIABLE), reason=f"{VARIABLE} doesn't name Salient ImageNet's answers")
def test_the_real_annotation() -> None:
    found = read_salient_imagenet(Path(os.environ[VARIABLE]))
    per_class = list(found.spurious_per_class().values())
    assert (len(found), int(found.spurious.sum()), int((~found.spurious).sum())) == (5000, 630, 4370)
    assert (sum(n > 0 for n in per_class), sum(n == 5 for n in per_class)) == (357, 15)
    constant = agreement_with(found.spurious, ["core"] * 5000, found.class_index, n_resamples=200)
    assert constant.agreement.value == pytest.approx(0.874)
    assert constant.balanced_accuracy.value == 0.5
    assert 0 < fleiss_kappa(found.counts) < krippendorff_alpha(found.counts) + 0.01 < 1
