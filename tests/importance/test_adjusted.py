"""Adjusted importance on simulated images, where what flips do to a concept is known exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from genlens.errors import UserError
from genlens.importance.adjusted import AdjustedResult, adjusted_importance
from genlens.importance.exact import expected_importance
from genlens.importance.first_stage import conditional_f, detection, presence_levels
from genlens.importance.flips import FlipScores
from genlens.importance.states import StateScores
from genlens.importance.two_stage import two_stage
from genlens.metrics import get_scoring
from genlens.oracles import bottleneck_permutation

WEIGHTS = np.array([1.0, 0.7, 0.4, 0.15])
NAMES = ("a", "b", "c", "d")
Target = Callable[[np.ndarray], np.ndarray]


def linear(concepts: np.ndarray) -> np.ndarray:
    return np.asarray(concepts @ WEIGHTS)


def curved(concepts: np.ndarray) -> np.ndarray:
    inner = concepts @ WEIGHTS - 1 + 0.8 * concepts[..., 0] * concepts[..., 1]
    return np.asarray(1 / (1 + np.exp(-3 * inner)))


@dataclass(frozen=True, eq=False)
class World:
    """Presence in real images, and in both states of each flip: what a generator made of the captions."""

    present: np.ndarray  # (N, D)
    drawn: np.ndarray  # (N, D, 2, D)

    def states(self, scores: np.ndarray) -> list[StateScores]:
        counts = [np.bincount(own, minlength=2) for own in self.present.T]
        return [
            StateScores(NAMES[j], scores[:, j, :, None], np.arange(2), counts[j], self.present[:, j])
            for j in range(self.present.shape[1])
        ]

    def labels(self, target: Target) -> np.ndarray:
        score = target(self.present.astype(float))
        return (score > np.median(score)).astype(int)

    def oracle(self, target: Target) -> np.ndarray:
        found = bottleneck_permutation(self.labels(target), self.present.astype(float), [target])
        return found.importance[0]

    def adjusted(
        self, target: Target, see: Callable[[np.ndarray], np.ndarray] = np.asarray, **options: Any
    ) -> AdjustedResult:
        seen, real = see(self.drawn.astype(float)), see(self.present.astype(float))
        options = {"n_resamples": 20} | options
        states = self.states(target(self.drawn.astype(float)))
        return adjusted_importance(
            self.labels(target), target(self.present.astype(float)), real, states, self.states(seen), **options
        )

    def unadjusted(self, target: Target) -> np.ndarray:
        reference = target(self.present.astype(float))[:, None]
        states = self.states(target(self.drawn.astype(float)))
        return np.array(
            [expected_importance(self.labels(target), reference, s, get_scoring("roc_auc")) for s in states]
        )


def world(
    n_rows: int = 400, ignored: tuple[float, ...] = (0.0,) * 4, leaks: tuple[float, ...] = (0.0,) * 4, seed: int = 0
) -> World:
    """A generator that ignores shares of each concept's flips, and lets shares of them leak into the next concept."""
    rng = np.random.default_rng(seed)
    n = len(ignored)
    present = (rng.random((n_rows, n)) < 0.5).astype(int)
    drawn = np.broadcast_to(present[:, None, None], (n_rows, n, 2, n)).copy()
    for j in range(n):
        shows, leak = rng.random(n_rows) >= ignored[j], rng.random(n_rows) < leaks[j]
        for state in (0, 1):
            flipped = present[:, j] != state
            drawn[flipped & shows, j, state, j] = state
            drawn[flipped & leak, j, state, (j + 1) % n] = state
    return World(present, drawn)


HARMED = {"ignored": (0.6, 0.0, 0.3, 0.5), "leaks": (0.0, 0.5, 0.6, 0.0)}


def test_a_perfect_generator_loses_nothing() -> None:
    images = world()
    result = images.adjusted(linear)
    np.testing.assert_allclose(result.importance, images.unadjusted(linear), atol=0.004)
    np.testing.assert_allclose(result.reliance, WEIGHTS, atol=1e-9)
    np.testing.assert_allclose(result.first_stage, np.eye(4), atol=1e-9)
    assert result.withheld == ("",) * 4
    assert result.interactions == ()


def test_weak_and_leaking_captions_are_put_right() -> None:
    images = world(**HARMED)
    truth, plain = images.oracle(linear), images.unadjusted(linear)
    result = images.adjusted(linear)
    assert np.corrcoef(plain, truth)[0, 1] < 0.9  # the problem is there
    np.testing.assert_allclose(result.importance, truth, atol=0.005)
    np.testing.assert_allclose(result.reliance_signed, WEIGHTS, atol=1e-9)


