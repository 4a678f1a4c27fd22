"""The checks: each harm is caught by the right one, blameless small samples are undecided."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from genlens.checks import effective_generation, independent_permutation, reproducible_generation
from genlens.checks.detection import change_of_own, detection_threshold, flip_shares, widen
from genlens.errors import UserError
from genlens.importance.inference import Interval
from genlens.importance.states import StateScores

NAMES = ["red", "green", "blue"]


@dataclass
class World:
    """Scores of a concept classifier and a target model on real images, reference images and all states."""

    y: np.ndarray
    presence: np.ndarray
    real: np.ndarray
    reference: np.ndarray
    states: list[StateScores]

    def effective(self, **changes):
        arguments = {
            "y": self.y,
            "real_score": self.real.sum(axis=1),
            "reference_score": self.reference.sum(axis=1)[:, None],
            "presence": self.presence,
            "h_real": self.real,
            "h_reference": self.reference,
            "names": NAMES,
        }
        return effective_generation(**(arguments | changes))

    def independent(self, **changes):
        arguments = {"presence": self.presence, "h_reference": self.reference, "states": self.states, "names": NAMES}
        return independent_permutation(**(arguments | {"h_real": self.real} | changes))


def world(n_rows=400, ignore=0.0, leak=0.0, blur=0.0, prevalence=0.5, noise=0.2, seed=0):
    """Generator with harms: a share of flips ignored, red's flips also flip green, all images harder to read."""
    rng = np.random.default_rng(seed)
    present = rng.random((n_rows, 3)) < prevalence
    wobble = noise * rng.normal(size=(n_rows, 3))  # a row keeps its noise in all states
    smear = blur * rng.normal(size=(n_rows, 3))
    states = []
    for j in range(3):
        shown = np.repeat(present[:, None].astype(float), 2, axis=1)  # (N, 2, 3)
        ignored, leaks = rng.random(n_rows) < ignore, rng.random(n_rows) < leak
        for state in (0, 1):
            flip = present[:, j] != state
            shown[flip & ~ignored, state, j] = state
            if j == 0:
                shown[flip & leaks, state, 1] = 1 - present[flip & leaks, 1]
        own = present[:, j].astype(int)
        scores = (shown + (wobble + smear)[:, None])[:, :, None]  # (N, 2, 1, 3)
        states.append(StateScores(NAMES[j], scores, np.arange(2), np.bincount(own, minlength=2), own))
    y = (present.sum(axis=1) >= 2).astype(int)
    return World(y, present, present + wobble, present + wobble + smear, states)


def verdicts(found):
    first = [np.full((4, 4, 3), k, np.uint8) for k in range(5)]
    return found.effective().verdict, found.independent().verdict, reproducible_generation(first, first).verdict


def test_a_perfect_generator_passes_every_check():
    assert verdicts(world()) == ("passed", "passed", "passed")


def test_ignored_flips_fail_independent_permutation_only():
    found = world(ignore=0.3)
    assert verdicts(found) == ("passed", "failed", "passed")
    check = found.independent()
    assert np.diag(check.matrix) == pytest.approx([-0.15] * 3, abs=0.03)
    assert all(0.6 < record["flips_shown"] < 0.8 and record["others_stayed"] == 1 for record in check.table)
    assert "Flips of red, green, blue don't all show" in check.remedy


def test_a_leak_fails_independent_permutation_only_and_names_the_pair():
    found = world(leak=0.4)
    assert verdicts(found) == ("passed", "failed", "passed")
    check = found.independent()
    matrix = np.array(check.matrix)
    assert matrix[0, 1] == pytest.approx(-0.2, abs=0.04)
    matrix[0, 1] = 0
    assert np.abs(matrix).max() < 0.05
    assert check.message.startswith("Permuting red moves green: its AUROC changes by -0.")
    assert check.remedy == "Read the importance of red (moves green) as that of both, or permute them as a group."
    assert [record["verdict"] for record in check.table] == ["failed", "passed", "passed"]


def test_blur_fails_effective_generation_only():
    found = world(blur=0.5, n_rows=1000)
    assert verdicts(found) == ("failed", "passed", "passed")
    records = {record["name"]: record for record in found.effective().table}
    assert records["red"]["real"] > 0.99 and records["red"]["difference"] > 0.05


