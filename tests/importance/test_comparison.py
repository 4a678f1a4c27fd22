"""Models side by side: the same numbers as one by one, and paired differences whose intervals cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from genlens.errors import UserError
from genlens.importance.comparison import compare_scores
from genlens.importance.compute import importance_from_scores
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring


@dataclass(frozen=True)
class States:
    """A plan's states of one binary concept."""

    concept: str
    index: np.ndarray
    own: np.ndarray

    @property
    def stratum(self) -> np.ndarray:
        return np.array([0, 1])

    @property
    def counts(self) -> np.ndarray:
        return np.bincount(self.own, minlength=2)

    @property
    def states(self) -> np.ndarray:
        return np.tile(np.array([0, 1], dtype=object), (len(self.own), 1))


def world(n: int, weights: dict[str, tuple[float, ...]], seed: int):
    """Images = the rows' concepts and noise; models = weights on them; labels of the first model's making."""
    rng = np.random.default_rng(seed)
    d = len(next(iter(weights.values())))
    concepts = (rng.random((n, d)) < 0.5).astype(np.int64)
    noise = rng.normal(0, 0.5, n)
    images, states = [np.column_stack([concepts, noise])], []
    for j in range(d):
        index = np.empty((n, 2, 1), dtype=np.int64)
        for value in (0, 1):
            changed = images[0].copy()
            changed[:, j] = value
            index[:, value, 0] = np.arange(n) + n * len(images)
            images.append(changed)
        states.append(States(f"c{j}", index, concepts[:, j]))
    everything = np.concatenate(images)
    outputs = {name: everything @ np.array([*w, 1.0]) for name, w in weights.items()}
    y = (concepts.sum(axis=1) + rng.normal(0, 0.7, n) > d / 2).astype(np.int64)
    return y, outputs, np.arange(n)[:, None], states


def test_each_model_has_the_numbers_it_has_alone():
    y, outputs, reference, states = world(120, {"a": (1.0, 0.2), "b": (0.1, 0.8), "c": (0.5, 0.5)}, 0)
    found = compare_scores(y, outputs, reference, states, get_scoring("roc_auc"))
    for k, scores in enumerate(outputs.values()):
        alone = importance_from_scores(
            y, scores[reference], [StateScores.from_states(item, scores) for item in states], n_repeats=2, n_swaps=9
        )
        np.testing.assert_array_equal(found.importance[k], alone.importance)
        np.testing.assert_allclose(found.ci_low[k], alone.ci_low, rtol=1e-12)
        np.testing.assert_allclose(found.reliance[k], alone.reliance / scores[reference].std(), rtol=1e-12)
        assert found.reference_score[k] == alone.reference_score
        np.testing.assert_array_equal(found.rank[k], alone.rank)


def test_a_model_and_its_monotone_copy_do_not_differ_at_all():
    y, outputs, reference, states = world(80, {"a": (1.0, 0.3)}, 1)
    outputs["copy"] = np.tanh(outputs["a"] / 10)  # same ranks, so the same AUROC everywhere
    differences = compare_scores(y, outputs, reference, states, get_scoring("roc_auc")).differences()
    assert differences["difference"].max() < 1e-12
    assert differences["p_value"].min() == 1.0


def test_differences_name_who_relies_on_it_more_clearest_first():
    y, outputs, reference, states = world(400, {"a": (1.0, 0.0), "b": (0.0, 1.0), "a too": (1.0, 0.0)}, 2)
    differences = compare_scores(y, outputs, reference, states, get_scoring("roc_auc")).differences()
    assert len(differences) == 6 and differences["q_value"].is_monotonic_increasing
    clear = differences[differences["q_value"] < 0.05]
    assert set(zip(clear["concept"], clear["more"], strict=True)) == {("c0", "a"), ("c0", "a too"), ("c1", "b")}
    assert (differences["difference"] >= 0).all()


def test_intervals_of_a_difference_cover_it_and_are_narrower_than_unpaired_ones():
    weights = {"a": (0.8, 0.3), "b": (0.5, 0.6)}
    scoring = get_scoring("roc_auc")
    large = compare_scores(*world(20_000, weights, 99), scoring)
    truth = float(large.importance[0, 0] - large.importance[1, 0])
    covered = []
    for seed in range(200):
        found = compare_scores(*world(200, weights, seed), scoring)
        row = found.differences().query("concept == 'c0'").iloc[0]
        sign = 1 if row["more"] == "a" else -1
        covered.append(row["ci_low"] <= sign * truth <= row["ci_high"])
        unpaired = np.sqrt(found.covariance[0, 0, 0] + found.covariance[0, 1, 1]) * 1.96
        assert (row["ci_high"] - row["ci_low"]) / 2 < unpaired
    assert 0.91 <= np.mean(covered) <= 0.985  # 95% +- 2.6 standard errors of 200 runs


def test_clusters_widen_what_rows_of_a_cluster_share():
    y, outputs, reference, states = world(100, {"a": (1.0, 0.2), "b": (0.2, 1.0)}, 3)
    twice = {name: np.tile(scores.reshape(-1, 100), 2).reshape(-1) for name, scores in outputs.items()}
    second = [item.index * 2 - item.index % 100 for item in states]  # image k of 100 a state becomes two of 200
    doubled = [
        States(item.concept, np.concatenate([index, index + 100]), np.tile(item.own, 2))
        for item, index in zip(states, second, strict=True)
    ]
    scoring = get_scoring("roc_auc")
    once = compare_scores(y, outputs, reference, states, scoring)
    pairs = np.tile(np.arange(100), 2)
    both = compare_scores(np.tile(y, 2), twice, np.arange(200)[:, None], doubled, scoring, clusters=pairs)
    assert both.n_units == 100
    np.testing.assert_allclose(np.sqrt(both.covariance), np.sqrt(once.covariance), rtol=0.15)


@pytest.mark.parametrize(
    ("scoring", "models", "message"),
    [("roc_auc", 1, "at least two target models; got 1"), ("f1", 2, "`scoring` must be the AUROC or a mean over rows")],
)
def test_what_cannot_be_compared_is_one_line(scoring, models, message):
    y, outputs, reference, states = world(40, {"a": (1.0, 0.2), "b": (0.2, 1.0)}, 4)
    some = dict(list(outputs.items())[:models])
    with pytest.raises(UserError, match=message) as error:
        compare_scores(y, some, reference, states, get_scoring(scoring))
    assert "\n" not in str(error.value)