def test_interactions_follow_the_row() -> None:
    images = world(800, **HARMED)
    truth = images.oracle(curved)
    rich, poor = images.adjusted(curved), images.adjusted(curved, interactions=False)
    assert np.abs(rich.importance - truth).max() < 0.5 * np.abs(poor.importance - truth).max()
    assert np.corrcoef(rich.importance, truth)[0, 1] > 0.98
    assert ("a", "b") in [pair[:2] for pair in rich.interactions]
    assert poor.effects.std(axis=1).max() < 1e-12 < rich.effects.std(axis=1).max()


def test_effects_of_a_perfect_generator_are_each_row_s_own() -> None:
    images = world(600)
    states = curved(images.drawn.astype(float))
    found = images.adjusted(curved).effects.T
    np.testing.assert_allclose(found, states[:, :, 1] - states[:, :, 0], atol=0.05)


def test_one_interaction_is_found_with_its_size() -> None:
    result = world(**HARMED).adjusted(lambda c: c @ WEIGHTS + 0.5 * c[..., 1] * c[..., 2])
    assert [pair[:2] for pair in result.interactions] == [("b", "c")]
    assert result.interactions[0][2] == pytest.approx(0.5)


def misread(scores: np.ndarray, right: float = 0.8, wrong: float = 0.1) -> np.ndarray:
    """True positive rate .8, false positive rate .1, the same for the same image; decided by its place."""
    luck = np.random.default_rng(scores.size).random(scores.shape)
    return (luck < np.where(scores > 0.5, right, wrong)).astype(float)


def test_errors_of_the_concept_classifier_are_taken_out() -> None:
    images = world(4000, **HARMED)
    corrected = images.adjusted(linear, misread, interactions=False, n_resamples=2)
    as_seen = images.adjusted(linear, misread, interactions=False, n_resamples=2, correct_errors=False)
    np.testing.assert_allclose(corrected.reliance_signed, WEIGHTS, atol=0.1)
    np.testing.assert_allclose(as_seen.reliance_signed / WEIGHTS, 1 / 0.7, atol=0.35)  # what isn't corrected overshoots
    assert np.abs(corrected.reliance_signed - WEIGHTS).sum() < np.abs(as_seen.reliance_signed - WEIGHTS).sum() / 3


def test_detection_is_true_minus_false_positive_rate() -> None:
    present = np.array([[1], [1], [1], [1], [0], [0]], dtype=bool)
    base, response = detection(present, np.array([[1.0], [1], [1], [0], [1], [0]]))
    assert base == pytest.approx([1 / 2])
    assert response == pytest.approx(np.array([[3 / 4 - 1 / 2]]))


def test_levels_undo_the_response() -> None:
    images = world(500)
    mixed = np.array([[0.7, 0.1, 0, 0], [0, 0.9, 0, 0], [0, 0.2, 0.6, 0], [0, 0, 0, 0.5]])
    scores = 0.05 + images.drawn @ mixed
    flips = FlipScores(images.present, 0.05 + images.present @ mixed, scores[..., 0], scores)
    np.testing.assert_allclose(presence_levels(flips, np.arange(4), True), images.drawn, atol=1e-9)
    np.testing.assert_array_equal(presence_levels(flips, np.arange(4), False), scores)


def flips_of(levels: np.ndarray, target: np.ndarray) -> FlipScores:
    return FlipScores(np.zeros(levels.shape[:2], dtype=bool), levels[:, 0, 0], target, levels)


def test_one_concept_is_the_wald_ratio() -> None:
    rng = np.random.default_rng(0)
    levels, target = rng.normal(size=(50, 1, 2, 1)), rng.normal(size=(50, 1, 2))
    fit = two_stage(flips_of(levels, target), levels, np.arange(1))
    move, answer = levels[:, 0, 1, 0] - levels[:, 0, 0, 0], target[:, 0, 1] - target[:, 0, 0]
    assert fit.main == pytest.approx([answer.mean() / move.mean()])
    assert conditional_f(levels) == pytest.approx([move.mean() ** 2 / (move.var() / 50)])


def test_as_many_instruments_as_concepts_is_the_inverse_of_the_first_stage() -> None:
    rng = np.random.default_rng(1)
    levels, target = rng.normal(size=(50, 3, 2, 3)), rng.normal(size=(50, 3, 2))
    levels[:, :, 1] += np.eye(3)
    changes, answers = np.diff(levels, axis=2)[:, :, 0].mean(axis=0), np.diff(target, axis=2)[:, :, 0].mean(axis=0)
    fit = two_stage(flips_of(levels, target), levels, np.arange(3))
    assert fit.main == pytest.approx(np.linalg.solve(changes, answers))