def test_fresh_noise_fails_reproducible_generation_only():
    rng = np.random.default_rng(0)
    first, again = (rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8) for _ in range(2))
    check = reproducible_generation(first, again)
    assert check.verdict == "failed" and check.value > 50 and "6 differ" in check.message and check.remedy
    assert verdicts(world())[:2] == ("passed", "passed")


@pytest.mark.parametrize("harm", [{}, {"ignore": 0.2}, {"leak": 0.2}, {"blur": 0.4}])
def test_a_dozen_rows_decide_nothing(harm):
    found = world(n_rows=12, **harm)
    assert found.effective().verdict == "undecided"
    assert found.independent().verdict == "undecided"
    assert found.effective().remedy and found.independent().remedy


def test_perfect_separation_of_few_rows_is_still_undecided():
    found = world(n_rows=20, noise=0.0)
    assert found.effective().verdict == "undecided" and found.independent().verdict == "undecided"
    assert world(n_rows=400, noise=0.0).independent().verdict == "passed"


def test_rare_concepts_count_by_their_rarer_state():
    check = world(n_rows=300, prevalence=0.06).independent()
    assert check.verdict == "undecided"


def test_thresholds_move_the_verdict():
    found = world(ignore=0.3)
    assert found.independent(threshold=0.3).verdict == "passed"
    assert world(blur=0.6).effective(threshold=0.4).verdict == "passed"


def test_a_better_score_on_generated_images_is_no_fault():
    found = world(blur=0.8)
    swapped = World(found.y, found.presence, found.reference, found.real, found.states)
    assert swapped.effective().verdict == "passed"


def test_a_concept_classifier_that_sees_nothing_passes_nothing():
    found, rng = world(n_rows=600), np.random.default_rng(0)
    blind = [
        StateScores(s.concept, np.repeat(rng.normal(size=(600, 1, 1, 3)), 2, axis=1), s.stratum, s.counts, s.own)
        for s in found.states
    ]
    noise = rng.normal(size=(600, 3))
    assert found.independent(h_reference=noise, states=blind, h_real=noise).verdict == "undecided"
    check = found.effective(h_real=noise, h_reference=noise)
    assert check.verdict == "undecided" and check.remedy.startswith("Use more rows, or a concept classifier")


def test_without_real_images_concepts_are_held_against_one_and_never_fail():
    check = world().effective(real_score=None, h_real=None)
    assert check.verdict == "passed" and check.table[0]["real"] is None and check.table[0]["name"] == "red"
    harmed = world(blur=1.5).effective(real_score=None, h_real=None)
    assert harmed.verdict == "undecided" and "a perfect AUROC (there are no real images)" in harmed.message
    assert harmed.remedy.startswith("Give the table real images")


def test_without_anything_to_compare_the_check_is_not_applicable():
    check = world().effective(real_score=None, h_real=None, h_reference=None)
    assert check.verdict == "not applicable" and check.value is None and check.table == []


def test_the_target_alone_can_fail():
    found = world()
    check = found.effective(reference_score=np.random.default_rng(0).normal(size=400), h_real=None, h_reference=None)
    assert check.verdict == "failed" and check.table[0]["name"] == "target model"
    assert check.value == check.table[0]["difference"] > 0.3


@pytest.mark.parametrize("scoring", ["accuracy", "average_precision"])
def test_other_scores_of_the_target_are_compared_too(scoring, monkeypatch):
    monkeypatch.setattr("genlens.checks.effective._N_RESAMPLES", 40)
    found = world(n_rows=200)
    scores = found.real.sum(axis=1) - 1.5
    arguments = {"h_real": None, "h_reference": None, "scoring": scoring, "real_score": scores}
    assert found.effective(reference_score=scores, **arguments).verdict == "passed"
    assert found.effective(reference_score=-scores, **arguments).verdict == "failed"


def test_clusters_leave_less_certainty():
    found = world(n_rows=400)
    clusters = np.arange(400) // 40
    assert found.effective(clusters=clusters).verdict == "undecided"
    assert found.independent(clusters=clusters).verdict == "undecided"


