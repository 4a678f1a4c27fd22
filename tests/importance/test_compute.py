"""From scores to a result: whole runs, controls, speed, refusals."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from genlens.errors import UserError
from genlens.importance.compute import importance_from_scores
from genlens.importance.exact import expected_importance
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring


@pytest.fixture
def few_resamples(monkeypatch):
    """Slow scorers are resampled a few times only."""
    monkeypatch.setattr("genlens.importance.compute._SAMPLED_RESAMPLES", 20)


def run(world, **settings):
    return importance_from_scores(
        world.y, world.reference, world.states, **({"n_repeats": 20, "n_swaps": 99} | settings)
    )


def test_result_holds_the_exact_importance_and_its_distribution(make_world):
    world = make_world(n_rows=150)
    result = run(world, n_repeats=200, real=world.reference[:, 0], target_class=1, n_images=600, settings={"seed": 0})
    exact = [expected_importance(world.y, world.reference, state, get_scoring("roc_auc")) for state in world.states]
    assert result.importance.tolist() == exact
    assert result.repeats.shape == (3, 200)
    assert result.repeats.mean(axis=1) == pytest.approx(exact, abs=0.005)
    assert result.std.tolist() == result.repeats.std(axis=1).tolist()
    assert result.reference_score == result.real_score == roc_auc_score(world.y, world.reference[:, 0])
    assert result.reference_ci == result.real_ci
    assert (result.ci_low <= result.importance).all() and (result.importance <= result.ci_high).all()
    assert result.ranking()["concept"].tolist() == ["c0", "c1", "c2"]
    assert (result.target_class, result.n_images, result.n_rows, result.interval) == (1, 600, 150, "influence")


def test_an_ignored_concept_is_exactly_nothing(make_world):
    result = run(make_world())
    assert result.importance[2] == result.std[2] == result.se[2] == 0
    assert result.ci_low[2] == result.ci_high[2] == 0 and result.p_value[2] == 1
    assert result.reliance[2] == pytest.approx(0, abs=1e-12)


def test_a_random_classifier_ranks_nothing_significant_beyond_the_nominal_rate():
    rng, significant, found = np.random.default_rng(5), [], []
    for seed in range(40):
        own = rng.integers(0, 2, (100, 4))
        scores, y = rng.normal(size=(4, 100, 2, 1)), rng.permutation(np.arange(100) % 2)
        reference = rng.normal(size=100)
        for j in range(4):
            scores[j, np.arange(100), own[:, j], 0] = reference
        states = [StateScores(f"c{j}", scores[j], np.arange(2), np.bincount(own[:, j]), own[:, j]) for j in range(4)]
        result = importance_from_scores(y, reference, states, n_repeats=5, seed=seed, n_swaps=99)
        significant.append((result.q_value <= 0.05).any())
        found.extend(result.p_value)
    assert np.mean(significant) <= 0.1
    assert np.mean(np.array(found) <= 0.05) <= 0.08
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("method", ["influence", "percentile", "bca"])
def test_interval_methods_agree_on_a_large_sample(method, make_world):
    result = run(make_world(n_rows=800, state_noise=0.1), interval_method=method, n_resamples=400)
    linear = run(make_world(n_rows=800, state_noise=0.1))
    assert result.interval == method
    assert result.ci_low[:2] == pytest.approx(linear.ci_low[:2], abs=0.006)
    assert result.ci_high[:2] == pytest.approx(linear.ci_high[:2], abs=0.006)


def test_scores_without_a_closed_form_take_sampled_means_and_percentiles(make_world, few_resamples):
    world = make_world(n_rows=100)
    result = run(world, scoring="average_precision", n_resamples=20, n_swaps=19, n_repeats=10)
    assert result.interval == "percentile" and result.scoring == "average_precision"
    assert result.importance == pytest.approx(result.repeats.mean(axis=1))
    assert (result.ci_low[:2] < result.importance[:2]).all() and (result.importance[:2] < result.ci_high[:2]).all()
    assert result.p_value.tolist() == [0.05, 0.05, 1.0]


def test_multiclass_outputs(few_resamples):
    rng = np.random.default_rng(0)
    y, own = rng.integers(0, 3, 90), rng.integers(0, 2, 90)
    reference = rng.normal(size=(90, 3)) + np.eye(3)[y]
    states = np.stack([reference, reference], axis=1)
    states[np.arange(90), 1 - own] -= 2 * np.eye(3)[y]
    result = importance_from_scores(
        y, reference[:, None], [StateScores("c", states[:, :, None], np.arange(2), np.bincount(own), own)],
        "roc_auc_ovr", 5, real=reference, n_resamples=5, n_swaps=9,
    )  # fmt: skip
    assert result.importance[0] > 0.1 and result.real_score == result.reference_score
    accuracy = importance_from_scores(
        y,
        reference[:, None],
        [StateScores("c", states[:, :, None], np.arange(2), np.bincount(own), own)],
        "accuracy",
        5,
    )
    assert accuracy.interval == "influence" and accuracy.importance[0] > 0.1


def test_a_bootstrap_may_miss_a_rare_class(few_resamples):
    rng = np.random.default_rng(0)
    y = np.array(["a"] * 12 + ["b"] * 12 + ["c"])
    own, outputs = np.arange(25) % 2, rng.normal(size=(25, 2, 1, 3))
    states = StateScores("c", outputs, np.arange(2), np.bincount(own), own)
    reference = outputs[np.arange(25), own]
    result = importance_from_scores(y, reference, [states], "roc_auc_ovr", 3, n_resamples=10, n_swaps=4)
    assert np.isfinite([result.importance[0], result.ci_low[0], result.ci_high[0]]).all()


def test_any_callable_scores(make_world, few_resamples):
    def gap(y_true, y_score):
        return y_score[y_true == 1].mean() - y_score[y_true == 0].mean()

    result = run(make_world(n_rows=80), scoring=gap, n_resamples=20, n_swaps=19)
    assert result.scoring == "gap" and result.importance[0] > 0.3 and result.importance[2] == 0


def test_concept_order_does_not_matter(make_world):
    world = make_world(n_rows=80)
    result = run(world)
    turned = importance_from_scores(world.y, world.reference, world.states[::-1], n_repeats=20, n_swaps=99)
    for name in ("importance", "repeats", "p_value", "ci_low", "reliance", "effects"):
        assert np.array_equal(getattr(result, name), getattr(turned, name)[::-1])


def test_clusters_widen_intervals(make_world):
    world, clusters = make_world(n_rows=200), np.repeat(np.arange(20), 10)
    rows = np.repeat(np.arange(20), 10)
    state = world.states[0]
    copied = StateScores("c0", state.scores[rows], state.stratum, np.bincount(state.own[rows]), state.own[rows])
    plain, grouped = (
        importance_from_scores(world.y[rows], world.reference[rows], [copied], n_repeats=2, n_swaps=9, clusters=c)
        for c in (None, clusters)
    )
    assert grouped.se[0] > 2.5 * plain.se[0]


def test_draws_are_averaged_and_halve_generation_noise(make_world):
    one, many = (make_world(n_rows=300, state_noise=1.0, n_draws=n, noise=0.0) for n in (1, 8))
    assert run(many).reliance_ci[2, 1] < 0.6 * run(one).reliance_ci[2, 1]


def test_statistics_of_a_thousand_rows_are_quick(make_world):
    world = make_world(n_rows=1000, weights=tuple(np.linspace(0, 1, 6)))
    start = time.process_time()
    run(world, n_repeats=500)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_repeats": 0}, "`n_repeats` must be an integer >= 1; got 0."),
        ({"n_swaps": 0}, "`n_swaps` must be an integer >= 1; got 0."),
        ({"seed": -1}, "`seed` must be an integer >= 0; got -1."),
        ({"confidence": 95}, "`confidence` must lie between 0 and 1"),
        ({"interval_method": "normal"}, "`interval_method` must be 'influence', 'percentile' or 'bca'; got 'normal'."),
        ({"clusters": np.zeros(3)}, r"`clusters` must have one entry a row \(200\); got 3."),
        ({"scoring": "roc_acu"}, "Near: roc_auc"),
    ],
)
def test_bad_settings_are_refused(changes, message, make_world):
    with pytest.raises(UserError, match=message):
        run(make_world(), **changes)


def test_bad_shapes_are_refused(make_world):
    world = make_world()
    with pytest.raises(UserError, match="`states` is empty"):
        importance_from_scores(world.y, world.reference, [])
    with pytest.raises(UserError, match="Reference scores must be finite, one for each of 200 rows"):
        importance_from_scores(world.y, world.reference[:10], world.states)
    with pytest.raises(UserError, match=r"Scores of concept 'c0' are for rows, draws and outputs \(200, 1\)"):
        importance_from_scores(world.y, np.repeat(world.reference, 2, axis=1), world.states)
    with pytest.raises(UserError, match="All 200 labels are the same"):
        importance_from_scores(np.zeros(200), world.reference, world.states)
    with pytest.raises(UserError, match="`labels` must have two values for an AUROC; got 200"):
        importance_from_scores(np.arange(200), world.reference, world.states)