def test_f_is_small_where_concepts_always_move_together() -> None:
    levels = np.random.default_rng(2).normal(0, 0.2, size=(300, 2, 2, 2))
    levels[:, :, 1] += 1.0  # either flip moves both
    assert (levels[:, :, 1] - levels[:, :, 0]).mean(axis=0).min() > 0.9  # each alone looks strong
    assert conditional_f(levels).max() < 12
    levels[:, 0, 1, 0] += 1.0
    assert conditional_f(levels).min() > 100


def test_flips_that_never_show_are_withheld_and_spoil_no_other() -> None:
    images = world(ignored=(1.0, 0.2, 0.0, 0.4))
    result = images.adjusted(linear)
    assert "conditional F 0.0 < 16.38" in result.withheld[0]
    assert np.isnan([result.importance[0], result.reliance[0], result.se[0], *result.ci[0]]).all()
    assert result.withheld[1:] == ("", "", "")
    np.testing.assert_allclose(result.importance[1:], images.oracle(linear)[1:], atol=0.005)
    assert result.frame()["concept"].iloc[-1] == "a"


def test_a_concept_that_carries_a_hidden_one_is_withheld_as_well() -> None:
    result = world(ignored=(0.0, 1.0, 0.0, 0.0), leaks=(0.5, 0.0, 0.0, 0.0)).adjusted(linear)
    assert "conditional F" in result.withheld[1]
    assert "flips also move 'b' (+0.2" in result.withheld[0]
    assert result.withheld[2:] == ("", "")


def test_a_concept_that_is_not_seen_is_withheld() -> None:
    def blind(scores: np.ndarray) -> np.ndarray:
        return np.concatenate([scores[..., :3], 0.5 * np.ones_like(scores[..., 3:])], axis=-1)

    result = world().adjusted(linear, blind)
    assert "doesn't see it: its score rises by 0.00 < 0.2" in result.withheld[3]
    assert np.isnan(result.importance[3])
    assert np.isfinite(result.importance[:3]).all()


def test_nothing_is_told_where_nothing_shows() -> None:
    result = world(ignored=(1.0,) * 4).adjusted(linear)
    assert np.isnan(result.importance).all()
    assert all(result.withheld)
    assert result.frame()["rank"].isna().all()


def test_log_odds_are_understood() -> None:
    images = world(**HARMED)
    plain = images.adjusted(linear, lambda c: 1 / (1 + np.exp(6 - 12 * c)))
    logits = images.adjusted(linear, lambda c: 12 * c - 6)
    np.testing.assert_allclose(logits.importance, plain.importance, atol=1e-12)


def test_squared_error_is_twice_the_squared_weight_times_the_variance() -> None:
    images = world(**HARMED)
    real = linear(images.present.astype(float))
    drawn = images.drawn.astype(float)
    result = adjusted_importance(
        real, real, images.present, images.states(linear(drawn)), images.states(drawn), "neg_mean_squared_error",
        n_resamples=5,
    )  # fmt: skip
    share = images.present.mean(axis=0)
    np.testing.assert_allclose(result.importance, 2 * WEIGHTS**2 * share * (1 - share), rtol=1e-9)


def test_intervals_hold_the_oracle_and_grow_with_clusters() -> None:
    images = world(300, **HARMED)
    truth = images.oracle(linear)
    rows = images.adjusted(linear, n_resamples=100)
    assert ((rows.ci[:, 0] <= truth) & (truth <= rows.ci[:, 1])).all()
    assert (rows.ci[:, 0] < rows.importance).all()
    twice = World(np.repeat(images.present, 2, axis=0), np.repeat(images.drawn, 2, axis=0))
    apart = twice.adjusted(linear, n_resamples=100)
    together = twice.adjusted(linear, n_resamples=100, clusters=np.repeat(np.arange(300), 2))
    assert together.se.mean() > 1.2 * apart.se.mean()
    assert (together.f_statistic < apart.f_statistic).all()


def test_same_seed_same_numbers_and_order_does_not_matter() -> None:
    images = world(200, **HARMED)
    first, again = images.adjusted(linear, seed=3), images.adjusted(linear, seed=3)
    np.testing.assert_array_equal(first.ci, again.ci)
    assert not np.array_equal(first.ci, images.adjusted(linear, seed=4).ci)
    table = first.frame()
    assert table["rank"].tolist() == [1, 2, 3, 4]
    assert table["importance"].is_monotonic_decreasing
    assert table.set_index("concept")["f_statistic"].to_dict() == dict(zip(NAMES, first.f_statistic, strict=True))