def test_concepts_that_are_always_present_are_permuted_but_not_detected():
    found = world()
    presence = found.presence.copy()
    presence[:, 2] = True
    check = found.independent(presence=presence)
    assert np.isnan(np.array(check.matrix)[:, 2]).all() and check.verdict == "passed"
    assert check.table[2]["own_change"] is None and check.table[2]["its_change"] is not None
    assert len(found.effective(presence=presence).table) == 3
    presence[:] = True
    assert found.independent(presence=presence).verdict == "not applicable"


def test_own_change_equals_full_enumeration_against_the_permuted_labels():
    rng = np.random.default_rng(0)
    own, scores = np.array([0, 1, 1, 0, 1]), rng.normal(size=(5, 3, 2)).round(1)
    states = StateScores("c", scores, np.array([0, 1, 1]), np.array([2, 3]), own)
    reference = rng.normal(size=(5, 2))
    expected = _expected_own(scores, own)
    base = np.mean([roc_auc_score(own, reference[:, draw]) for draw in range(2)])
    found = change_of_own(own == 1, reference, states, 0.95)
    assert found.value == pytest.approx(expected - base)


def _expected_own(scores, own):
    """Mean AUROC over all sets of rows that may be on, over draws and donors: brute force over pairs."""
    sets = {tuple(own[list(order)]) for order in permutations(range(len(own)))}
    values = []
    for label in sets:
        on, off = np.flatnonzero(np.array(label) == 1), np.flatnonzero(np.array(label) == 0)
        high, low = scores[on][:, None, 1:], scores[off][None, :, :1]
        values.append(((high > low) + (high == low) / 2).mean())
    return np.mean(values)


def test_detection_threshold_maximises_balanced_accuracy():
    present = np.array([False] * 8 + [True] * 2)
    assert detection_threshold(present, np.array([0, 0, 0, 0, 0, 0, 0, 3, 1, 4.0])) == 0.5
    assert detection_threshold(np.array([True, False]), np.array([1.0, 1.0])) == 1.0


def test_flip_shares_count_images_that_changed():
    presence = np.array([[True, True], [False, True], [True, False], [False, False]])
    reference = presence.astype(float)[:, None]
    scores = np.repeat(reference[:, None], 2, axis=1)  # (4, 2, 1, 2): nothing is flipped yet
    scores[0, 0, 0] = [0, 1]  # shows
    scores[1, 1, 0] = [1, 0]  # shows, and moves the other concept
    own = presence[:, 0].astype(int)
    states = StateScores("c", scores, np.arange(2), np.bincount(own), own)
    flips = flip_shares(0, presence, reference, states, np.array([0.5, 0.5]))
    assert (flips.shown, flips.expected, flips.others_stayed) == (0.5, 1.0, 0.75)


def test_intervals_are_never_narrower_than_the_rule_of_three():
    labels = np.array([0] * 1000 + [1] * 30)
    found = widen(Interval(0.0, 0.0, 0.0, 0.0), labels, 0.95)
    assert found.high == -found.low == pytest.approx(0.095, abs=0.001)


@pytest.mark.parametrize(("level", "verdict"), [(0, "passed"), (1, "passed"), (2, "failed")])
def test_rounding_is_reproducible_and_more_is_not(level, verdict):
    first = np.full((4, 8, 8, 3), 100, np.uint8)
    assert reproducible_generation(first, first + np.uint8(level)).verdict == verdict


def test_few_or_no_images_decide_nothing_about_reproducibility():
    one = np.zeros((1, 8, 8, 3), np.uint8)
    assert reproducible_generation(one, one).verdict == "undecided"
    assert reproducible_generation([], []).verdict == "not applicable"
    assert reproducible_generation([one[0]], [np.zeros((4, 4, 3), np.uint8)]).verdict == "failed"


def test_arguments_that_do_not_fit_are_refused():
    found = world(n_rows=20)
    with pytest.raises(UserError, match="The concept classifier must give one score for each of the 3 concepts"):
        found.independent(h_reference=found.reference[:, :2])
    with pytest.raises(UserError, match="`states` must hold scores of all 3 concepts for each concept"):
        found.independent(states=[state.column(0) for state in found.states])
    with pytest.raises(UserError, match="`again` must hold the same images as `first`; got 1 and 2"):
        reproducible_generation(np.zeros((2, 4, 4, 3)), np.zeros((1, 4, 4, 3)))
