"""Evaluation of rankings against scipy, scikit-learn and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import linregress, pearsonr, spearmanr
from sklearn.metrics import roc_auc_score

from genlens.errors import UserError
from genlens.experiments import measures
from genlens.experiments.evaluation import CEILING, SUMMARY, evaluate

M, D = 12, 4
RNG = np.random.default_rng(0)
WEIGHTS = RNG.random((M, D))
BOTTLENECK = WEIGHTS**2 + 0.02 * RNG.normal(size=(M, D))
METHOD = BOTTLENECK + 0.2 * RNG.normal(size=(M, D))


def evaluation(**options):
    return evaluate({"mine": METHOD}, WEIGHTS, BOTTLENECK, **{"n_boot": 200, **options})


def test_figures_equal_scipy_and_scikit_learn() -> None:
    found = evaluation(n_thresholds=1000).get("mine", "weights")
    x, y = METHOD.ravel(), WEIGHTS.ravel()
    unit = [np.ravel(a / np.abs(a).sum(axis=1, keepdims=True)) for a in (METHOD, WEIGHTS)]
    assert found.pearson.value == pytest.approx(pearsonr(x, y).statistic)
    assert found.pearson_normalised.value == pytest.approx(pearsonr(*unit).statistic)
    within = [pearsonr(a, b).statistic for a, b in zip(METHOD, WEIGHTS, strict=True)]
    assert found.pearson_within.value == pytest.approx(np.mean(within))
    assert found.spearman.value == pytest.approx(spearmanr(x, y).statistic)
    ranked = [spearmanr(a, b).statistic for a, b in zip(METHOD, WEIGHTS, strict=True)]
    assert found.spearman_within.value == pytest.approx(np.mean(ranked))
    assert found.slope.value == pytest.approx(linregress(y, x).slope)
    curve = [roc_auc_score(y > threshold, x) for threshold in found.thresholds]
    assert len(curve) == M * D - 1
    assert [estimate.value for estimate in found.auroc_curve] == pytest.approx(curve)
    assert found.auroc.value == pytest.approx(np.mean(curve))


def test_top_k_agreement_equals_sets() -> None:
    found = evaluation().get("mine", "bottleneck").top_k
    for k in range(1, D + 1):
        shared = [
            len(set(np.argsort(-a)[:k]) & set(np.argsort(-b)[:k])) / k for a, b in zip(METHOD, BOTTLENECK, strict=True)
        ]
        assert found[k - 1].value == pytest.approx(np.mean(shared))
    assert found[-1].value == 1.0


def test_ties_count_in_expectation() -> None:
    flat, true = np.zeros((2, 4)), np.arange(8.0).reshape(2, 4)
    assert measures.top_k(flat, true) == pytest.approx(np.tile([0.25, 0.5, 0.75, 1.0], (2, 1)))


def test_intervals_are_those_of_resampled_models() -> None:
    n_boot, seed = 50, 3
    found = evaluation(n_boot=n_boot, seed=seed, confidence=0.9, n_thresholds=5).get("mine", "weights")
    drawn = np.random.default_rng(seed).integers(M, size=(n_boot, M))
    pairs = [(METHOD[rows], WEIGHTS[rows]) for rows in drawn]
    statistics = {
        "pearson": lambda a, b: pearsonr(a.ravel(), b.ravel()).statistic,
        "spearman": lambda a, b: spearmanr(a.ravel(), b.ravel()).statistic,
        "slope": lambda a, b: linregress(b.ravel(), a.ravel()).slope,
        "pearson_within": lambda a, b: np.mean([pearsonr(p, q).statistic for p, q in zip(a, b, strict=True)]),
        "auroc": lambda a, b: np.mean(
            [roc_auc_score(b.ravel() > t, a.ravel()) for t in found.thresholds if b.min() <= t < b.max()]
        ),
    }
    for name, statistic in statistics.items():
        low, high = np.quantile([statistic(a, b) for a, b in pairs], [0.05, 0.95])
        estimate = getattr(found, name)
        assert (estimate.low, estimate.high) == pytest.approx((low, high)), name
        assert estimate.low <= estimate.value <= estimate.high


def test_the_ceiling_stands_beside_every_method() -> None:
    found = evaluation()
    pairs = [(agreement.method, agreement.oracle) for agreement in found.agreements]
    assert pairs == [(CEILING, "weights"), ("mine", "weights"), ("mine", "bottleneck")]
    ceiling = found.get(CEILING, "weights")
    assert ceiling.pearson.value == pytest.approx(pearsonr(BOTTLENECK.ravel(), WEIGHTS.ravel()).statistic)
    assert (found.n_models, found.n_concepts, found.confidence) == (M, D, 0.95)


def test_a_method_that_is_the_oracle_agrees_fully() -> None:
    found = evaluate({"copy": 2 * WEIGHTS}, WEIGHTS, BOTTLENECK, n_boot=20).get("copy", "weights")
    for name in SUMMARY:
        assert getattr(found, name).value == pytest.approx(2.0 if name == "slope" else 1.0), name
    assert all(estimate.value == 1.0 for estimate in (*found.top_k, *found.auroc_curve))


def test_a_constant_method_has_no_correlation_and_chance_auroc() -> None:
    found = evaluate({"flat": np.full((M, D), 0.1)}, WEIGHTS, BOTTLENECK, n_boot=20).get("flat", "weights")
    assert np.isnan(found.pearson.value)
    assert np.isnan(found.spearman.value)
    assert found.pearson_within.value == 0.0
    assert found.auroc.value == 0.5
    assert found.slope.value == 0.0


def test_a_model_of_zeros_keeps_its_place_when_normalised() -> None:
    assert measures.unit(np.array([[0.0, 0.0], [1.0, -3.0]])) == pytest.approx(np.array([[0, 0], [0.25, -0.75]]))


def test_the_same_seed_gives_the_same_intervals() -> None:
    first, again, other = (evaluation(seed=seed).frame() for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)
    assert first["value"].equals(other["value"])


def test_the_frame_is_tidy() -> None:
    frame = evaluation(n_thresholds=7).frame()
    assert list(frame.columns) == ["method", "oracle", "measure", "value", "ci_low", "ci_high"]
    assert len(frame) == 3 * len(SUMMARY)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"methods": {}}, "`methods` must hold at least one method; got none"),
        ({"methods": {"ceiling": METHOD}}, "`methods` contains 'ceiling', the name of the ceiling itself"),
        ({"methods": {"a": METHOD[1:]}}, r"`methods\['a'\]` must have the shape \(12, 4\) of `weights`; got \(11, 4\)"),
        ({"methods": {"a": METHOD * np.nan}}, r"`methods\['a'\]` must be finite; got NaN or infinity"),
        ({"weights": WEIGHTS[:1]}, r"`weights` must have the shape \(M, D\) with at least 2 models and concepts"),
        ({"weights": np.ones((M, D))}, "`weights` has the same value everywhere, so nothing can agree with it"),
        ({"bottleneck": WEIGHTS[:, 1:]}, r"`bottleneck` must have the shape \(12, 4\) of `weights`; got \(12, 3\)"),
        ({"n_boot": 0}, r"`n_boot` must be an integer >= 1; got 0\."),
        ({"n_thresholds": 0}, r"`n_thresholds` must be an integer >= 1; got 0\."),
        ({"confidence": 1.0}, r"`confidence` must be in \(0, 1\); got 1.0\."),
    ],
)
def test_bad_input(changed: dict, message: str) -> None:
    given = {"methods": {"mine": METHOD}, "weights": WEIGHTS, "bottleneck": BOTTLENECK, **changed}
    with pytest.raises(UserError, match=message):
        evaluate(**given)


def test_asking_for_what_was_not_computed() -> None:
    with pytest.raises(UserError, match=r"No agreement of 'LIME' with 'weights' was computed\. There are: ceiling"):
        evaluation().get("LIME", "weights")
