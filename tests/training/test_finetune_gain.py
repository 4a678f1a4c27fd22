"""The paired interval of two quality cards: by hand, against scikit-learn, and where it must hold 0."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from genlens.training.finetune_gain import DRAWS, gain


def drawn(strength: float, seed: int, n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Presence (n, 3), and scores of it that are `strength` standard deviations apart."""
    rng = np.random.default_rng(7)
    present = rng.random((n, 3)) < 0.4
    return present, strength * present + np.random.default_rng(seed).standard_normal((n, 3))


def test_value_is_the_difference_of_mean_aurocs() -> None:
    (present, before), (_, after) = drawn(0.2, 1), drawn(1.5, 2)
    found = gain(present, before, after)
    means = [np.mean([roc_auc_score(y, s) for y, s in zip(present.T, x.T, strict=True)]) for x in (before, after)]
    assert np.isclose(found.value, means[1] - means[0])
    assert 0 < found.low < found.value < found.high


def test_a_perfect_judge_of_wrong_and_right_pictures() -> None:
    present = np.array([[True], [True], [False], [False], [False]] * 8)
    scores = present.astype(float)
    found = gain(present, -scores, scores)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)  # AUROC 0 and 1 in every draw


def test_equal_pictures_and_equally_good_ones() -> None:
    present, one = drawn(0.8, 1)
    same = gain(present, one, one)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)  # paired: what both share cancels
    other = gain(present, one, drawn(0.8, 5)[1])
    assert other.low < 0 < other.high


def test_the_interval_is_that_of_a_plain_bootstrap() -> None:
    (present, before), (_, after) = drawn(0.2, 1), drawn(1.0, 2)
    rng, changes = np.random.default_rng(0), []
    for _ in range(300):
        rows = rng.integers(len(present), size=len(present))
        area = [
            [roc_auc_score(y[rows], s[rows]) for y, s in zip(present.T, x.T, strict=True)] for x in (before, after)
        ]
        changes.append(np.mean(area[1]) - np.mean(area[0]))
    found = gain(present, before, after)
    assert np.allclose(np.quantile(changes, [0.025, 0.975]), [found.low, found.high], atol=0.02)
    assert DRAWS >= 1000


def test_few_rows_of_which_some_draws_hold_one_class() -> None:
    present = np.array([[True], [False], [False]])
    found = gain(present, np.array([[0.0], [1.0], [1.0]]), np.array([[1.0], [0.0], [0.0]]))
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_a_concept_that_never_varies_is_left_out() -> None:
    (present, before), (_, after) = drawn(0.2, 1), drawn(1.0, 2)
    wider = np.concatenate([present, np.ones((len(present), 1), dtype=bool)], axis=1)
    pad = [np.concatenate([scores, scores[:, :1]], axis=1) for scores in (before, after)]
    assert gain(wider, pad[0], pad[1]) == gain(present, before, after)