def call(images: World, **changes: Any) -> AdjustedResult:
    drawn, present = images.drawn.astype(float), images.present.astype(float)
    arguments: dict[str, Any] = {
        "y": images.labels(linear), "real": linear(present), "real_concepts": present,
        "states": images.states(linear(drawn)), "concept_states": images.states(drawn),
    }  # fmt: skip
    return adjusted_importance(**(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scoring": "average_precision"}, "'average_precision' has no closed form, which adjusting needs"),
        ({"y": np.ones(60, dtype=int)}, "All 60 labels are the same"),
        ({"real": np.zeros(5)}, "`real` must have a finite score for each of 60 rows; got 5"),
        ({"real_concepts": np.zeros((60, 3))}, r"`real_concepts` must be finite and of shape \(60, 4\); got \(60, 3\)"),
        ({"concept_states": []}, "`concept_states` must have the concepts of `states`, in their order"),
        ({"min_f": -1.0}, "`min_f` must be a number >= 0; got -1.0"),
        ({"n_resamples": 1}, "`n_resamples` must be an integer >= 2; got 1"),
        ({"confidence": 95}, "`confidence` must lie between 0 and 1"),
    ],
)
def test_bad_input(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call(world(60), **changes)


def test_concepts_need_two_states_and_one_score() -> None:
    images = world(60)
    drawn = images.drawn.astype(float)
    seen = images.states(drawn)
    own = np.arange(60) % 3
    three = StateScores("a", np.zeros((60, 3, 1)), np.arange(3), np.bincount(own), own)
    with pytest.raises(
        UserError, match="Concept 'a' has 3 strata; adjusting needs concepts that are present or absent"
    ):
        call(images, states=[three, *images.states(linear(drawn))[1:]])
    with pytest.raises(UserError, match="Concept 'a': adjusting needs one target score an image; choose a class"):
        call(images, states=seen)
    with pytest.raises(UserError, match=r"the concept classifier's \(N, S, R, 4\); got"):
        call(images, concept_states=images.states(linear(drawn)))


def half_drawn(share: float) -> Callable[[np.ndarray], np.ndarray]:
    """A concept classifier that is sure about real images (N, D), and in doubt about a share of generated ones."""

    def see(scores: np.ndarray) -> np.ndarray:
        luck = np.random.default_rng(7).random(scores.shape) < share
        return np.where(luck & (scores.ndim == 4), 0.5, scores)

    return see


def test_half_drawn_images_cost_the_intervals_and_then_the_figures() -> None:
    images = world(ignored=(0.2, 0.2, 0.2, 0.2))
    some, most = images.adjusted(linear, half_drawn(0.1)), images.adjusted(linear, half_drawn(0.4))
    assert some.doubt == pytest.approx(0.1, abs=0.01)
    assert some.withheld == ("",) * 4
    assert np.isnan(some.ci).all()
    assert np.isfinite(some.importance).all()
    assert all("of its flips show clearly (< 10%), and the concept classifier is in doubt" in r for r in most.withheld)
    assert np.isfinite(images.adjusted(linear).ci).all()


def test_interactions_are_not_told_with_a_concept_classifier_that_errs() -> None:
    images = world(2000, **HARMED)

    def target(c: np.ndarray) -> np.ndarray:
        return np.asarray(c @ WEIGHTS + 1.5 * c[..., 0] * c[..., 1])

    result = images.adjusted(target, lambda c: misread(c, 0.94, 0.06), n_resamples=2)
    assert result.interactions
    assert all("effects depend on other concepts, which a concept classifier that errs" in r for r in result.withheld)
    assert np.isfinite(images.adjusted(linear, lambda c: misread(c, 0.99, 0.01), n_resamples=2).importance).all()
    poor = images.adjusted(linear, misread, n_resamples=2)
    assert all("errs too often in real images: its standard error is 0.5" in r for r in poor.withheld)


def test_a_flip_is_judged_in_its_image_not_in_the_row() -> None:
    images = world(1000)
    blind = images.drawn.copy()
    blind[::2, :, :, 0] = 0  # half of the images lack "a" whatever the caption says
    drawn = World(images.present, blind)
    found = drawn.adjusted(lambda c: c @ WEIGHTS + 0.5 * c[..., 0] * c[..., 1])
    with_a = images.present[:, 0] == 1
    np.testing.assert_allclose(found.effects[1][with_a], 1.2, atol=0.05)
    np.testing.assert_allclose(found.effects[1][~with_a], 0.7, atol=0.05)
